"""How a node is, and what happened to it: plain values that every output shows alike.

They are made in one place, :mod:`drivenet.pipeline.health`, and handed to every sink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from drivenet.latency import now_ns

#: Why a source is away, in a word. ``silent``: it is open, and nothing comes.
CAUSES = (
    "refused", "unauthorised", "not found", "timeout", "unreachable", "undecodable", "ended", "device gone", "failed",
    "silent",
)  # fmt: skip
State = Literal["ok", "degraded", "starting", "suspect", "stalled", "lost", "ended", "failed"]
Severity = Literal["debug", "info", "warning", "error"]

#: From best to worst: a whole is as well as the worst of its parts.
STATES: tuple[State, ...] = ("ok", "degraded", "starting", "suspect", "stalled", "lost", "ended", "failed")
#: States in which the node does its work.
WORKING: frozenset[State] = frozenset({"ok", "degraded"})
#: States in which nothing new comes out: what is shown is old.
SILENT: frozenset[State] = frozenset({"stalled", "lost", "ended", "failed"})
#: What a state was called before 0.2; shown beside the new name for one release.
FORMER_NAMES: Mapping[str, str] = {"stalled": "stale"}


@dataclass(frozen=True)
class Part:
    """The state of a part of a node.

    Args:
        state: ``starting`` (nothing yet, and within its deadline), ``ok``, ``degraded`` (works, with losses),
            ``suspect`` (works, but what it gives may be worthless), ``stalled`` (at work and does not return),
            ``lost`` (away, tried again), ``ended`` (over without an error; known to the page alone), ``failed`` (ended
            with an error).
        since_ns: since when, by the monotonic clock.
        reason: why, in words; empty for ``ok``.
    """

    state: State = "starting"
    since_ns: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Health:
    """The state of one source, of its engine and of its outputs, at one moment.

    Args:
        parts: by ``source``, ``engine`` and ``outputs``.
        source_id: which source of the node.
        reconnects: how many times the source was lost and found again.
        last_error: why the source was last lost or not opened; without secrets.
        lost_frames: how many damaged pictures the source left out.
        missing_s: seconds of the source's own time for which nothing came.
        cause: why the source is away now, one of :data:`CAUSES`; empty while it is not.
    """

    parts: Mapping[str, Part] = field(default_factory=dict)
    source_id: str = ""
    reconnects: int = 0
    last_error: str = ""
    lost_frames: int = 0
    missing_s: float = 0.0
    cause: str = ""

    @property
    def worst(self) -> Part:
        """The part that is worst off; of equal ones the first."""
        return max(self.parts.values(), key=lambda part: STATES.index(part.state), default=Part())

    @property
    def state(self) -> State:
        """The state of the whole."""
        return self.worst.state

    @property
    def reason(self) -> str:
        """Why the whole is not ok."""
        return self.worst.reason

    @property
    def warning(self) -> str:
        """What a picture that is new must say for itself; empty where it is as good as any, or old."""
        return f"{self.state.upper()}: {self.reason}" if self.state in ("degraded", "suspect") else ""

    def seconds(self, now: int | None = None) -> float:
        """For how long the whole has been in its state, at a moment of the monotonic clock (now by default)."""
        return max(0.0, ((now_ns() if now is None else now) - self.worst.since_ns) / 1e9)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: ``state``, ``seconds``, ``reason`` of the whole and of its ``parts``, and the source's losses."""
        now = now_ns()
        parts = {name: _part_dict(part, now) for name, part in self.parts.items()}
        whole = _part_dict(self.worst, now)
        losses = {"lost_frames": self.lost_frames, "missing_s": round(self.missing_s, 3), "cause": self.cause}
        return {**whole, "parts": parts, "reconnects": self.reconnects, "last_error": self.last_error, **losses}


@dataclass(frozen=True)
class Event:
    """Something that happened to a node.

    Args:
        severity: ``debug`` (expected), ``info``, ``warning`` (it goes on, with losses) or ``error``.
        code: what, for programs: ``PART.STATE`` for a change of health (``source.lost``, ``engine.ok``), else such as
            ``source.retry``, ``output.failed`` or ``clock.jumped``.
        text: what, for people: one line without secrets.
        source_id: which source of the node it belongs to; empty for the node itself.
        at_ns: when, by the monotonic clock.
    """

    severity: Severity
    code: str
    text: str
    source_id: str = ""
    at_ns: int = field(default_factory=now_ns)

    def to_dict(self) -> dict[str, Any]:
        """An ``event`` line of the stats file."""
        return {
            "type": "event",
            "severity": self.severity,
            "code": self.code,
            "text": self.text,
            "source_id": self.source_id,
            "at_ns": self.at_ns,
        }


def _part_dict(part: Part, now: int) -> dict[str, Any]:
    seconds = round(max(0, now - part.since_ns) / 1e9, 2)
    former = {"former": FORMER_NAMES[part.state]} if part.state in FORMER_NAMES else {}
    return {"state": part.state, **former, "seconds": seconds, "reason": part.reason}
