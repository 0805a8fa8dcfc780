"""The page in a real browser where something is gone: what it says, and what it shows once that is back."""

from __future__ import annotations

import pytest

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from web_node import Node
from web_viewer import OpenPage, drawn, next_shown, pixels

from drivenet.labels import CAMVID, CITYSCAPES

TOKEN = "correct-horse-battery"


def test_a_lost_source_is_said_and_greyed(node: Node, open_page: OpenPage) -> None:
    node.publish()
    page = open_page(node)
    drawn(page, 0)
    node.lose(7.0)
    page.wait_for_selector("#stage[data-state=lost]")
    assert page.inner_text("#banner").startswith(("LOST 7 s", "LOST 8 s"))
    assert page.title() == "LOST · synthetic://320x180@30 · drivenet"
    assert "grayscale" in page.evaluate("getComputedStyle(document.querySelector('#picture')).filter")
    node.publish()
    page.wait_for_selector("#stage[data-state=ok]")
    assert page.locator("#banner").is_hidden()
    assert page.title() == "synthetic://320x180@30 · drivenet"


def test_the_page_and_the_images_have_one_word_for_a_state(node: Node, open_page: OpenPage) -> None:
    node.publish()
    page = open_page(node)
    drawn(page, 0)
    for state in ("lost", "stalled", "failed"):
        node.fare(state, 7.0)
        page.wait_for_selector(f"#stage[data-state={state}]")
        assert page.inner_text("#banner").startswith(f"{state.upper()} ")


def test_why_a_source_is_lost_can_be_read_in_full(node: Node, open_page: OpenPage) -> None:
    reason = (
        "no frame from the source: timeout: rtsp://10.0.0.7:554/stream1 cannot be opened: no answer for 5 s; check it"
    )
    node.publish()
    page = open_page(node)
    drawn(page, 0)
    node.fare("lost", 7.0, reason)
    page.wait_for_function("s => document.querySelector('#reason').innerText === s", arg=reason)
    wide, room = page.evaluate(
        "(({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth])(document.querySelector('#reason'))"
    )
    assert wide <= room
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_lost_server_is_said_and_found_again(node: Node, open_page: OpenPage) -> None:
    node.publish(3)
    page = open_page(node)
    drawn(page, 2)
    node.close()
    page.wait_for_selector("#stage[data-state=reconnecting]")
    assert page.inner_text("#banner") == "RECONNECTING"
    with Node(port=node.port) as again:
        again.index = 100
        again.publish()
        drawn(page, 100)
        page.wait_for_selector("#stage[data-state=ok]")


def test_a_node_with_other_classes_is_shown_where_some_were_hidden(open_page: OpenPage) -> None:
    """Classes were hidden by number: one that the new node does not have stopped the picture, which was called live."""
    with Node(labels=CITYSCAPES) as node:
        node.publish()
        page = open_page(node)
        drawn(page, 0)
        page.click("#none")
    with Node(port=node.port, labels=CAMVID) as again:
        again.index = 100
        again.publish()
        drawn(page, 100)
        page.wait_for_selector("#stage[data-state=ok]")
        assert page.locator("#legend input:checked").count() == len(CAMVID)


def test_what_is_hidden_stays_so_when_the_node_comes_back(node: Node, open_page: OpenPage) -> None:
    node.publish()
    page = open_page(node)
    drawn(page, 0)
    page.locator("#legend input").nth(3).uncheck()
    node.close()
    with Node(port=node.port) as again:
        again.index = 100
        again.publish()
        drawn(page, 100)
        hidden = page.evaluate(
            "[...document.querySelectorAll('#legend input')].flatMap((e, i) => e.checked ? [] : [i])"
        )
        assert hidden == [3]


def test_a_picture_of_the_lost_connection_is_not_shown_after_those_of_the_new_one(
    node: Node, open_page: OpenPage
) -> None:
    """Its number is that of another run: all pictures below it were left out, and the page stood still as live."""
    page = open_page(node)
    page.evaluate("""() => {
      const decode = createImageBitmap;
      window.createImageBitmap = (...what) => {
        window.createImageBitmap = decode;
        return new Promise((done) => { window.release = () => done(decode(...what)); });
      };
    }""")
    node.publish(50)
    page.wait_for_function("() => window.release")
    node.close()
    with Node(port=node.port) as again:
        again.index = 100
        again.publish()
        drawn(page, 100)
        page.evaluate("() => window.release()")
        next_shown(page)
        next_shown(page)
        assert page.evaluate("document.body.dataset.frame") == "100"
        again.publish()
        drawn(page, 101)


def test_a_paused_picture_of_other_classes_is_not_shown_beside_the_new_ones(open_page: OpenPage) -> None:
    with Node(labels=CITYSCAPES) as node:
        node.publish()
        page = open_page(node)
        drawn(page, 0)
        page.click("#pause")
    with Node(port=node.port, labels=CAMVID) as again:
        again.publish(2)
        page.get_by_label("Bicyclist").wait_for()
        assert not pixels(page).any()
        page.click("#pause")
        again.publish()
        drawn(page, 2)
        assert pixels(page).any()


def test_a_node_that_comes_back_with_another_token_asks_for_it(open_page: OpenPage) -> None:
    with Node(token=TOKEN) as node:
        node.publish()
        page = open_page(node, f"?token={TOKEN}")
        drawn(page, 0)
    with Node(port=node.port, token=f"another-{TOKEN}") as again:
        again.publish(5)
        page.fill("input[name=token]", f"another-{TOKEN}")
        page.click("button")
        drawn(page, 4)
