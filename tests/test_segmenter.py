"""Single pictures from Python: the same result as a run's, whatever comes in, and one line for what is no picture."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from onnx_models import SIZE, paint, palette_model, sure_things_model

from drivenet.artefacts.catalog import default_of
from drivenet.engine import open_engine
from drivenet.errors import EngineError, SourceError, UsageError
from drivenet.frame import Frame
from drivenet.labels import CAMVID, CITYSCAPES
from drivenet.pipeline import Pipeline
from drivenet.prepare import resize_ids
from drivenet.result import Result
from drivenet.segmenter import Segmenter
from drivenet.sinks.base import Sink
from drivenet.sources import open_source

DRIVE = "synthetic://160x96@30?frames=3"


class Keeper(Sink):
    needs_view = False

    def __init__(self) -> None:
        self.results: list[Result] = []

    def publish(self, result: Result) -> None:
        self.results.append(result)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Says for every pixel the class whose colour is nearest."""
    return palette_model(tmp_path)


def test_a_segmenter_finds_what_a_run_finds(model: Path) -> None:
    keeper = Keeper()
    Pipeline(open_source(DRIVE, paced=False), open_engine(model), [keeper]).run()
    assert len(keeper.results) == 3
    with Segmenter(model) as segmenter:
        for result in keeper.results:
            found = segmenter.segment(result.frame)
            assert found.frame is result.frame
            assert np.array_equal(found.classmap.ids, result.classmap.ids)
            untracked = tuple(replace(t, id=0, age_s=0.0, velocity=(0.0, 0.0), trail=()) for t in result.scene.things)
            assert found.scene == replace(result.scene, things=untracked)
            assert (found.classmap.index, found.classmap.captured_ns) == (result.frame.index, result.frame.captured_ns)


def test_what_it_gives(model: Path) -> None:
    picture = np.empty((96, 160, 3), np.uint8)
    picture[:48] = CAMVID.bgr_table[CAMVID.id_of("Sky")]
    picture[48:] = CAMVID.bgr_table[CAMVID.id_of("Road")]
    picture[60:84, 40:80] = CAMVID.bgr_table[CAMVID.id_of("Car")]
    with Segmenter(str(model)) as segmenter:
        found = segmenter.segment(picture)
        assert segmenter.labels == found.labels == CAMVID
        assert segmenter.segment(picture).frame.index == found.frame.index + 1 == 1
    assert found.ids.shape == (96, 160)
    assert found.ids.dtype == np.uint8
    assert np.array_equal(found.ids, resize_ids(found.classmap.ids, (96, 160)))
    assert {CAMVID.classes[i] for i in np.unique(found.ids)} == {"Sky", "Road", "Car"} == set(found.scene.classes)
    (car,) = found.scene.regions["vehicle"]
    assert (car.cls, car.box) == ("Car", (40, 60, 40, 24))
    assert set(found.stages_ms) == {"prepare", "infer", "postprocess"}
    assert all(ms >= 0 for ms in found.stages_ms.values())
    assert "160x96" in repr(found)
    assert "Car" in repr(found)


def test_the_overlay_is_a_new_picture_without_figures(model: Path) -> None:
    picture = np.full((96, 160, 3), 200, np.uint8)
    before = picture.copy()
    with Segmenter(model) as segmenter:
        found = segmenter.segment(picture)
    assert np.array_equal(found.overlay(alpha=0), picture), "one class everywhere, no box: nothing to draw"
    (cls,) = found.scene.classes
    assert (found.overlay(alpha=1) == CAMVID.bgr_table[CAMVID.id_of(cls)]).all()
    assert np.array_equal(picture, before)
    with pytest.raises(UsageError, match="overlay alpha 2"):
        found.overlay(alpha=2)


