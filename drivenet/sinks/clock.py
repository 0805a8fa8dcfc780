"""When a result reached one sink."""

from __future__ import annotations

from dataclasses import replace

from drivenet.latency import now_ns
from drivenet.result import Result


def reached(result: Result, sink: str) -> Result:
    """The result as one sink gets it now: ``publish`` and ``end_to_end`` end here, not at the slowest of all sinks."""
    return replace(result, stamps=replace(result.stamps, published={sink: now_ns()}))
