"""Engines on video sets: what is counted, that nothing is carried over, and what an open loop loses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from onnx_models import paint, palette_model, sure_things_model
from painted import CAR, ROAD, SIZE, SKY, Beside, Growing, Painted, Touching, maps_of_touching, video

from drivenet.benchmark.lent import Lent
from drivenet.benchmark.outputs import Predictions
from drivenet.benchmark.usage import Usage
from drivenet.benchmark.video import Plan, SequenceResult, run_set
from drivenet.benchmark.video_report import against, check_earlier, report
from drivenet.classmap import Ids, ThingMaps
from drivenet.data.sequences import open_video_set
from drivenet.data.sequences.base import Truth, VideoSet
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.engine.null import NullEngine
from drivenet.errors import SourceError, UsageError
from drivenet.evaluation.comparison import compare
from drivenet.evaluation.flow import FlowSource
from drivenet.frame import Image
from drivenet.labels import CAMVID, CITYSCAPES
from drivenet.panoptic.sequences import SequenceTracks
from drivenet.prepare import prepare, resize_ids

EXACT = FlowSource("exact")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_engine(palette_model(tmp_path, labels=CITYSCAPES), "onnxruntime", threads=1)


def run(engine: Engine, found: VideoSet, plan: Plan, slower_ms: float = 0.0) -> list[SequenceResult]:
    (results,) = run_set([Lent(engine, slower_ms)], found, plan, [Usage()])
    return results


@pytest.mark.parametrize("plan", [Plan("infer", flow=EXACT), Plan("closed", flow=EXACT)], ids=lambda p: p.mode)
def test_a_right_engine_is_right_in_every_figure(engine: Engine, plan: Plan) -> None:
    (result,) = run(engine, video(Painted("a")), plan)
    figures = result.score.figures()
    for name in ("miou", "iiou", "group_miou", "boundary_f", "pq", "pq_things", "tc", "mtc", "mvc8"):
        assert figures[name] == pytest.approx(1.0), name
    assert figures["stq"] == pytest.approx((0.9**2 + 0.1**2) ** 0.5), (
        "the car has its id from the second of ten frames on"
    )
    cars = (9 / 9.5, 8 / 9, (7 + 2 / 3) / 8, (6 + 3 / 4) / 7)  # of the first tube a half, two and three quarters
    assert figures["vpq"] == pytest.approx(np.mean([(2 + car) / 3 for car in cars]))
    assert figures["flicker"] == 0.0
    assert np.isnan(figures["mvc16"]), "there are ten frames"
    assert (result.score.frames, result.score.labelled) == (10, 10)
    assert [row["index"] for row in result.frames] == list(range(10))
    assert (result.run.captured, result.run.published, sum(result.run.dropped.values())) == (10, 10, 0)
    assert all(set(row["stages_ms"]) >= {"infer"} for row in result.frames)  # type: ignore[call-overload]


@pytest.mark.parametrize("plan", [Plan("infer"), Plan("closed"), Plan("open", 50.0)], ids=lambda p: p.mode)
def test_things_of_an_engine_are_scored_and_those_of_others_are_components(
    engine: Engine, tmp_path: Path, plan: Plan
) -> None:
    parting = open_engine(sure_things_model(tmp_path, *maps_of_touching(), labels=CITYSCAPES), "onnxruntime", threads=1)
    (parted,) = run(parting, video(Touching("a", frames=4)), plan)
    (blobs,) = run(engine, video(Touching("a", frames=4)), plan)
    for name in ("pq_things", "stq", "vpq", "iiou"):
        assert parted.score.figures()[name] == pytest.approx(1.0), name
    assert blobs.score.figures()["pq_things"] == pytest.approx(0.0), "half of the blob is another car"
    assert blobs.score.figures()["stq"] < 1.0
    parting.close()


def test_a_car_between_two_people_does_not_make_them_one(engine: Engine, tmp_path: Path) -> None:
    """Components are of one group, as in a run; of all things at once, both people were one segment and one mask."""
    found, commons = video(Beside("a", frames=2), things=("person", "car")), [compare(CITYSCAPES, CITYSCAPES)]
    writes = Predictions(tmp_path, "coco", ["city"], commons, found)
    (results,) = run_set([Lent(engine, 0.0)], found, Plan(flow=EXACT), [Usage()], visit=writes.visit)
    writes.close()
    assert results[0].score.figures()["pq_things"] == pytest.approx(1.0)
    masks = json.loads((tmp_path / "instances.json").read_text(encoding="utf-8"))["annotations"]
    classes = [CITYSCAPES.classes[mask["category_id"]] for mask in masks]
    assert sorted(classes) == ["car", "car", "person", "person", "person", "person"]


def test_things_keep_their_ids_whichever_is_the_larger(engine: Engine) -> None:
    """One car shrinks and another one grows: numbered by size, they would change their ids half way."""
    (result,) = run(engine, video(Growing("a")), Plan(flow=EXACT))
    tracking = result.score.tracking
    assert (tracking.tracks, tracking.switches) == (2, 0)
    assert tracking.to_dict()["aq"] > 0.75


def test_step_predictions_hold_the_tracks_that_are_scored(engine: Engine, tmp_path: Path) -> None:
    """Read back, they have the counts of the table; without truth they have the same ids."""
    growing, untold = Growing("a"), Growing("b", labelled=())
    found, commons = video(growing, untold), [compare(CITYSCAPES, CITYSCAPES)]
    writes = Predictions(tmp_path / "step", "step", ["city"], commons, found)
    (results,) = run_set([Lent(engine, 0.0)], found, Plan(flow=EXACT), [Usage()], visit=writes.visit)
    tracks = SequenceTracks(CITYSCAPES, found.things)
    for index in range(len(growing)):
        blue, green, red = cv2.split(cv2.imread(str(tmp_path / "step" / "a" / f"{index:06d}.png")))
        truth, ids = growing.truth(index), green.astype(np.int64) << 8 | blue
        assert truth.instances is not None
        tracks.add((truth.ids, truth.instances), (red, ids))
        again = cv2.imread(str(tmp_path / "step" / "b" / f"{index:06d}.png"))
        np.testing.assert_array_equal(again, np.dstack([blue, green, red]))
    assert results[0].score.tracking.tracks == 2
    assert tracks.counts().to_dict() == results[0].score.tracking.to_dict()


def test_flicker_and_inconsistency_show_where_a_frame_is_wrong(engine: Engine) -> None:
    wrong = Painted("a").ids(5)
    wrong[wrong == CAR] = ROAD
    wrong[28:] = SKY
    (result,) = run(engine, video(Painted("a", shown={5: wrong})), Plan(flow=EXACT))
    figures = result.score.figures()
    for name in ("miou", "pq", "stq", "vpq", "tc", "mtc"):
        assert figures[name] < 1.0, name
    assert [i for i, row in enumerate(result.frames) if row["miou"] < 1.0] == [5]  # type: ignore[operator]
    assert [i for i, row in enumerate(result.frames) if row.get("mtc", 1.0) < 1.0] == [5, 6]  # type: ignore[operator]
    # frame 5 is in all three windows of eight; the car passes over 26 columns of 10 rows in each
    assert figures["mvc8"] == pytest.approx(1 - 4 * SIZE[1] / (SIZE[0] * SIZE[1] - 26 * 10))


@pytest.mark.parametrize(
    ("frame", "label", "says"),
    [
        ((24, 36), SIZE, r"frame a_000004 is 36x24; expected 48x32, as those before it in a; put what"),
        (SIZE, (64, 96), r"label a_000004 is 96x64; expected 48x32"),
        ((48, 32), SIZE, r"frame a_000004 is 32x48"),
        (SIZE, (48, 32), r"a_000004 is 48x32, its label 32x48; expected both turned alike"),
    ],
)
def test_another_size_within_a_sequence_is_told(
    engine: Engine, frame: tuple[int, int], label: tuple[int, int], says: str
) -> None:
    """They ended with tracebacks of OpenCV or NumPy, and a label that lay on its side was stretched without a word."""

    class Resized(Painted):
        def frames(self) -> Iterator[Image]:
            for i, image in enumerate(super().frames()):
                yield image if i != 4 else prepare(image, frame)

        def truth(self, index: int) -> Truth:
            truth = super().truth(index)
            return truth if index != 4 else Truth(resize_ids(truth.ids, label))

    with pytest.raises(SourceError, match=says):
        run(engine, video(Resized("a")), Plan())


def test_nothing_is_followed_across_frames_that_are_left_out(engine: Engine, tmp_path: Path) -> None:
    """A folder of snippets: the car leaps between them, which is no inconsistency of the engine."""
    still = Painted("a").ids(0)
    other = np.where(still == SKY, ROAD, SKY).astype(np.uint8)
    for name in ("frames", "labels"):
        (tmp_path / name).mkdir()
    for number in (*range(8), *range(50, 58)):
        ids = still if number < 8 else other
        cv2.imwrite(str(tmp_path / "frames" / f"{number:03d}.png"), paint(ids, CITYSCAPES))
        cv2.imwrite(str(tmp_path / "labels" / f"{number:03d}.png"), ids)
    (tmp_path / "set.yaml").write_text("sequences:\n  - {frames: frames, labels: labels}\n")
    found = open_video_set("listed", tmp_path / "set.yaml")
    assert found.sequences[0].starts == {8}
    (result,) = run(engine, found, Plan())
    assert [row["index"] for row in result.frames if "mtc" not in row] == [0, 8]
    assert (result.score.flicker.pairs, result.score.mtc.n) == (14, 14)
    assert result.score.figures()["tc"] == pytest.approx(1.0)
    assert result.score.figures()["mvc8"] == pytest.approx(1.0)
    assert np.isnan(result.score.figures()["mvc16"]), "no sixteen frames follow each other"


def test_scores_of_sequences_add_up_to_those_of_the_set(engine: Engine) -> None:
    wrong = np.full(SIZE, ROAD, np.uint8)
    parts = (Painted("a"), Painted("b", "village", 12, (3,), {3: wrong}), Painted("c", "village", 4, ()))
    whole = run(engine, video(*parts), Plan(flow=EXACT))
    alone = [run(engine, video(part), Plan(flow=EXACT))[0] for part in parts]
    for one, other in zip(whole, alone, strict=True):
        assert one.score.to_dict() == other.score.to_dict(), "nothing is carried over from another sequence"
    total = reduce(add, (result.score for result in whole))
    assert total.to_dict() == (alone[0].score + (alone[1].score + alone[2].score)).to_dict()
    assert total.to_dict()["frames"] == 26
    assert total.labelled == 11
    found = report(video(*parts), Plan(flow=EXACT), [engine], [whole], [Usage()])
    (row,) = found["rows"]
    assert set(row["groups"]) == {"town", "village"}
    assert row["groups"]["village"]["scores"]["labelled"] == 1
    assert row["sequences"]["c"]["scores"]["miou"] is None
    assert row["overall"]["scores"]["miou"] == pytest.approx(total.miou, abs=1e-9)
    assert len(row["engine"]["sha256"]) == 64


def test_an_engine_of_other_classes_is_mapped(tmp_path: Path) -> None:
    """CamVid's 11 classes on Cityscapes' truth: groups."""
    engine = open_engine(palette_model(tmp_path, "camvid"), "onnxruntime", threads=1)
    (result,) = run(engine, video(Painted("a", labels=CITYSCAPES)), Plan(flow=EXACT))
    assert result.score.to_dict()["compared_on"] == "groups"
    assert result.score.to_dict()["miou"] is None
    assert CAMVID.classes != CITYSCAPES.classes


def streaming(result: SequenceResult) -> float:
    assert result.streaming is not None
    return result.streaming.miou()


def test_open_loop_without_drops_sees_what_was_there(engine: Engine) -> None:
    wrong = np.full(SIZE, ROAD, np.uint8)
    for rate in (4.0, 1.0, 0.2):  # a machine that is busy with other things may need more time
        results = run(engine, video(Painted("a", frames=6), Painted("b", frames=2, shown={1: wrong})),
                      Plan("open", rate=rate))  # fmt: skip
        if not any(result.run.dropped for result in results):
            break
    assert [(r.run.captured, r.run.published, r.run.dropped) for r in results] == [(6, 6, {}), (2, 2, {})]
    assert [streaming(result) for result in results] == [result.score.miou for result in results]
    assert streaming(results[0]) == 1.0 > streaming(results[1]) > 0.0
    at_due = results[0].at_due
    assert at_due is not None
    assert at_due.miou() < 1.0, "what was there when the frame fell due shows the frame before"


def test_open_loop_with_a_slow_engine_loses_frames_and_accuracy(engine: Engine) -> None:
    results = run(engine, video(Painted("a", frames=15), Painted("b", frames=15)), Plan("open", rate=30.0), 80.0)
    for result in results:
        counts = result.run
        assert counts.captured == 15 == counts.published + sum(counts.dropped.values())
        assert counts.published == sum(row["published"] is True for row in result.frames)
        assert counts.dropped
        assert streaming(result) < result.score.miou == 1.0
    found = report(video(Painted("a"), Painted("b")), Plan("open", rate=30.0), [engine], [results], [Usage()])
    part = found["rows"][0]["overall"]
    assert part["captured"] == 30 == part["published"] + sum(part["dropped"].values())
    assert part["deadline_misses"] == part["published"], "none is done in 33 ms"
    assert part["scores"]["streaming_miou"] < part["scores"]["miou"]


class Counting(Lent):
    """Tells whose turn it was."""

    def __init__(self, engine: Engine, name: str, calls: list[str]) -> None:
        super().__init__(engine)
        self.label, self.calls = name, calls

    def infer_things(self, image: np.ndarray) -> tuple[Ids, ThingMaps | None]:
        self.calls.append(self.label)
        return super().infer_things(image)


def test_engines_take_turns_frame_by_frame(engine: Engine) -> None:
    calls: list[str] = []
    both = [Counting(engine, "a", calls), Counting(engine, "b", calls)]
    run_set(both, video(Painted("x", frames=3), Painted("y", frames=2)), Plan(flow=EXACT), [Usage(), Usage()])
    assert "".join(calls[10:]) == "abbaab" + "baab"


def test_a_row_is_compared_with_an_earlier_one(engine: Engine) -> None:
    found = video(Painted("a"))
    plan = Plan(flow=EXACT)
    fast, slow = (
        report(found, plan, [Lent(engine)], [run(engine, found, plan, slower)], [Usage()]) for slower in (0.0, 30.0)
    )
    (same,) = against(fast, fast)
    assert (same["p50"]["ratio"], same["p50"]["verdict"], same["miou"]) == (1.0, "no more than noise", 0.0)
    (slower,) = against(slow, fast)
    assert slower["p50"]["verdict"] == "slower"
    assert slower["p50"]["interval"][0] > 1
    assert against(fast, slow)[0]["p50"]["verdict"] == "faster"
    with pytest.raises(SourceError, match="an earlier run in mode open loop; expected infer"):
        check_earlier(found, plan, [engine], {**slow, "contract": {**slow["contract"], "mode": "open loop"}})
    with pytest.raises(SourceError, match=r"earlier run of other engines; expected one of .* onnxruntime fp32"):
        check_earlier(found, plan, [NullEngine()], slow)
    check_earlier(found, plan, [engine], slow)


class Placed(Lent):
    """An engine called model.onnx in a folder."""

    def __init__(self, engine: Engine, folder: str) -> None:
        super().__init__(engine)
        self.folder = folder

    def describe(self) -> dict[str, object]:
        return {**super().describe(), "file": f"{self.folder}/model.onnx"}


def called_alike(engine: Engine, folders: str, digest: str = "") -> dict[str, Any]:
    """A report of engines FOLDER/model.onnx, the mIoU of each that of its folder."""
    found, plan = video(Painted("a")), Plan(flow=EXACT)
    results = [run(engine, found, plan) for _ in folders]
    told = report(found, plan, [Placed(engine, folder) for folder in folders], results, [Usage() for _ in folders])
    for row, folder in zip(told["rows"], folders, strict=True):
        row["overall"]["scores"]["miou"] = "abc".index(folder) / 4
        row["engine"]["sha256"] = digest + folder
    return told


def test_engines_of_one_name_are_told_apart_by_their_folders(engine: Engine) -> None:
    before = called_alike(engine, "ab")
    a, b = (f"{folder}/model.onnx onnxruntime fp32" for folder in "ab")
    for digest in ("", "trained again "):
        found = against(called_alike(engine, "ba", digest), before)
        assert [(row["engine"], row["miou"]) for row in found] == [(b, 0), (a, 0)]
    (moved,) = against(called_alike(engine, "c"), called_alike(engine, "a"))
    assert (moved["engine"], moved["miou"]) == ("model.onnx onnxruntime fp32", 0.5)
    copied = called_alike(engine, "c")
    copied["rows"][0]["engine"]["sha256"] = "b"
    assert [row["miou"] for row in against(copied, before)] == [0.25]
    assert against(called_alike(engine, "c"), before) == []  # nobody knows which of them is meant
    with pytest.raises(SourceError, match=f"an earlier run of other engines; expected one of {a}, {b}"):
        check_earlier(video(Painted("a")), Plan(flow=EXACT), [Placed(engine, "c")], before)


def test_a_rate_is_for_open_loop_alone() -> None:
    for wrong in ({"mode": "open"}, {"mode": "infer", "rate": 5.0}, {"mode": "closed", "rate": 5.0}):
        with pytest.raises(UsageError, match="a rate for open loop alone"):
            Plan(**wrong)  # type: ignore[arg-type]