def test_rows_may_lie_anywhere_in_memory(model: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)
    with Segmenter(model) as segmenter:
        flipped = segmenter.segment(rgb[:, ::-1, ::-1])
        copied = segmenter.segment(np.ascontiguousarray(rgb[:, ::-1, ::-1]))
    assert np.array_equal(flipped.ids, copied.ids)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (None, "is NoneType.*cv2.imread gives None"),
        (7, "is int; expected a C-contiguous HxWx3 uint8 BGR image"),
        (np.zeros((4, 4), np.uint8), r"is uint8 \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"is uint8 \(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), r"is float32 \(4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"is uint8 \(0, 4, 3\)"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(picture: object, message: str) -> None:
    with Segmenter(backend="null") as segmenter, pytest.raises(UsageError, match=message) as refused:
        segmenter.segment(picture)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_it_is_closed_at_the_end(model: Path) -> None:
    with Segmenter(model) as segmenter:
        pass
    with pytest.raises(EngineError, match="closed"):
        segmenter.segment(np.zeros((4, 4, 3), np.uint8))
    segmenter.close()


def test_an_engine_is_named_as_on_the_command_line() -> None:
    default = default_of() or ""
    with Segmenter(default, backend="onnxruntime") as named, Segmenter(backend="onnxruntime") as unnamed:
        assert named.engine.describe() == unnamed.engine.describe()
    with pytest.raises(EngineError, match=f"no engine '{default}s'; .*did you mean {default}"):
        Segmenter(f"{default}s")
    with pytest.raises(UsageError, match="no backend 'onnx'"):
        Segmenter(backend="onnx")


def test_threads_may_share_one(model: Path) -> None:
    pictures = [np.full((96, 160, 3), 40 * i, np.uint8) for i in range(6)]
    found: dict[int, np.ndarray] = {}
    with Segmenter(model) as segmenter:
        alone = [segmenter.segment(p).ids for p in pictures]

        def work(i: int) -> None:
            found[i] = segmenter.segment(pictures[i]).ids

        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(np.array_equal(found[i], alone[i]) for i in range(6))


def test_a_frame_keeps_its_time() -> None:
    with Segmenter(backend="null") as segmenter:
        found = segmenter.segment(Frame(np.zeros((8, 8, 3), np.uint8), 17, 123))
    assert (found.frame.index, found.classmap.captured_ns) == (17, 123)


def test_a_path_a_list_and_a_batch(model: Path, tmp_path: Path) -> None:
    batch = np.stack([frame.image for frame in open_source(DRIVE, paced=False)])
    file = tmp_path / "drive.png"
    assert cv2.imwrite(str(file), batch[0])
    with Segmenter(model) as segmenter:
        of_batch = segmenter.segment(batch)  # type: ignore[arg-type]
        assert isinstance(of_batch, list)
        of_list = segmenter.segment([file, str(file), batch[2]])
        assert [found.frame.index for found in [*of_batch, *of_list]] == [0, 1, 2, 3, 4, 5]
        for found, image in zip(of_list, (batch[0], batch[0], batch[2]), strict=True):
            assert np.array_equal(found.ids, segmenter.segment(image).ids)
        with pytest.raises(SourceError, match=r"none\.png cannot be read"):
            segmenter.segment(tmp_path / "none.png")


def test_many_images_have_the_things_that_each_has(tmp_path: Path) -> None:
    """Two cars side by side, which only the centres of the model tell apart."""
    shape = SIZE[0] // 2, SIZE[1] // 2
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    centres = np.zeros(shape, np.uint8)
    centres[8, [6, 18]] = 200
    offsets = np.stack([128 + 8 - rows, 128 + np.where(columns < 12, 6, 18) - columns]).astype(np.uint8)
    picture = paint(np.full(SIZE, CITYSCAPES.id_of("car"), np.uint8), CITYSCAPES)
    with Segmenter(sure_things_model(tmp_path, centres, offsets, labels=CITYSCAPES)) as segmenter:
        one, (other,) = segmenter.segment(picture), segmenter.segment_many([picture])
    assert len(one.scene.things) == 2
    assert other.scene.things == one.scene.things


@pytest.mark.parametrize("path", ["frames", Path("drive.mp4")])
def test_a_path_is_not_many_images(model: Path, path: str | Path) -> None:
    with (
        Segmenter(model) as segmenter,
        pytest.raises(UsageError, match=rf"path {path} as many.*open_source"),
    ):
        list(segmenter.segment_many(path))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (np.zeros((48, 64, 3), np.uint8), r"one array of uint8 \(48, 64, 3\)"),
        (Frame(np.zeros((48, 64, 3), np.uint8), 0, 0), "one Frame"),
        (None, "one NoneType"),
    ],
    ids=["image", "frame", "nothing"],
)
def test_one_image_is_not_many(model: Path, one: Any, says: str) -> None:
    with (
        Segmenter(model) as segmenter,
        pytest.raises(UsageError, match=rf"^{says} as many pictures.*segment\(\.\.\.\) for one picture"),
    ):
        list(segmenter.segment_many(one))


