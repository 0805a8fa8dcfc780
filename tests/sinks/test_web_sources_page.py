"""The page of several sources in a real browser: what it shows, also when the node goes away and comes back."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from sink_results import fares, make_result
from web_node import Node

from drivenet.health import State
from drivenet.labels import CAMVID
from drivenet.latency import STAGES, now_ns
from drivenet.overlay import Painter
from drivenet.result import Totals
from drivenet.sinks.web.page import MultiPage

#: One more than the connections that a browser opens to a server.
NAMES = ("front", "rear", "left", "right", "gate", "yard", "roof")
BLUE, RED = (200, 40, 40), (40, 40, 200)
#: The middle of a picture, as the screen has it.
_COLOUR = """(name) => {
  const image = document.querySelector(`[href="live/${name}/"] canvas`);
  if (!image) return null;
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  canvas.drawImage(image, image.width * 0.8, image.height * 0.3, 1, 1, 0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
}"""


@contextmanager
def playing(
    port: int,
    colour: tuple[int, int, int],
    states: dict[str, State],
    names: tuple[str, ...] = NAMES,
    token: str | None = None,
) -> Iterator[MultiPage]:
    """All sources give frames of one colour, ten a second."""
    page = MultiPage(
        "127.0.0.1", port, token=token, allow_anonymous=False, painter=Painter(CAMVID, hud="off", alpha=0.1),
        sources={name: f"rtsp://cam/{name}" for name in names}, engine={"backend": "null"}, stages=STAGES,
    )  # fmt: skip
    stop = threading.Event()

    def play() -> None:
        index = 0
        while not stop.wait(0.1):
            for name in names:
                page.sinks[name].publish(make_result(index, captured_ns=now_ns(), colour=colour))
                page.sinks[name].health(fares(states.get(name, "ok"), 5.0))
            index += 1

    player = threading.Thread(target=play)
    player.start()
    try:
        yield page
    finally:
        stop.set()
        player.join()
        page.close()


@pytest.fixture
def browser_page(browser: Any) -> Iterator[Any]:
    page = browser.new_page()
    page.set_default_timeout(15_000)
    yield page
    page.close()


def shows(page: Any, name: str, channel: int) -> None:
    """Until a source's picture has most of this of red, green and blue."""
    most = "c && c.indexOf(Math.max(...c.slice(0, 3))) === channel"
    wanted = f"([name, channel]) => {{ const c = ({_COLOUR})(name); return {most}; }}"
    page.wait_for_function(wanted, arg=[name, channel])


def says(page: Any, name: str, word: str) -> None:
    page.wait_for_function(
        "([name, word]) => document.querySelector(`[href='live/${name}/'] .badge`).textContent === word",
        arg=[name, word],
    )


def test_each_of_many_sources_shows_its_pictures_and_its_state(browser_page: Any) -> None:
    with playing(0, BLUE, {"roof": "lost"}) as node:
        browser_page.goto(node.url)
        for name in NAMES[:-1]:
            says(browser_page, name, "LIVE")
            shows(browser_page, name, 2)
        says(browser_page, "roof", "LOST")
        browser_page.wait_for_function("() => document.querySelector('#badge').textContent === 'LOST'")


def test_sources_stand_in_the_order_in_which_they_were_given(browser_page: Any) -> None:
    """Of an object of JSON, browsers put keys that are numbers first, by value."""
    names = ("rear", "10", "2", "0")
    with playing(0, BLUE, {}, names) as node:
        browser_page.goto(node.url)
        says(browser_page, "0", "LIVE")
        shown = browser_page.evaluate("[...document.querySelectorAll('.tile b')].map((one) => one.textContent)")
        assert tuple(shown) == names


def test_a_recording_is_not_called_live(browser_page: Any) -> None:
    with playing(0, BLUE, {}) as node:
        node.sinks["rear"].shows(replay=True)
        browser_page.goto(node.url)
        says(browser_page, "front", "LIVE")
        says(browser_page, "rear", "REPLAY")
        browser_page.wait_for_function("() => document.querySelector('#badge').textContent === 'ALL OK'")
        browser_page.click("[href='live/rear/']")
        browser_page.wait_for_function("() => document.querySelector('#badge')?.textContent === 'REPLAY'")


def test_a_source_that_ended_in_good_order_is_shown_as_one(browser_page: Any) -> None:
    with playing(0, BLUE, {}) as node:
        browser_page.goto(node.url)
        shows(browser_page, "rear", 2)
        node.sinks["rear"].close(Totals(captured=1, published=1))
        says(browser_page, "rear", "ENDED")
        browser_page.wait_for_function("() => document.querySelector('#badge').textContent === 'ALL LIVE'")
        look = "(s) => getComputedStyle(document.querySelector(s)).backgroundColor"
        red, green, _ = colour(browser_page.evaluate(look, "[href='live/rear/'] .badge"))
        assert red <= green, "not the colour of what is wrong"
        browser_page.click("[href='live/rear/']")
        browser_page.wait_for_function("() => document.querySelector('#banner')?.innerText === 'ENDED'")
        for part in ("#badge", "#banner span"):
            red, green, _ = colour(browser_page.evaluate(look, part))
            assert red <= green


def colour(text: str) -> list[float]:
    """Red, green and blue of what a style says."""
    return [float(value) for value in re.findall(r"[\d.]+", text)[:3]]


def test_a_node_that_is_gone_is_never_taken_for_live_and_found_again(browser_page: Any) -> None:
    with playing(0, BLUE, {}) as node:
        browser_page.goto(node.url)
        port = node.port
        shows(browser_page, "front", 2)
    says(browser_page, "front", "RECONNECTING")
    browser_page.wait_for_function("() => document.querySelectorAll('.tile[data-old]').length === 7")
    filtered = browser_page.evaluate("getComputedStyle(document.querySelector('.tile canvas')).filter")
    assert "grayscale" in filtered
    with playing(port, RED, {}):
        shows(browser_page, "front", 0)
        says(browser_page, "front", "LIVE")
        browser_page.wait_for_function("() => document.querySelectorAll('.tile[data-old]').length === 0")


def test_a_network_that_is_gone_is_said_though_no_request_ends(browser_page: Any) -> None:
    """The tiles stood still, each with its badge LIVE."""
    with playing(0, BLUE, {}) as node:
        browser_page.goto(node.url)
        shows(browser_page, "front", 2)
        browser_page.route("**/*", lambda route: None)
        says(browser_page, "front", "RECONNECTING")
        browser_page.wait_for_function("() => document.querySelectorAll('.tile[data-old]').length === 7")
        browser_page.unroute("**/*")
        says(browser_page, "front", "LIVE")
        browser_page.wait_for_function("() => document.querySelectorAll('.tile[data-old]').length === 0")


def test_a_tab_that_nobody_sees_asks_for_no_pictures(browser_page: Any) -> None:
    with playing(0, BLUE, {}) as node:
        browser_page.goto(node.url)
        shows(browser_page, "front", 2)
        browser_page.evaluate("() => Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        browser_page.wait_for_timeout(500)
        asked: list[str] = []
        browser_page.on("request", lambda request: asked.append(request.url))
        browser_page.wait_for_timeout(1500)
        assert not [url for url in asked if "overlay.jpg" in url]
        browser_page.evaluate("() => delete document.hidden")
        browser_page.wait_for_event("request", lambda request: "overlay.jpg" in request.url)


def test_from_one_source_there_is_a_way_back(browser_page: Any) -> None:
    with playing(0, BLUE, {}) as node:
        browser_page.goto(node.url)
        browser_page.click("[href='live/rear/']")
        browser_page.wait_for_function(
            "() => document.querySelector('#source')?.textContent === 'rear · rtsp://cam/rear'"
        )
        browser_page.click("#overview")
        browser_page.wait_for_url(node.url)


def test_a_source_that_a_restarted_node_lacks_is_gone(browser_page: Any) -> None:
    with playing(0, BLUE, {}, ("front", "rear")) as node:
        browser_page.goto(node.url)
        says(browser_page, "rear", "LIVE")
        port = node.port
    with playing(port, RED, {}, ("front", "gate")):
        browser_page.wait_for_selector("[href='live/gate/']")
        assert browser_page.locator(".tile b").all_inner_texts() == ["front", "gate"]


def test_a_node_that_comes_back_with_one_source_is_shown_and_the_other_way_round(browser_page: Any) -> None:
    with playing(0, BLUE, {}, ("front", "rear")) as node:
        browser_page.goto(node.url)
        says(browser_page, "rear", "LIVE")
        port = node.port
    with Node(port=port) as one:
        one.play()
        browser_page.wait_for_function("() => document.querySelector('#stage')?.dataset.state === 'ok'")
    with playing(port, RED, {}, ("front", "rear")):
        browser_page.wait_for_selector("[href='live/rear/']")


def test_each_page_asks_for_the_token_and_keeps_it(browser_page: Any) -> None:
    token = "correct-horse-battery"
    with playing(0, BLUE, {}, ("front", "rear"), token) as node:
        browser_page.goto(f"{node.url}live/rear/")
        browser_page.fill("input[name=token]", token)
        browser_page.click("button")
        browser_page.wait_for_function("() => document.querySelector('#badge')?.textContent === 'LIVE'")
        assert browser_page.url == f"{node.url}live/rear/"
        browser_page.context.clear_cookies()
        browser_page.goto(f"{node.url}live/front/?token={token}")
        browser_page.wait_for_function("() => document.querySelector('#badge')?.textContent === 'LIVE'")
        assert browser_page.url == f"{node.url}live/front/"


def test_pictures_that_were_shown_are_not_kept(browser_page: Any) -> None:
    """A browser keeps each <img> that it loaded, up to 0.6 GB of them."""
    counted = "new Proxy(Image, { construct: (of, how) => { made++; return new of(...how); } })"
    browser_page.add_init_script(f"window.made = 0; window.Image = {counted}")
    with playing(0, BLUE, {}, ("front", "rear")) as node:
        browser_page.goto(node.url)
        shows(browser_page, "rear", 2)
        assert browser_page.evaluate("window.made + document.images.length") == 0
