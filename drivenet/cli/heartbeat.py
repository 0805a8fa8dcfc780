"""A node's heart, for the parent that ``--supervise`` puts above it."""

from __future__ import annotations

import time

from drivenet.latency import now_ns
from drivenet.pipeline import Pipeline
from drivenet.pipeline.state import RunState
from drivenet.supervise.beat import Beat, Heart, restarts


def heart_of(pipeline: Pipeline) -> Heart:
    """Beats while its ``with`` lasts, if this process has such a parent; without the parent the run is stopped."""
    monitor, began_ns = pipeline.monitor, now_ns()
    published = 0

    def look() -> Beat:
        nonlocal published
        health = monitor.health
        engine, outputs = (health.parts[name].state for name in ("engine", "outputs"))
        published = published or int(outputs == "ok")
        phase = "running" if pipeline.state in (RunState.NEW, RunState.RUNNING) else "ending"
        loop_s = (now_ns() - max(monitor.checked_ns, began_ns)) / 1e9
        return Beat(phase, loop_s, published, health.state, health.reason, engine, outputs)

    return Heart(look, pipeline.stop)


def tell_restarts(pipeline: Pipeline) -> None:
    """Let log, outputs and page know how often this node was started again, and why the last time."""
    found = restarts()
    if found.count:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.at_s))
        text = f"restart {found.count} by the supervisor at {at}: the node {found.reason}"
        pipeline.monitor.happened("warning", "node.restarted", text)
