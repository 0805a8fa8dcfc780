"""A node's heart, for the parent that ``--supervise`` puts above it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from drivenet.health import STATES
from drivenet.latency import now_ns
from drivenet.pipeline import Pipeline
from drivenet.pipeline.state import RunState
from drivenet.supervise.beat import Beat, Heart, restarts


def heart_of(pipelines: Sequence[Pipeline]) -> Heart:
    """Beats while its ``with`` lasts, if this process has such a parent; without the parent the runs are stopped.

    Of several runs the one that is worst off counts; one that has ended counts no more, unless all have.
    """
    began_ns = now_ns()
    published = 0

    def look() -> Beat:
        nonlocal published
        running = [p for p in pipelines if p.state in (RunState.NEW, RunState.RUNNING)]
        counted = [p.monitor for p in running or pipelines]
        health = max((monitor.health for monitor in counted), key=lambda health: STATES.index(health.state))
        engine, outputs = (
            max((monitor.health.parts[name].state for monitor in counted), key=STATES.index)
            for name in ("engine", "outputs")
        )
        published = published or int(outputs == "ok")
        loop_s = (now_ns() - max(began_ns, min(monitor.checked_ns for monitor in counted))) / 1e9
        phase = "running" if running else "ending"
        return Beat(phase, loop_s, published, health.state, health.reason, engine, outputs)

    def stop() -> None:
        for pipeline in pipelines:
            pipeline.stop()

    return Heart(look, stop)


def tell_restarts(pipeline: Pipeline) -> None:
    """Let log, outputs and page know how often this node was started again, and why the last time."""
    found = restarts()
    if found.count:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.at_s))
        text = f"restart {found.count} by the supervisor at {at}: the node {found.reason}"
        pipeline.monitor.happened("warning", "node.restarted", text)
