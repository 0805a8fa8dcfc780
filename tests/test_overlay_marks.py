"""What stands over an overlay: the mark of a lost source, panels and names that hide nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from overlay_parts import BARE, frame_of, street

from drivenet.errors import UsageError
from drivenet.frame import Image
from drivenet.hud import Hud, engine_label, letters, letters_for
from drivenet.labels import CAMVID
from drivenet.overlay import Painter, lost_view, marked
from drivenet.scene import Scene


def test_a_lost_source_is_grey_dark_and_marked_and_the_view_untouched() -> None:
    view = np.random.default_rng(0).integers(0, 256, (540, 960, 3), dtype=np.uint8)
    before = view.copy()
    lost = lost_view(view, 3.9)
    assert (view == before).all()
    outside = np.r_[lost[:150], lost[-150:]].astype(int)
    assert np.ptp(outside, axis=-1).max() == 0
    assert outside.max() < 160
    assert np.ptp(lost[230:310].astype(int), axis=-1).max() > 100
    assert (lost_view(view, 3.0) == lost).all()
    assert (lost_view(view, 4.0) != lost).any()


def test_a_mark_keeps_the_rest_of_the_picture() -> None:
    view = frame_of(540, 960).image.copy()
    out = marked(view, "PAUSED")
    assert (out[:450] == 90).all()
    assert out[520].max() > 200


@pytest.mark.parametrize("hud", ["off", "small", "full"])
def test_as_many_figures_as_asked_for(hud: str) -> None:
    frame, classmap, scene = street()
    figures = Hud(12.0, {"infer": 3.0}, {"published": 30.0}, {}, source="/home/me/drive.mp4")
    plain = Painter(CAMVID, hud="off").draw(frame, classmap, scene, figures)
    view = Painter(CAMVID, hud=hud).draw(frame, classmap, scene, figures)
    changed = (view != plain).any(2)
    height, width = changed.shape
    upper, foot = changed[: height // 2], changed[-height // 20 :]
    left, right = upper[:, : width // 2], upper[:, width // 2 :]
    assert (left.any(), right.any(), foot.any()) == {
        "off": (False, False, False), "small": (True, False, False), "full": (True, True, True),
    }[hud]  # fmt: skip
    np.testing.assert_array_equal(Painter(CAMVID, hud="off").paint(frame, classmap, scene), plain)


def boxed(scene: Scene, *boxes: tuple[int, int, int, int]) -> Scene:
    """A scene of cars in these boxes, the first one the largest."""
    (car, *_) = scene.things
    return replace(
        scene, instances=None, things=tuple(replace(car, box=box, area=1 / n) for n, box in enumerate(boxes, 1))
    )


def test_no_panel_hides_a_thing_and_no_thing_a_text() -> None:
    frame, classmap, scene = street()
    figures = Hud(12.0, {}, {"published": 30.0}, {})
    corner = boxed(scene, (4, 4, 200, 120))
    full, without = (Painter(CAMVID).draw(frame, classmap, each, figures) for each in (corner, boxed(scene)))
    bare = Painter(CAMVID, hud="off").draw(frame, classmap, corner, figures)
    np.testing.assert_array_equal(full[4, 40:204], bare[4, 40:204])
    assert (full[4:124, 203] >= 0.5 * bare[4:124, 203]).all()  # its edge is seen
    written = (without[:124, :204] > 230).all(-1)
    assert written.sum() > 200
    assert (full[:124, :204][written] > 225).all()


def named(view: Image) -> npt.NDArray[np.bool_]:
    """Where the paper of a car's name is, (H, W)."""
    return np.asarray((view == CAMVID.palette[CAMVID.id_of("Car")][::-1]).all(-1))


def test_a_name_lies_on_no_panel() -> None:
    frame, classmap, scene = street()
    figures = Hud(12.0, {}, {"published": 30.0}, {})
    painter = Painter(CAMVID, alpha=0.0, visualize="instances")
    view = painter.draw(frame, classmap, boxed(scene, (20, 100, 300, 300)), figures)
    plain = painter.draw(frame, classmap, boxed(scene), figures)
    tag = named(view) & ~named(plain)
    dark = plain[:, :200].max(-1) < 50  # the panel, over a road that is lighter
    assert tag.sum() > 300
    assert not (tag[:, :200] & dark).any()


def test_names_of_far_things_do_not_touch() -> None:
    frame, classmap, scene = street()
    type_ = letters(max(10, round(0.8 * letters_for(frame.image).line)))
    pitch = type_.width("Car") + type_.line // 2
    row = boxed(scene, *((300 + n * pitch, 300, pitch - 2, type_.line + 2) for n in range(5)))
    view = Painter(CAMVID, alpha=0.0, hud="off").draw(frame, classmap, row, BARE)
    columns = np.flatnonzero(named(view[300 - type_.line : 300]).any(0))
    gaps = np.diff(columns)[np.diff(columns) > 1]
    assert len(gaps) == 2  # every second one is named
    assert (gaps > type_.line // 3).all()


def test_the_outline_of_a_thing_has_no_black_rim() -> None:
    frame, classmap, scene = street()
    view = Painter(CAMVID, hud="off").draw(frame, classmap, scene, BARE)
    assert scene.instances is not None
    assert (view > 0).any(-1).all()


@pytest.mark.parametrize(
    ("described", "label"),
    [
        ({"file": "/a/b/fast-int8.onnx", "backend": "openvino", "precision": "int8"}, "fast-int8 openvino int8"),
        ({"file": None, "backend": "null", "precision": "fp32"}, "null fp32"),
        ({"backend": "null"}, "null"),
    ],
)
def test_an_engine_is_named_by_its_file_without_the_folder(described: dict[str, object], label: str) -> None:
    assert engine_label(described) == label


def test_no_picture_names_a_folder() -> None:
    frame, classmap, scene = street()
    huds = [Hud(1.0, {}, {}, {}, source=name) for name in ("/a/b/c.mp4", "c.mp4")]
    np.testing.assert_array_equal(*(Painter(CAMVID).draw(frame, classmap, scene, hud) for hud in huds))


def test_a_hud_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="no hud 'ful'; did you mean full"):
        Painter(CAMVID, hud="ful")
