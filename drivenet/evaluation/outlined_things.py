"""Scores things on a clip by cars outlined by hand: parted from each other, and with ids that last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from drivenet.classmap import Ids
from drivenet.engine.base import Engine
from drivenet.errors import SourceError
from drivenet.evaluation.regions import OutlinedClip, OutlinedFrame
from drivenet.frame import Frame
from drivenet.labels import COUNTABLE_GROUPS, built_in
from drivenet.latency import Timeline
from drivenet.prepare import resize_ids
from drivenet.record import Record
from drivenet.stages import default_stages, run_stages

#: A thing covers an outline if it has this fraction of its pixels.
COVERED = 0.6


def score_things(engine: Engine, frames: Iterable[Frame], outlines: OutlinedClip) -> dict[str, object]:
    """How many outlined things are found as one thing of their own, and whether marked ones keep their id.

    Every frame up to the last outlined one is processed, in order, as a run does.

    Returns:
        JSON: ``outlined`` and ``found`` (covered by one thing that covers no other outline of its frame), ``frames``
        with the id that covers each outline, 0 for none, and ``tracks``: by marked thing its ids over the frames.

    Raises:
        SourceError: if the clip ends before the last outlined frame.
        EngineError: for a failed inference.
    """
    wanted = {f.frame: f for f in outlines.frames}
    stages = default_stages(engine, track=True)
    rows: list[dict[str, Any]] = []
    tracks: dict[str, list[int]] = {}
    for frame in frames:
        record = run_stages(Record(frame, engine.spec.label_set, Timeline(frame.captured_ns)), stages)
        if frame.index in wanted:
            rows.append(_row(record, wanted.pop(frame.index), outlines.labels, tracks))
        if not wanted:
            break
    if wanted:
        raise SourceError(f"{outlines.clip} has no frame {min(wanted)}", "the clip that was outlined")
    return {
        "clip": outlines.clip,
        "outlined": sum(len(row["things"]) for row in rows),
        "found": sum(row["found"] for row in rows),
        "tracks": tracks,
        "frames": rows,
        "engine": engine.describe(),
    }


def kept(ids: list[int]) -> int:
    """In how many frames a marked thing has the id that it has most often; 0 is none."""
    return max((n for i, n in Counter(ids).items() if i), default=0)


def _row(record: Record, outlined: OutlinedFrame, labels: str, tracks: dict[str, list[int]]) -> dict[str, Any]:
    things = [r for r in outlined.regions if built_in(labels).groups[r.cls] in COUNTABLE_GROUPS]
    numbers = _instances(record)
    found = [_covering(numbers, region.polygon) for region in things]
    ids = [record.scene.things[k - 1].id if k else 0 for k in found]
    for region, id_ in zip(things, ids, strict=True):
        if region.thing:
            tracks.setdefault(region.thing, []).append(id_)
    return {
        "frame": record.frame.index,
        "things": ids,
        "found": sum(1 for k in found if k and found.count(k) == 1),
    }


def _instances(record: Record) -> Ids:
    instances = record.scene.instances
    assert instances is not None  # the stages make one of every frame
    return resize_ids(instances, record.frame.size)


def _covering(instances: Ids, polygon: tuple[tuple[int, int], ...]) -> int:
    """The number of the thing that covers most of a polygon, 0 if that is less than :data:`COVERED`."""
    mask = cv2.fillPoly(np.zeros(instances.shape, np.uint8), [np.array(polygon, np.int32)], 1) > 0
    counts = np.bincount(instances[mask], minlength=2)
    best = int(counts[1:].argmax()) + 1
    return best if counts[best] >= COVERED * counts.sum() else 0
