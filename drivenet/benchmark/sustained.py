"""An engine at work for minutes: does it slow down as the machine gets warm?"""

from __future__ import annotations

from typing import Any

from drivenet.benchmark.bootstrap import interval, ratio, summary
from drivenet.benchmark.passes import Run, infer_pass, loop_pass, preload
from drivenet.benchmark.usage import Usage
from drivenet.benchmark.video import Plan
from drivenet.data.sequences.base import FrameSequence
from drivenet.engine.base import Engine
from drivenet.latency import now_ns

_IMAGES = 60


def sustained(engine: Engine, sequence: FrameSequence, plan: Plan, minutes: float) -> dict[str, Any]:
    """Run one sequence again and again, unscored, and compare the first with the last minute (or half of the time).

    Returns:
        ``minutes``, ``first`` and ``last`` (percentiles in ms), ``ratio`` of their p50, and ``usage``.
    """
    images = (preload(sequence) or [])[:_IMAGES] or [next(iter(sequence.frames()))]
    usage, samples = Usage(), list[tuple[int, float]]()
    started = now_ns()
    until = started + int(minutes * 60e9)
    while now_ns() < until:
        run = _pass(engine, sequence, images, plan, usage)
        samples += [(t.published_ns, t.end_to_end_ms) for t in run.timed if t.end_to_end_ms is not None]
    part = min(60e9, minutes * 30e9)
    first = [ms for at, ms in samples if at - started <= part]
    last = [ms for at, ms in samples if samples[-1][0] - at <= part]
    return {
        "minutes": minutes, "first": summary(first), "last": summary(last),
        "ratio": ratio(interval(last, 50), interval(first, 50)).to_dict(), "usage": usage.to_dict(),
    }  # fmt: skip


def _pass(engine: Engine, sequence: FrameSequence, images: list[Any], plan: Plan, usage: Usage) -> Run:
    if plan.mode == "infer":
        return infer_pass([engine], images, [usage], 0)[0]
    return loop_pass(engine, sequence, images if len(images) == len(sequence) else None, usage, plan.rate)