def test_many_images_give_what_each_gives(model: Path) -> None:
    with Segmenter(model) as segmenter:
        expected = [segmenter.segment(frame) for frame in open_source(DRIVE, paced=False)]
    with Segmenter(model) as segmenter:
        many = list(segmenter.segment_many(found.frame for found in expected))
    assert [found.frame for found in many] == [found.frame for found in expected]
    for one, other in zip(many, expected, strict=True):
        assert np.array_equal(one.classmap.ids, other.classmap.ids)
        assert one.scene == other.scene
        assert set(one.stages_ms) == {"prepare", "infer", "postprocess"}
        assert min(one.stages_ms.values()) > 0


def test_lanes_give_the_same_in_the_same_order(model: Path) -> None:
    pictures = [frame.image for frame in open_source(DRIVE.replace("frames=3", "frames=9"), paced=False)]
    with Segmenter(model, backend="onnxruntime") as segmenter, Segmenter(model, "onnxruntime", lanes=3) as several:
        expected, many = list(segmenter.segment_many(pictures)), list(several.segment_many(pictures))
        assert several.engine.lanes == 3
        assert [found.frame.index for found in many] == list(range(len(pictures)))
        for one, other in zip(many, expected, strict=True):
            assert np.array_equal(one.ids, other.ids)
            assert one.scene == other.scene
        assert np.array_equal(several.segment(pictures[0]).ids, expected[0].ids)


def test_what_was_begun_before_a_picture_that_cannot_be_read_is_given(model: Path, tmp_path: Path) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    with Segmenter(model, lanes=2) as segmenter:
        found = segmenter.segment_many([picture, picture, picture, tmp_path / "none.png", picture])
        assert [next(found).frame.index for _ in range(3)] == [0, 1, 2]
        with pytest.raises(SourceError, match=r"none\.png cannot be read"):
            next(found)
        left = segmenter.segment_many([picture] * 9)
        next(left)
        left.close()  # type: ignore[attr-defined]
        assert not [thread for thread in threading.enumerate() if thread.name == "infer"]
        assert segmenter.segment(picture).ids.shape == (48, 64)


@pytest.mark.parametrize("lanes", [0, -1, 1.5, "2"])
def test_a_number_of_lanes_that_is_none(lanes: object) -> None:
    with pytest.raises(UsageError, match="lanes; expected a whole number of at least 1"):
        Segmenter(backend="null", lanes=lanes)  # type: ignore[arg-type]


def test_threads_that_have_ended_leave_no_file_open(model: Path) -> None:
    """What tells how long a thread waits for a processor is a file of that thread."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("no /proc here")
    picture = np.zeros((48, 64, 3), np.uint8)
    with Segmenter(model, "onnxruntime", threads=1) as segmenter:
        segmenter.segment(picture)
        before = len(list(folder.iterdir()))
        together = threading.Barrier(8)

        def one() -> None:
            segmenter.segment(picture)
            together.wait(60)  # so that none has the number of another

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(folder.iterdir())) == before
