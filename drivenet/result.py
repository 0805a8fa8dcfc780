"""What travels from the pipeline to the sinks: finished frames, and the run's totals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from drivenet.latency import StageHistograms
from drivenet.record import Record

#: What sinks get: a record that has passed all stages.
Result = Record


@dataclass
class Totals:
    """Running counts of one run. ``captured = published + sum(dropped.values())`` holds once the run has ended.

    A frame counts once, when all timed sinks (those that do not record) have had their turn: as published if one
    of them at least has it, or if there are none and it was processed; otherwise as dropped, see
    :class:`~drivenet.pipeline.Pipeline` for the reasons. Each sink's own counts add up as well: ``published +
    dropped + failed`` is for all timed sinks the number of frames that were handed to them, and for recorders the
    number that was published.

    Args:
        captured: frames that came from the source.
        published: frames that reached a sink.
        dropped: frames that were captured and not published, by reason.
        fps: mean rate of the whole run by ``source``, ``processed`` and ``published``; None below two frames.
        latency: percentiles by stage, in ms.
        engine: ``file, backend, precision, input, labels`` of the engine.
        sinks: by name what became of the frames meant for each: ``published``, ``dropped`` (because it was slow or
            the run ended) and, if it raised, ``failed``. ``marked`` are pictures of a video that are no frames: the
            last one again, greyed, while nothing new came.
        live: the last ``window_s`` seconds: ``fps`` by point and ``p50_ms`` by stage; for figures that are shown now.
        health: :meth:`drivenet.health.Health.to_dict` as it was last.
        events: how many there were, by code.
        errors: of the run, in their order.
        source_id: which source of the node; empty where there is one.
    """

    captured: int = 0
    published: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    fps: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(("source", "processed", "published")))
    latency: StageHistograms = field(default_factory=StageHistograms)
    engine: dict[str, Any] = field(default_factory=dict)
    sinks: dict[str, dict[str, int]] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    source_id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The ``summary`` line of the stats file."""
        return {
            "type": "summary",
            **({"source_id": self.source_id} if self.source_id else {}),
            "captured": self.captured,
            "published": self.published,
            "dropped": dict(self.dropped),
            "fps": {k: None if v is None else round(v, 3) for k, v in self.fps.items()},
            "latency_ms": self.latency.summary(),
            "engine": dict(self.engine),
            "sinks": {name: dict(counts) for name, counts in self.sinks.items()},
            "health": dict(self.health),
            "events": dict(self.events),
            "errors": list(self.errors),
        }
