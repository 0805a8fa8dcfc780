"""The page in a real browser: what it shows, what a viewer can choose, and what it says when something is gone."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import sync_playwright
from sink_results import timeline
from web_node import SIZE, Node, wait_for

from drivenet.labels import CAMVID, CITYSCAPES
from drivenet.result import Result
from drivenet.scene import Region

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
TOKEN = "correct-horse-battery"
Page = Any
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as node:
        yield node


@pytest.fixture
def open_page(browser: Any) -> Iterator[OpenPage]:
    """Opens pages; at the end, no script of theirs may have failed or been refused."""
    wrong: list[str] = []
    contexts = []

    def open_(node: Node, path: str = "", **options: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(f"{node.sink.url}{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    expected = ("WebSocket connection", "401", "ERR_CONNECTION_REFUSED")
    assert [text for text in wrong if not any(part in text for part in expected)] == []


def drawn(page: Page, frame: int) -> None:
    """Until the page shows this frame or a later one."""
    page.wait_for_function("n => Number(document.body.dataset.frame) >= n", arg=frame)


def next_shown(page: Page) -> None:
    """Until the screen was renewed: what changed before is drawn."""
    page.evaluate("new Promise(requestAnimationFrame)")


def pixels(page: Page) -> Any:
    """The canvas as it is next shown, (H, W, 3) RGB."""
    next_shown(page)
    url = page.evaluate("document.querySelector('#picture').toDataURL('image/png').split(',')[1]")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url))).convert("RGB")).astype(int)


def test_the_picture_moves(node: Node, open_page: OpenPage) -> None:
    page = open_page(node)
    node.publish()
    drawn(page, 0)
    before = pixels(page)
    node.publish()
    drawn(page, 1)
    assert np.abs(pixels(page) - before).mean() > 1
    node.play()
    drawn(page, 10)
    assert page.inner_text("#badge") == "LIVE"
    assert page.inner_text("#source") == "synthetic://320x180@30"
    page.wait_for_function("() => document.querySelector('#age').textContent.endsWith('ms')")


def test_views_alpha_and_classes_change_the_pixels(node: Node, open_page: OpenPage) -> None:
    result = node.publish()
    page = open_page(node)
    drawn(page, 0)
    page.uncheck("#boxes")
    page.fill("#alpha", "0")
    plain = pixels(page)
    assert plain.shape == (*SIZE, 3)
    assert np.abs(plain - result.frame.image[..., ::-1]).mean() < 6
    page.fill("#alpha", "60")
    blended = pixels(page)
    assert np.abs(blended - plain).mean() > 20
    page.get_by_label("Road").uncheck()
    hidden = pixels(page)
    ids = np.kron(result.classmap.ids, np.ones((2, 2), np.uint8))
    # The page smooths the edges of regions, and outlines run along them.
    away = cv2.dilate(cv2.morphologyEx(ids, cv2.MORPH_GRADIENT, np.ones((3, 3))), np.ones((5, 5))) == 0
    road, others = (ids == CAMVID.id_of("Road")) & away, (ids != CAMVID.id_of("Road")) & away
    assert np.array_equal(hidden[road], plain[road])
    assert np.array_equal(hidden[others], blended[others])
    page.get_by_label("Road").check()
    page.keyboard.press("2")
    assert np.array_equal(pixels(page)[away], CAMVID.rgb_table[ids][away])
    page.get_by_role("radio", name="Side by side").check()
    both = pixels(page)
    assert np.array_equal(both[:, : SIZE[1]], plain)
    assert np.array_equal(both[:, SIZE[1] :][away], blended[away])


def test_pictures_wait_for_the_screen_and_are_asked_for_when_shown(node: Node, open_page: OpenPage) -> None:
    page = open_page(node)
    node.publish()
    drawn(page, 0)
    page.evaluate("""() => {
      window.screen_ = window.requestAnimationFrame;
      window.requestAnimationFrame = (draw) => { window.renew = draw; };
      window.drawings = 0;
      const draw = CanvasRenderingContext2D.prototype.putImageData;
      CanvasRenderingContext2D.prototype.putImageData = function (...how) { window.drawings++; draw.apply(this, how); };
    }""")
    legend = page.inner_text("#legend")
    node.play()
    before = node.index
    wait_for(lambda: node.index > before + 10)
    assert page.evaluate("[window.drawings, document.body.dataset.frame]") == [0, "0"]
    assert page.inner_text("#legend") == legend, "the areas are those of the picture that is shown"
    page.evaluate("() => { window.requestAnimationFrame = window.screen_; window.renew(); }")
    drawn(page, before + 10)


def test_figures_are_those_of_the_stats(node: Node, open_page: OpenPage) -> None:
    node.totals.dropped["superseded"] = 12
    node.publish(40)
    page = open_page(node)
    drawn(page, 39)
    document = json.loads(node.get("/stats.json")[2])
    shown = dict(text.split("\n") for text in page.locator("#legend label").all_inner_texts())
    for cls in CAMVID.classes:
        share = document["frame"]["classes"].get(cls, 0)
        wanted = "< 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
        assert " ".join(shown[cls].split()) == wanted, cls
    page.wait_for_selector("#percentiles tr[data-stage=infer]")
    for window in ("300", "run"):
        page.select_option("#window", window)
        for stage, figures in document["windows"][window]["latency_ms"].items():
            cells = page.locator(f"#percentiles tr[data-stage={stage}] td").all_inner_texts()
            assert cells == [f"{figures['p50']:.2f}", f"{figures['p90']:.2f}", "–", f"{figures['max']:.2f}", "40"]
    assert page.inner_text("#dropped") == "12"
    assert page.inner_text("#drop-reasons") == "superseded 12"
    assert page.inner_text("#fps-published") == "29.3 fps"
    assert page.locator("#stages canvas").count() == page.locator("#histogram canvas").count() == 1


def vehicle(page: Page, result: Result) -> tuple[Region, float, float]:
    """The largest vehicle and where its middle is in the window."""
    region = max(result.scene.regions["vehicle"], key=lambda r: r.area)
    place = page.locator("#picture").bounding_box()
    scale = place["width"] / SIZE[1]
    x, y, w, h = region.box
    return region, place["x"] + scale * (x + w / 2), place["y"] + scale * (y + h / 2)


def test_a_box_tells_its_name(node: Node, open_page: OpenPage) -> None:
    result = node.publish()
    page = open_page(node)
    drawn(page, 0)
    region, x, y = vehicle(page, result)
    page.mouse.move(x, y)
    next_shown(page)
    assert page.inner_text("#tip") == f"{region.cls} · {100 * region.area:.1f} % of the image"
    page.mouse.move(0, 0)
    next_shown(page)
    assert page.locator("#tip").is_hidden()


#: Keeps where names are written, and how high their letters are in pixels of the page.
_NAMES = """() => {
  const fill = CanvasRenderingContext2D.prototype.fillText, paper = CanvasRenderingContext2D.prototype.fillRect;
  window.names = [];
  let last;
  CanvasRenderingContext2D.prototype.fillRect = function (...box) { last = box; paper.apply(this, box); };
  CanvasRenderingContext2D.prototype.fillText = function (text, ...at) {
    const { canvas } = this;
    const px = parseFloat(this.font) * canvas.clientWidth / canvas.width;
    if (canvas.id === "picture") window.names.push({ text, box: last, px });
    fill.call(this, text, ...at);
  };
}"""


def crowded(node: Node) -> Result:
    """Five cars that stand so close that their names would lie on each other."""
    result = node.publish()
    (car, *_) = (thing for thing in result.scene.things if thing.group == "vehicle")
    row = [replace(car, box=(40 + 16 * n, 60, 14, 30), area=0.02 - n / 1000, id=100 + n) for n in range(5)]
    row.append(replace(car, box=(300, 60, 18, 30), area=0.001, id=105))  # its name is wider than it
    return result.with_layers(scene=replace(result.scene, things=tuple(row)))


@pytest.mark.parametrize("width", [1280, 360])
def test_names_do_not_touch_and_are_as_large_on_a_phone(node: Node, open_page: OpenPage, width: int) -> None:
    page = open_page(node, viewport={"width": width, "height": 740})
    node.publish()
    drawn(page, 0)
    page.evaluate(_NAMES)
    node.sink.publish(crowded(node))
    drawn(page, 1)
    page.wait_for_function("() => window.names.some((name) => name.text.endsWith(' 105'))")
    page.evaluate("() => { window.names = []; }")
    page.keyboard.press("+")
    next_shown(page)
    next_shown(page)
    names = page.evaluate("window.names")
    assert names[0]["text"].endswith(" 100"), "the largest has its name"
    assert names[-1]["text"].endswith(" 105"), "so has one whose name is wider than it"
    assert len(names) < 6
    boxes = sorted(name["box"] for name in names)
    assert all(a[0] + a[2] < b[0] for a, b in pairwise(boxes))
    assert boxes[-1][0] + boxes[-1][2] <= SIZE[1] + 1
    assert all(name["px"] > 11.5 for name in names)


@pytest.mark.parametrize("view", ["1", "3"])
def test_nothing_is_left_empty_beside_many_classes(open_page: OpenPage, view: str) -> None:
    with Node(labels=CITYSCAPES) as node:
        node.publish()
        page = open_page(node)
        drawn(page, 0)
        page.keyboard.press(view)
        next_shown(page)
        place = {name: page.locator(f"#{name}").bounding_box() for name in ("classes", "latency", "figures")}
        bottom = {name: box["y"] + box["height"] for name, box in place.items()}
        assert bottom["figures"] == pytest.approx(bottom["classes"], abs=1)
        assert place["latency"]["y"] < bottom["figures"] + 20
        assert page.locator("#legend li").count() == 19
        if view == "1":
            picture = page.locator("#picture").bounding_box()
            assert page.locator("#stage").bounding_box()["height"] == pytest.approx(picture["height"], abs=12)


def test_a_screen_reader_is_told_what_the_picture_shows(node: Node, open_page: OpenPage) -> None:
    result = node.publish()
    page = open_page(node)
    drawn(page, 0)
    cars = sum(thing.cls == "Car" for thing in result.scene.things)
    page.wait_for_function("s => document.querySelector('#picture').ariaLabel.includes(s)", arg=f"{cars} Car")


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


def test_every_stage_has_a_colour_of_its_own(open_page: OpenPage) -> None:
    """Also with all that a run may ask for: what has none is left out of the sum that the chart shows."""
    stages = ("queue", "prepare", "infer", "smooth", "postprocess", "zones", "own", "blur", "draw", "publish")
    with Node(stages=stages) as node:
        node.publish()
        page = open_page(node)
        page.wait_for_selector("#stage-key i")
        shown = page.evaluate(
            "[...document.querySelectorAll('#stage-key i')].map((i) => getComputedStyle(i).backgroundColor)"
        )
    assert len(set(shown)) == len(stages)
    assert "rgba(0, 0, 0, 0)" not in shown


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
