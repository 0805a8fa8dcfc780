"""Privacy: nothing that reaches an output shows the things that are to be hidden; in doubt more is hidden."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from drivenet.classmap import ClassMap
from drivenet.cli.stages import open_stages
from drivenet.config import NodeSettings
from drivenet.engine import open_engine
from drivenet.errors import UsageError
from drivenet.frame import Frame
from drivenet.labels import CAMVID
from drivenet.latency import Timeline
from drivenet.pipeline import Pipeline
from drivenet.record import CLASSMAP, CONFIDENCE, Record
from drivenet.result import Result
from drivenet.sinks.base import Sink
from drivenet.sources import open_source
from drivenet.stages import default_stages, run_stages
from drivenet.stages.blur import REMEMBERED, Blur, ids_of, mosaic
from drivenet.stages.choose import LEFT_OUT, ChooseClasses

NAMES = ("pedestrian", "vehicle")
ROAD, CAR = CAMVID.id_of("Road"), CAMVID.id_of("Car")
NOISE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)


def record(ids: np.ndarray | None, sure: np.ndarray | None = None) -> Record:
    layers: dict[str, object] = {} if ids is None else {CLASSMAP: ClassMap(ids, 0, 0)}
    if sure is not None:
        layers[CONFIDENCE] = sure
    return Record(Frame(NOISE, 0, 0), CAMVID, Timeline(0), layers)


def street(car: slice = slice(20, 30)) -> np.ndarray:
    ids = np.full((60, 80), ROAD, np.uint8)
    ids[25:35, car] = CAR
    return ids


def hidden(shown: Record) -> np.ndarray:
    return np.asarray((shown.frame.image == mosaic(NOISE)).all(axis=2))


def test_things_are_hidden_with_a_margin_and_the_road_is_not() -> None:
    mask = hidden(Blur(NAMES, CAMVID)(record(street())))
    assert mask[48:72, 38:62].all(), "two pixels of the picture for one of the ids, and a margin"
    assert not mask[:40].all()
    assert mask.mean() < 0.15


def test_nothing_to_hide_leaves_the_picture_alone() -> None:
    given = record(np.full((60, 80), ROAD, np.uint8))
    np.testing.assert_array_equal(Blur(NAMES, CAMVID)(given).frame.image, NOISE)


def test_what_is_hidden_does_not_depend_on_the_chosen_classes() -> None:
    """``--classes`` makes 255 of all others, which is no doubt about them."""
    given = record(street())
    plain = Blur(NAMES, CAMVID)(given).frame.image
    for chosen in ("Car", "road", "pedestrian"):
        shown = Blur(NAMES, CAMVID)(ChooseClasses(CAMVID, [chosen])(given)).frame.image
        np.testing.assert_array_equal(shown, plain, err_msg=chosen)


@pytest.mark.parametrize("blur", [(), ("vehicle",)], ids=["no blur", "blur"])
def test_what_was_not_chosen_is_kept_for_a_blur_alone(blur: tuple[str, ...]) -> None:
    settings = NodeSettings(source="0", classes=("road",), blur=blur)
    with closing(open_engine(backend="null")) as engine:
        stages = open_stages(settings, engine, track=False)
        found = run_stages(Record(Frame(NOISE, 0, 0), engine.spec.label_set, Timeline(0)), stages)
    assert (LEFT_OUT in found.layers) == bool(blur)


def test_a_pixel_that_loses_its_chosen_class_is_hidden() -> None:
    chosen = ChooseClasses(CAMVID, ["road"])(record(np.full((60, 80), ROAD, np.uint8)))
    lost = chosen.with_ids(np.full((60, 80), 255, np.uint8))
    assert hidden(Blur(NAMES, CAMVID)(lost)).all()


@pytest.mark.parametrize("odd", [255, len(CAMVID), 200])
def test_pixels_without_a_class_are_hidden(odd: int) -> None:
    ids = np.full((60, 80), ROAD, np.uint8)
    ids[10:20, 10:20] = odd
    assert hidden(Blur(NAMES, CAMVID)(record(ids)))[20:40, 20:40].all()


def test_pixels_that_the_engine_is_not_sure_of_are_hidden() -> None:
    sure = np.full((60, 80), 250, np.uint8)
    sure[40:50, 60:70] = 90
    shown = Blur(NAMES, CAMVID)(record(np.full((60, 80), ROAD, np.uint8), sure))
    assert hidden(shown)[80:100, 120:140].all()


def test_without_ids_the_whole_picture_is_hidden() -> None:
    assert hidden(Blur(NAMES, CAMVID)(record(None))).all()


def test_what_is_missed_for_a_moment_stays_hidden() -> None:
    blur, empty = Blur(NAMES, CAMVID), np.full((60, 80), ROAD, np.uint8)
    blur(record(street()))
    for _ in range(REMEMBERED):
        assert hidden(blur(record(empty)))[50:70, 40:60].all()
    assert not hidden(blur(record(empty)))[50:70, 40:60].all()
    blur(record(street()))
    blur.reset()
    assert not hidden(blur(record(empty)))[50:70, 40:60].all()


def test_the_mosaic_tells_nothing_of_a_face() -> None:
    """A face of a 16th of the picture's width is three cells wide."""
    cells = mosaic(np.random.default_rng(1).integers(0, 256, (540, 960, 3), dtype=np.uint8))
    assert len(np.unique(cells[200:260, 300:360].reshape(-1, 3), axis=0)) <= 25


def test_a_name_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"--blur pedestrain; expected groups or classes of the model; did you mean pedestrian"
    ):
        Blur(["pedestrain"], CAMVID)
    assert ids_of(["Car", "pedestrian"], CAMVID) == sorted(
        {CAR, *(n for n, c in enumerate(CAMVID.classes) if CAMVID.groups[c] == "pedestrian")}
    )


class Keeper(Sink):
    """All that a sink gets hold of."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def publish(self, result: Result) -> None:
        self.results.append(result)


def test_no_output_ever_gets_the_clear_picture() -> None:
    """Neither as frame, nor as view, nor in a layer."""
    engine = open_engine(None, "null", "auto")
    clear = [frame.image.copy() for frame in open_source("synthetic://96x64@30?frames=6", paced=False, seed=0)]
    stages = default_stages(engine, on_scene=[Blur(CAMVID.classes, CAMVID)])  # all of it
    keeper = Keeper()
    source = open_source("synthetic://96x64@30?frames=6", paced=False, seed=0)
    Pipeline(source, engine, [keeper], policy="every", stages=stages).run()
    assert len(keeper.results) == 6
    for result, image in zip(keeper.results, clear, strict=True):
        np.testing.assert_array_equal(result.frame.image, mosaic(image))
        pictures = [layer for layer in result.layers.values() if isinstance(layer, np.ndarray) and layer.ndim == 3]
        assert not pictures
        assert result.view is not None
        blended = 0.5 * image + 0.5 * result.labels.bgr_table[result.ids]
        assert np.abs(result.view.astype(float) - blended).mean() > 2


@pytest.mark.parametrize("size", [(30, 40), (90, 120)])
def test_what_was_seen_stays_hidden_where_an_engine_with_another_input_goes_on(size: tuple[int, int]) -> None:
    blur = Blur(NAMES, CAMVID)
    blur(record(street()))
    other = replace(record(None), layers={CLASSMAP: ClassMap(np.full(size, ROAD, np.uint8), 0, 0)})
    assert hidden(blur(other))[50:70, 40:60].all()
