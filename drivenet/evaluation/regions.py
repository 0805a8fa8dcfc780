"""Scores an engine on a clip by regions that were outlined by hand, where there is no truth for every pixel."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drivenet.classmap import Ids
from drivenet.engine.base import Engine
from drivenet.errors import SourceError, UsageError
from drivenet.frame import Frame
from drivenet.label_mapping import LabelMapping
from drivenet.labels import LabelSet, built_in
from drivenet.prepare import crop_bars, prepare_for, resize_ids


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class OutlinedRegion(_Facts):
    """A polygon, x and y in pixels of the clip, inside which every pixel is of one class.

    ``thing`` is a name for a thing that is marked in several frames; empty for others.
    """

    cls: str = Field(alias="class")
    thing: str = ""
    polygon: tuple[tuple[int, int], ...] = Field(min_length=3)


class OutlinedFrame(_Facts):
    """The regions of one frame; ``frame`` counts from 0."""

    frame: int = Field(ge=0)
    regions: tuple[OutlinedRegion, ...]


class OutlinedClip(_Facts):
    """What is certain about a clip: ``size`` is width and height, ``labels`` names the set that classes are of."""

    clip: str
    labels: str
    size: tuple[int, int]
    note: str = ""
    frames: tuple[OutlinedFrame, ...] = Field(min_length=1)


def read_outlines(file: Path) -> OutlinedClip:
    """Read the JSON of an outlined clip; UsageError naming what is wrong in it."""
    try:
        return OutlinedClip.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", "a JSON file of outlined regions") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise UsageError(f"{file} holds no outlined regions: {where}: {first['msg']}") from error


def score_regions(engine: Engine, frames: Iterable[Frame], outlines: OutlinedClip) -> dict[str, object]:
    """Share of every outlined region that an engine gives the region's class, or one of those that it may be.

    Returns:
        JSON: ``frames`` with ``regions`` (class, share, pixels), ``overall`` by class (share of all its pixels,
        worst region, how many regions, and of how many at least half is right) and ``engine``.

    Raises:
        UsageError: if there is no such class, the engine's classes do not map to it, or the clip has another size.
        SourceError: if the clip ends before the last outlined frame.
        EngineError: for a failed inference.
    """
    labels = built_in(outlines.labels)
    mapping = LabelMapping.of(labels, engine.spec.label_set)
    for region in (r for f in outlines.frames for r in f.regions):
        labels.id_of(region.cls)
    wanted = {f.frame: f for f in outlines.frames}
    rows = []
    for frame in frames:
        if frame.index in wanted:
            _check_size(frame, outlines)
            found = mapping.to_dataset[engine.infer(prepare_for(frame, engine.spec))]
            ids = resize_ids(crop_bars(found, engine.spec, frame.size), frame.size)
            rows.append({"frame": frame.index, "regions": _shares(ids, wanted.pop(frame.index), labels)})
        if not wanted:
            break
    if wanted:
        raise SourceError(f"{outlines.clip} has no frame {min(wanted)}", "the clip that was outlined")
    return {"clip": outlines.clip, "frames": rows, "overall": _overall(rows), "engine": engine.describe()}


def _check_size(frame: Frame, outlines: OutlinedClip) -> None:
    width, height = outlines.size
    if frame.size != (height, width):
        raise UsageError(f"a clip of {frame.size[1]}x{frame.size[0]}", f"{width}x{height}, as it was outlined")


def _shares(ids: Ids, outlined: OutlinedFrame, labels: LabelSet) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for region in outlined.regions:
        mask = cv2.fillPoly(np.zeros(ids.shape, np.uint8), [np.array(region.polygon, np.int32)], 1) > 0
        pixels = int(np.count_nonzero(mask))
        right = int(np.count_nonzero(ids[mask] == labels.id_of(region.cls)))
        rows.append({"class": region.cls, "share": round(right / max(1, pixels), 5), "pixels": pixels})
    return rows


def _overall(rows: list[dict[str, object]]) -> dict[str, object]:
    by_class: dict[str, list[tuple[float, int]]] = {}
    for row in rows:
        for region in row["regions"]:  # type: ignore[attr-defined]
            by_class.setdefault(region["class"], []).append((region["share"], region["pixels"]))
    return {
        name: {
            "share": round(sum(s * p for s, p in found) / max(1, sum(p for _, p in found)), 5),
            "worst": min(s for s, _ in found),
            "regions": len(found),
            "mostly_right": sum(s >= 0.5 for s, _ in found),
        }
        for name, found in by_class.items()
    }
