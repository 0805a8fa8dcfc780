"""``drivenet run --blur NAMES --blur-check``: how much of the drawn drive's people and vehicles stays clear."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from drivenet.cli.opening import open_engine_of
from drivenet.cli.output import table
from drivenet.cli.stages import names_in
from drivenet.config import NodeSettings
from drivenet.engine.base import Engine
from drivenet.errors import EngineError, UsageError
from drivenet.frame import Frame
from drivenet.latency import Timeline, now_ns
from drivenet.record import Record
from drivenet.stages import default_stages, run_stages
from drivenet.stages.blur import Blur, ids_of, mosaic
from drivenet.synthetic import SyntheticDrive

#: Frames of each drive, drives with people in them, and the size that they are drawn in.
FRAMES, SEEDS, SIZE = 12, (0, 2, 9), (960, 540)
#: A thing of fewer pixels shows no face and no plate.
_LEAST_PIXELS = 150
#: The upper part of a person, the lower part of a vehicle.
_HEAD, _PLATE = 0.25, 0.5
ELSE = "all else"
#: More than this fraction of such parts that stay clear, on average, is refused.
MOST_CLEAR = 0.05


@dataclass
class Counts:
    """Pixels of faces and plates of one kind, and those that stayed clear."""

    things: int = 0
    pixels: int = 0
    clear: int = 0
    exposed: int = 0


def check_blur(settings: NodeSettings) -> None:
    """Show how much the settings' blur leaves clear; EngineError as below."""
    if not settings.blur:
        raise UsageError("--blur-check without a blur", "--blur NAMES")
    with ExitStack() as opened:
        check(open_engine_of(settings, opened), names_in(settings.blur))


def check(engine: Engine, names: tuple[str, ...]) -> dict[str, Counts]:
    """Run the blur over drawn drives, whose truth is known, and count what stays clear.

    Raises:
        EngineError: if more than 5 % of it does.
    """
    labels = engine.spec.label_set
    counts = {"people (upper quarter)": Counts(), "vehicles (lower half)": Counts(), ELSE: Counts()}
    for seed in SEEDS:
        drive = SyntheticDrive(*SIZE, fps=6.0, seed=seed)
        stages = default_stages(engine, on_scene=[Blur(names, labels)])
        wanted = {drive.labels.groups[c] for c in drive.labels.classes} & _groups(names, engine)
        for index in range(FRAMES):
            drawn = drive.frame(index)
            record = Record(Frame(drawn.image, index, now_ns()), labels, Timeline(now_ns()))
            shown = run_stages(record, stages).frame.image
            _count(counts, drawn.image, shown, drawn.instances, drive, drawn.ids, wanted)
    rows = [[k, str(c.things), str(c.exposed), f"{c.clear / max(1, c.pixels):.2%}"] for k, c in counts.items()]
    table("what stays clear in the synthetic drive", ["part", "seen", "more than half clear", "pixels clear"], rows)
    if any(c.clear > MOST_CLEAR * c.pixels for k, c in counts.items() if k != ELSE):
        raise EngineError(
            "the blur leaves too much clear in the synthetic drive", f"at most {MOST_CLEAR:.0%}", "a better model"
        )
    return counts


def _groups(names: tuple[str, ...], engine: Engine) -> set[str]:
    labels = engine.spec.label_set
    return {labels.groups[labels.classes[n]] for n in ids_of(names, labels)}


def _count(
    counts: dict[str, Counts], image: np.ndarray, shown: np.ndarray, instances: np.ndarray, drive: SyntheticDrive,
    ids: np.ndarray, wanted: set[str],
) -> None:  # fmt: skip
    hidden = (shown == mosaic(image)).all(axis=2)
    rest = instances == 0
    counts[ELSE].pixels += int(rest.sum())
    counts[ELSE].clear += int((rest & ~hidden).sum())
    for thing in np.unique(instances[instances > 0]):
        mask = instances == thing
        if mask.sum() < _LEAST_PIXELS:
            continue
        group = drive.labels.groups[drive.labels.classes[int(ids[mask][0])]]
        if group not in wanted or group not in ("pedestrian", "vehicle"):
            continue
        key = "people (upper quarter)" if group == "pedestrian" else "vehicles (lower half)"
        rows = np.flatnonzero(mask.any(axis=1))
        top, height = rows[0], rows[-1] - rows[0] + 1
        part = mask.copy()
        if group == "pedestrian":
            part[top + max(1, round(_HEAD * height)) :] = False
        else:
            part[: top + round(_PLATE * height)] = False
        total, clear = int(part.sum()), int((part & ~hidden).sum())
        found = counts[key]
        found.things, found.pixels, found.clear = found.things + 1, found.pixels + total, found.clear + clear
        found.exposed += clear > total / 2
