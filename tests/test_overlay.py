"""The overlay: right colours at the right pixels, figures that fit at every size, views, lost source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from overlay_parts import BARE, frame_of, street

from drivenet.classmap import ClassMap
from drivenet.errors import UsageError
from drivenet.frame import Frame, Image
from drivenet.hud import Hud, Panel, Row, caption, letters, panel
from drivenet.labels import CAMVID, CITYSCAPES, IGNORE_ID, LabelSet
from drivenet.overlay import VIEWS, Painter, check_view, lost_view
from drivenet.scene import analyse

HUD = Hud(
    age_ms=41.26,
    p50_ms={"end_to_end": 38.1, "queue": 0.2, "prepare": 0.9, "infer": 124.8, "draw": 1.9},
    fps={"source": 30.0, "processed": 29.94, "published": None},
    dropped={"superseded": 12, "stale": 0},
    source="clip.mp4",
    engine="fast int8",
)


SIZES = [
    (360, 640),
    (480, 854),
    (540, 960),
    (1080, 1920),
    (2160, 3840),
    (180, 320),
    (640, 360),
    (48, 64),
    (5, 7),
    (1, 1),
]


def halves(labels: LabelSet = CAMVID, size: tuple[int, int] = (64, 128)) -> ClassMap:
    """Class 0 above, class 3 below, a band of ignored pixels on the right."""
    ids = np.zeros(size, np.uint8)
    ids[size[0] // 2 :] = 3
    ids[:, -size[1] // 8 :] = IGNORE_ID
    return ClassMap(ids, 3, 0)


def paint(frame: Frame, classmap: ClassMap, hud: Hud = BARE, labels: LabelSet = CAMVID, **keywords: object) -> Image:
    scene = analyse(classmap, labels, frame.size)
    return Painter(labels, **keywords).draw(frame, classmap, scene, hud)  # type: ignore[arg-type]


def drawn(part: Panel | None, image: Image) -> Image:
    """The picture with a panel, if there is room for one."""
    if part:
        part.shade(image)
        part.write(image)
    return image


def test_the_blend_is_the_palette_over_the_frame_and_ignored_pixels_are_the_frame() -> None:
    view = paint(frame_of(540, 960), halves(), alpha=0.5)
    road = np.array(CAMVID.palette[3][::-1])
    assert np.abs(view[500, 400].astype(int) - (road + 90) / 2).max() <= 1
    assert view[500, 950].tolist() == [90, 90, 90]
    assert (view.shape, view.dtype) == ((540, 960, 3), np.uint8)


def test_borders_of_classes_are_drawn_in_full_colour() -> None:
    view = paint(frame_of(540, 960), halves(), alpha=0.5)
    assert view[270, 400].tolist() == list(CAMVID.palette[3][::-1])


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, [90, 90, 90]), (1.0, list(CAMVID.palette[3][::-1]))])
def test_alpha_runs_from_the_frame_to_the_colours(alpha: float, expected: list[int]) -> None:
    view = paint(frame_of(540, 960), halves(), alpha=alpha)
    assert view[500, 400].tolist() == expected


def test_the_mask_view_is_palette_colours_alone() -> None:
    view = paint(frame_of(540, 960), halves(), visualize="mask")
    assert view[500, 400].tolist() == list(CAMVID.palette[3][::-1])
    assert view[500, 950].tolist() == [0, 0, 0]


def test_side_by_side_is_the_frame_as_captured_and_the_overlay() -> None:
    frame = frame_of(540, 960)
    view = paint(frame, halves(), HUD, visualize="side-by-side")
    assert view.shape == (540, 1920, 3)
    assert (view[:, :960] == frame.image).all()
    assert (view[:, 960:] == paint(frame, halves(), HUD)).all()


@pytest.mark.parametrize("visualize", VIEWS)
def test_drawing_leaves_the_frame_alone_and_gives_a_new_picture(visualize: str) -> None:
    frame, classmap = frame_of(120, 200), ClassMap(np.full((120, 200), IGNORE_ID, np.uint8), 0, 0)
    before = frame.image.copy()
    view = paint(frame, classmap, HUD, visualize=visualize)
    assert (frame.image == before).all()
    assert not np.shares_memory(view, frame.image)


@pytest.mark.parametrize("labels", [CAMVID, CITYSCAPES], ids=lambda labels: labels.name)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_picture_size_can_be_drawn(size: tuple[int, int], labels: LabelSet) -> None:
    ids = np.arange(64 * 128, dtype=np.uint32).reshape(64, 128) // 300 % len(labels)
    classmap = ClassMap(ids.astype(np.uint8), 0, 0)
    for visualize in VIEWS:
        width = size[1] * (2 if visualize == "side-by-side" else 1)
        view = paint(frame_of(*size), classmap, HUD, labels, visualize=visualize)
        assert view.shape == (size[0], width, 3)
        assert lost_view(view, 7).shape == view.shape


@pytest.mark.parametrize("size", [(480, 854), (180, 320), (640, 360), (2160, 3840)], ids=str)
def test_panels_keep_to_their_corner_and_leave_the_road_visible(size: tuple[int, int]) -> None:
    height, width = size
    for right in (False, True):
        image = frame_of(*size, grey=200).image.copy()
        drawn(panel(image, [Row(f"row {i}", "1.0 ms", (0, 0, 255)) for i in range(60)], right=right), image)
        touched = np.argwhere((image != 200).any(axis=-1))
        assert len(touched)
        assert touched[:, 0].max() < 0.7 * height
        columns = touched[:, 1]
        assert columns.min() >= width // 2 if right else columns.max() < width // 2


def test_rows_fall_away_where_room_is_short_the_most_important_last() -> None:
    def rows_drawn(height: int) -> int:
        image = frame_of(height, 320, grey=200).image.copy()
        drawn(panel(image, [Row("a", "b")] * 12), image)
        return int((image[:, 10] != 200).any(axis=-1).sum()) // 12

    assert [rows_drawn(h) for h in (20, 90, 180, 400)] == sorted(rows_drawn(h) for h in (20, 90, 180, 400))
    assert rows_drawn(20) == 0
    assert rows_drawn(400) == 12


def test_a_row_too_wide_for_half_the_picture_is_left_out() -> None:
    narrow, wide = (frame_of(300, 320, grey=200).image.copy() for _ in range(2))
    drawn(panel(narrow, [Row("age", "1 ms")]), narrow)
    drawn(panel(wide, [Row("a very long reason to drop frames, " * 3, "1"), Row("age", "1 ms")]), wide)
    assert (narrow == wide).all()


def test_letters_are_legible_at_480p_and_grow_with_the_picture() -> None:
    def letter_height(size: tuple[int, int]) -> int:
        image = np.zeros((*size, 3), np.uint8)
        drawn(panel(image, [Row("H")]), image)
        return int((image.max(axis=-1) > 150).any(axis=1).sum())

    at_480p, at_4k = letter_height((480, 854)), letter_height((2160, 3840))
    assert at_480p >= 8
    assert 3.5 * at_480p <= at_4k <= 6 * at_480p


def test_white_letters_stay_readable_on_a_white_picture() -> None:
    image = np.full((540, 960, 3), 255, np.uint8)
    drawn(panel(image, [Row("frame age", "41 ms")]), image)
    part = image[10:40, 10:200].astype(int)
    assert part.max() - np.median(part) > 150


def test_the_figures_name_age_rates_drops_and_medians_in_this_order() -> None:
    assert [(r.label, r.value) for r in HUD.rows()] == [
        ("frame age", "41.3 ms"),
        ("published", "-"),
        ("processed", "29.9 fps"),
        ("source", "30.0 fps"),
        ("dropped, superseded", "12"),
        ("median end to end", "38.1 ms"),
        ("median queue", "0.2 ms"),
        ("median prepare", "0.9 ms"),
        ("median infer", "125 ms"),
        ("median draw", "1.9 ms"),
    ]


def test_no_drops_are_said_too() -> None:
    assert [(r.label, r.value) for r in BARE.rows()] == [("frame age", "0.0 ms"), ("dropped", "0")]


def test_the_legend_shows_the_colours_of_the_classes_present() -> None:
    view = paint(frame_of(540, 960), halves(), visualize="mask")
    legend = view[:100, 700:].reshape(-1, 3)
    assert (legend == CAMVID.palette[3][::-1]).all(axis=-1).any()  # road, which lies in the lower half
    assert not (legend == CAMVID.palette[8][::-1]).all(axis=-1).any()


def test_countable_things_are_boxed() -> None:
    ids = np.full((64, 128), CAMVID.id_of("Road"), np.uint8)
    ids[40:50, 40:60] = CAMVID.id_of("Car")
    view = paint(frame_of(640, 1280), ClassMap(ids, 0, 0), alpha=0.0)
    touched = np.argwhere((view[390:510, 300:700] != 90).any(axis=-1)) + np.array([390, 300])
    assert (touched.min(axis=0) - (400, 400) <= 2).all()
    assert (touched.max(axis=0) - (499, 599) <= 2).all()
    assert (view[450, 500] == 90).all()


def test_the_way_of_a_thing_is_drawn_if_asked_for() -> None:
    frame, classmap, scene = street()
    (thing,) = scene.things
    moved = replace(scene, things=(replace(thing, trail=((600.0, 200.0), (680.0, 200.0))),))
    plain, shown = (Painter(CAMVID, trail=trail).draw(frame, classmap, moved, BARE) for trail in (False, True))
    rows, columns = np.nonzero((plain != shown).any(-1))
    assert (abs(rows - 200) < 4).all()
    assert (columns.min(), columns.max()) == pytest.approx((600, 680), abs=4)


def test_a_caption_too_long_is_shortened_and_a_flat_picture_has_none() -> None:
    type_ = letters(16)
    assert type_.shorten("short", 200) == "short"
    assert type_.shorten("rtsp://a/very/long/address", 90).endswith("...")
    assert type_.width(type_.shorten("rtsp://a/very/long/address", 90)) <= 90
    assert type_.shorten("long", 2) == ""
    assert caption(frame_of(60, 320).image, "clip.mp4") is None


def test_a_file_name_that_is_no_text_is_drawn_with_question_marks() -> None:
    odd, plain = frame_of(180, 320).image.copy(), frame_of(180, 320).image.copy()
    drawn(caption(odd, "stra\udcdfe\n.mp4"), odd)
    drawn(caption(plain, "stra?e?.mp4"), plain)
    assert (odd == plain).all()
    assert (odd != frame_of(180, 320).image).any()
    assert letters(16).width("stra\udcdfe") == letters(16).width("stra?e")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Painter(CAMVID, "overly"), "no view 'overly'; did you mean overlay?"),
        (lambda: check_view("x"), "no view 'x'; choose from instances, mask, overlay, side-by-side"),
        (lambda: Painter(CAMVID, alpha=1.5), "overlay alpha 1.5; expected 0 (frame only) to 1 (class colours only)"),
    ],
)
def test_a_wrong_choice_is_a_usage_error(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message


def test_another_view_of_a_drawn_result_has_its_figures_and_its_own_age() -> None:
    frame, classmap = frame_of(540, 960), halves()
    scene = analyse(classmap, CAMVID, frame.size)
    painter = Painter(CAMVID)
    painter.draw(frame, classmap, scene, HUD)
    again = painter.redraw(frame, classmap, scene, "mask", HUD.age_ms)
    assert (again == paint(frame, classmap, HUD, visualize="mask")).all()
    older = painter.redraw(frame, classmap, scene, "mask", 999.0)
    assert (older != again).any()
    assert (older[250:] == again[250:]).all()
