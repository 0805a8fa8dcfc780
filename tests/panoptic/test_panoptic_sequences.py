"""STQ against a slow oracle written from the paper, its toy cases, and ID switches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from panoptic_maps import LABELS, SHAPE, THINGS, random_maps

from drivenet.panoptic.sequences import SequenceTracks, TrackingQuality

Frame = tuple[np.ndarray, np.ndarray]


def slow_stq(frames: list[tuple[Frame, Frame]]) -> tuple[float, float, float]:
    """STQ, AQ, SQ by sets of (x, y, t), with the tracks of the authors' code: pairs of class and id."""
    true: dict[tuple[int, int], set[tuple[int, int, int]]] = {}
    mine: dict[tuple[int, int], set[tuple[int, int, int]]] = {}
    classes = [(set(), set()) for _ in range(len(LABELS))]
    for t, ((t_ids, t_tracks), (p_ids, p_tracks)) in enumerate(frames):
        for y in range(SHAPE[0]):
            for x in range(SHAPE[1]):
                cls, other, pixel = int(t_ids[y, x]), int(p_ids[y, x]), (x, y, t)
                if cls != 255:
                    classes[cls][0].add(pixel)
                    classes[other][1].add(pixel)
                if cls in (2, 3) and not t_tracks[y, x]:
                    continue
                if cls in (2, 3):
                    true.setdefault((cls, int(t_tracks[y, x])), set()).add(pixel)
                if other in (2, 3):
                    mine.setdefault((other, int(p_tracks[y, x])), set()).add(pixel)
    aq = sum(sum(len(p & g) * len(p & g) / len(p | g) for p in mine.values()) / len(g) for g in true.values())
    aq = aq / len(true)
    sq = float(np.mean([len(g & p) / len(g | p) for g, p in classes if g | p]))
    return math.sqrt(aq * sq), aq, sq


def score(frames: list[tuple[Frame, Frame]]) -> TrackingQuality:
    sequence = SequenceTracks(LABELS, THINGS)
    for truth, predicted in frames:
        sequence.add(truth, predicted)
    return sequence.counts()


@pytest.mark.parametrize("seed", range(8))
def test_a_slow_oracle_agrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(4):
        ids, tracks, predicted, found = random_maps(rng)
        frames.append(((ids, tracks), (predicted, found)))
    found = score(frames).to_dict()
    assert (found["stq"], found["aq"], found["sq"]) == pytest.approx(slow_stq(frames), abs=1e-12)


def scene(*tracks: int) -> list[Frame]:
    """One car that stands still, with an id for each frame."""
    frames = []
    for track in tracks:
        ids, instances = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.int64)
        ids[4:12, 4:12], instances[4:12, 4:12] = 2, track
        frames.append((ids, instances))
    return frames


@pytest.mark.parametrize(
    ("ids", "aq", "switches"),
    [
        ((7, 7, 7, 7), 1.0, 0),
        ((7, 7, 8, 8), 0.5, 1),  # two halves: 2 * (1/2 * 1/2)
        ((7, 7, 7, 8), 0.625, 1),  # the paper's longest-association case: (3/4)^2 + (1/4)^2
        ((7, 8, 7, 8), 0.5, 3),
    ],
)
def test_toy_tracks(ids: tuple[int, ...], aq: float, switches: int) -> None:
    found = score(list(zip(scene(1, 1, 1, 1), scene(*ids), strict=True)))
    assert found.to_dict()["aq"] == pytest.approx(aq)
    assert found.to_dict()["sq"] == 1.0
    assert (found.switches, found.track_frames) == (switches, 4)
    assert found.to_dict()["switches_per_100"] == pytest.approx(25 * switches)


def test_a_track_whose_class_changes_is_two() -> None:
    """A car that is a person in one of two frames has the association of two halves, though its id stays."""
    found = scene(7, 7)
    found[1][0][found[1][0] == 2] = 3
    assert score(list(zip(scene(1, 1), found, strict=True))).to_dict()["aq"] == pytest.approx(0.5)


def test_equal_ids_of_two_classes_are_two_tracks() -> None:
    """KITTI-STEP numbers people and cars by themselves."""
    frames = scene(1, 1)
    for ids, instances in frames:
        ids[14:20, 4:12], instances[14:20, 4:12] = 3, 1
    found = score(list(zip(frames, frames, strict=True)))
    assert (found.tracks, found.track_frames, found.switches) == (2, 4, 0)
    assert found.to_dict()["aq"] == 1.0


def test_what_covers_no_truth_makes_a_predicted_track_larger() -> None:
    ids, instances = scene(1)[0]
    void = ids.copy()
    void[4:12, 8:12] = 255
    assert score([((void, instances), (ids, instances))]).to_dict()["aq"] == pytest.approx(0.5)


def test_sequences_add_up_and_share_no_ids() -> None:
    good = score(list(zip(scene(1, 1), scene(7, 7), strict=True)))
    bad = score(list(zip(scene(1, 1), scene(7, 8), strict=True)))
    both = good + bad
    assert both.to_dict()["aq"] == pytest.approx(0.75)
    assert (both.tracks, both.switches) == (2, 1)


def test_what_was_given_no_class_stays_wrong_in_a_sum() -> None:
    ids, none = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.int64)
    half = ids.copy()
    half[: SHAPE[0] // 2] = 255
    one = score([((ids, none), (half, none))])
    assert one.to_dict()["sq"] == pytest.approx(0.5)
    assert (one + TrackingQuality.empty(LABELS, THINGS)).to_dict()["sq"] == pytest.approx(0.5)
    assert (one + one).to_dict()["sq"] == pytest.approx(0.5)


def test_an_empty_truth_has_no_quality() -> None:
    nothing = TrackingQuality.empty(LABELS, THINGS).to_dict()
    assert math.isnan(nothing["stq"])
    assert math.isnan(nothing["switches_per_100"])
