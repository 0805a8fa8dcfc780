"""The page in a real browser as it is used: by keys, on a phone, with a token."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from sink_results import timeline
from web_node import SIZE, Node, wait_for
from web_viewer import OpenPage, drawn, next_shown, pixels, vehicle

TOKEN = "correct-horse-battery"


def test_pause_keeps_the_picture_and_keys_do_what_they_say(node: Node, open_page: OpenPage) -> None:
    page = open_page(node)
    node.play()
    drawn(page, 1)
    beside = page.locator("#snapshot").bounding_box()
    page.keyboard.press("Space")
    assert page.locator("#paused").is_visible()
    assert page.locator("#snapshot").bounding_box() == beside, "no button moves under the pointer"
    page.wait_for_function(
        "() => document.querySelector('#badge').textContent === 'PAUSED'"
    )  # the node may be starting
    next_shown(page)
    still = page.evaluate("document.body.dataset.frame")
    count = node.totals.published
    page.wait_for_function("n => document.querySelector('#percentiles td:last-child')?.textContent > n", arg=count)
    assert page.evaluate("document.body.dataset.frame") == still
    with page.expect_download() as saved:
        page.keyboard.press("s")
    assert saved.value.suggested_filename == f"drivenet-{int(still):06d}.png"
    with Image.open(saved.value.path()) as picture:
        assert picture.size == (SIZE[1], SIZE[0])
    page.keyboard.press("Space")
    drawn(page, int(still) + 1)
    page.wait_for_function("() => document.querySelector('#badge').textContent === 'LIVE'")
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement?.id === 'stage'")


def test_everything_is_reached_with_the_tab_key(node: Node, open_page: OpenPage) -> None:
    node.publish()
    page = open_page(node)
    drawn(page, 0)
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert {"view", "alpha", "boxes", "pause", "snapshot", "full", "theme", "all", "none", "window"} <= reached


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_phone_shows_it_without_sideways_scrolling(node: Node, open_page: OpenPage, scheme: str) -> None:
    result = node.publish(5)
    page = open_page(node, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True, color_scheme=scheme)
    drawn(page, 4)
    page.wait_for_selector("#percentiles tr[data-stage=infer]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(v) for v in back[4:-1].split(",")) < 200) == (scheme == "dark")
    region, x, y = vehicle(page, result)
    page.touchscreen.tap(x, y)
    next_shown(page)
    assert page.inner_text("#tip").startswith(region.cls)
    page.get_by_role("radio", name="Side by side").tap()
    assert pixels(page).shape == (2 * SIZE[0], SIZE[1], 3)


@pytest.mark.parametrize("width", [360, 390])
def test_the_whole_table_of_latency_is_seen_on_a_phone(node: Node, open_page: OpenPage, width: int) -> None:
    """Also with percentiles of all kinds, and times as of a slow machine."""
    result = node.publish()
    start = result.frame.captured_ns
    slow = replace(result, timeline=timeline(start, (123.4, 246.8, 999.9, 1234.5, 1357.9)))
    for _ in range(2000):
        node.sink.publish(slow)
        node.sink.settled(slow)
    page = open_page(node, viewport={"width": width, "height": 740}, is_mobile=True, has_touch=True)
    page.wait_for_function("() => document.querySelector('tr[data-stage=infer] td:last-child')?.innerText === '2001'")
    assert page.inner_text("tr[data-stage=infer] td:nth-child(4)") != "–"
    wide, room = page.evaluate(
        "(({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth])(document.querySelector('.table'))"
    )
    assert wide <= room


def test_the_token_is_asked_and_leaves_the_address_bar(open_page: OpenPage) -> None:
    with Node(token=TOKEN) as node:
        node.publish()
        page = open_page(node)
        page.fill("input[name=token]", TOKEN)
        page.click("button")
        drawn(page, 0)
        assert page.url == node.sink.url


def test_a_recording_is_locked_by_a_button_that_is_there_only_with_segments(node: Node, open_page: OpenPage) -> None:
    locked: list[int] = []
    page = open_page(node)
    node.play()
    drawn(page, 1)
    assert not page.is_visible("#lock")
    node.sink.lock_with(lambda: locked.append(1))
    page.click("#lock")
    page.wait_for_function("() => document.querySelector('#lock').textContent === 'Locked'")
    page.keyboard.press("l")
    wait_for(lambda: len(locked) == 2)
