"""The page in a real browser: the picture, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from web_node import SIZE, Node, wait_for
from web_viewer import OpenPage, drawn, next_shown, pixels, vehicle

from drivenet.labels import CAMVID, CITYSCAPES
from drivenet.result import Result

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
