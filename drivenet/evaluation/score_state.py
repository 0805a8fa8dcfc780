"""A sequence's score as JSON and back: exact counts, so that a run that was killed goes on without reading twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from drivenet.evaluation.comparison import Comparison
from drivenet.evaluation.consistency import Mean
from drivenet.evaluation.sequence_score import SequenceScore
from drivenet.metrics import ConfusionMatrix


def score_state(score: SequenceScore) -> dict[str, Any]:
    """All that a score counts, as JSON."""
    tracking = score.tracking
    return {
        "things": list(score.things), "frames": score.frames, "labelled": score.labelled,
        "tc": _mean(score.tc), "mtc": _mean(score.mtc), "vc": {str(w): _mean(m) for w, m in score.vc.items()},
        "matrix": matrix_state(score.matrix), "boundary": score.boundary.counts.tolist(),
        "instances": score.instances.counts.tolist(), "panoptic": score.panoptic.counts.tolist(),
        "tubes": {str(w): quality.counts.tolist() for w, quality in score.tubes.items()},
        "tracking": {"matrix": matrix_state(tracking.matrix), "association": tracking.association,
                     "tracks": tracking.tracks, "switches": tracking.switches,
                     "track_frames": tracking.track_frames},
        "flicker": {"pairs": score.flicker.pairs, "pixels": score.flicker.pixels,
                    "tracked": score.flicker.tracked.tolist(), "changed": score.flicker.changed.tolist()},
    }  # fmt: skip


def score_of(state: dict[str, Any], common: Comparison) -> SequenceScore:
    """The score that :func:`score_state` told."""
    score = SequenceScore(
        common, tuple(state["things"]), state["frames"], state["labelled"], Mean(*state["tc"]), Mean(*state["mtc"]),
        {int(w): Mean(*pair) for w, pair in state["vc"].items()},
    )  # fmt: skip
    score.matrix = matrix_of(state["matrix"], common)
    score.boundary.counts = _counts(state["boundary"])
    score.instances.counts, score.panoptic.counts = _floats(state["instances"]), _floats(state["panoptic"])
    for window, counts in state["tubes"].items():
        score.tubes[int(window)].counts = _floats(counts)
    told = dict(state["tracking"])
    score.tracking.matrix = matrix_of(told.pop("matrix"), common)
    for name, value in told.items():
        setattr(score.tracking, name, value)
    flicker = score.flicker
    flicker.pairs, flicker.pixels = state["flicker"]["pairs"], state["flicker"]["pixels"]
    flicker.tracked, flicker.changed = (_counts(state["flicker"][name]) for name in ("tracked", "changed"))
    return score


def matrix_state(matrix: ConfusionMatrix) -> list[Any]:
    """The counts of a matrix, as JSON."""
    return [matrix.counts.tolist(), matrix.unlabelled.tolist()]


def matrix_of(state: list[Any], common: Comparison) -> ConfusionMatrix:
    """The matrix that :func:`matrix_state` told."""
    return ConfusionMatrix(common.labels, *map(_counts, state))


def _mean(mean: Mean) -> list[float]:
    return [mean.total, mean.n]


def _counts(values: list[Any]) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)


def _floats(values: list[Any]) -> npt.NDArray[np.float64]:
    return np.array(values, np.float64)
