"""Decides how a run is: one state machine for its source, one for its engine and one for its outputs."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from drivenet.address import one_line
from drivenet.errors import SourceError, wrapped
from drivenet.health import SILENT, STATES, Event, Health, Part, Severity, State
from drivenet.latency import now_ns
from drivenet.log import mask_text, release
from drivenet.sources.base import Source, SourceStatus
from drivenet.wall_clock import WALL

#: A live source is lost when it has given nothing for this long, and for three of its frame times.
LOST_AFTER_S = 1.0
#: What is at work for longer is stalled: an engine also by how long it took so far, see :meth:`HealthMonitor._engine`.
STALLED_AFTER_S = 2.0
#: An inference is stalled when it takes so many times as long as 99 of 100 before it.
_TIMES_P99 = 20
#: A frame that came back is given so long to be published before the source counts as found.
_GRACE_S = 1.0

_SEVERITIES: dict[State, Severity] = {
    "degraded": "warning", "suspect": "warning", "lost": "warning", "stalled": "error", "failed": "error",
}  # fmt: skip
_LOG_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LOG = logging.getLogger("drivenet.health")


class HealthMonitor:
    """Watches one run. Its threads say what they are at; :meth:`check` decides, from one of them.

    Deadlines count from the start on: a source that gives no first frame is lost, an engine that hangs on it stalled.

    Args:
        source: asked for its rate and for how it fares.
        source_id: which source of the node.
        p99_ms: how long an inference took so far, in 99 of 100 cases; 0 while that is unknown.
    """

    def __init__(self, source: Source, source_id: str = "", p99_ms: Callable[[], float] = lambda: 0.0) -> None:
        self._source, self.source_id, self._p99_ms = source, source_id, p99_ms
        # plain numbers, written whole by one thread each: since when it waits for something, 0 while it does not
        self._asked_ns = self._working_ns = self._blocked_ns = 0
        self._gave_ns = self._published_ns = self._handed_ns = 0
        self._stage = ""
        self._size: tuple[int, int] | None = None
        self._failures: dict[str, str] = {}
        self._reports: dict[str, tuple[str, State, str]] = {}
        self._events: deque[Event] = deque()
        self._status, self._jumps = SourceStatus(), WALL.jumps
        began = now_ns()
        #: When it last decided: a loop that has come to a stop asks no more.
        self.checked_ns = began
        self._parts = {name: Part("starting", began) for name in ("source", "engine", "outputs")}
        self.health = Health(self._parts, source_id)

    def source_asked(self) -> None:
        """A frame is waited for from now on."""
        self._asked_ns = now_ns()

    def source_gave(self, size: tuple[int, int]) -> None:
        """A frame of that (height, width) came."""
        self._asked_ns, self._gave_ns = 0, now_ns()
        before, self._size = self._size, size
        if before is not None and before != size and self._source.continuous:  # pictures of a folder may all differ
            self.happened(
                "info", "source.resized", f"{before[1]}x{before[0]} before, frames are now {size[1]}x{size[0]}"
            )

    def source_ended(self) -> None:
        """No frame is waited for any more."""
        self._asked_ns = 0

    def working(self, stage: str) -> None:
        """A frame is at that stage now; at none if it is empty."""
        self._stage, self._working_ns = stage, now_ns() if stage else 0

    def blocked(self, is_blocked: bool) -> None:
        """Whether the outputs take nothing."""
        self._blocked_ns = (self._blocked_ns or now_ns()) if is_blocked else 0

    def published(self, captured_ns: int) -> None:
        """A frame of that capture time was handed to the outputs."""
        self._published_ns, self._handed_ns = captured_ns, now_ns()

    def failed(self, part: str, reason: str) -> None:
        """A part ended with an error; it stays so."""
        self._failures.setdefault(part, _told_to_all(reason))
        self.happened("error", f"{part}.failed", reason)

    def report(self, code: str, part: str, state: State, reason: str) -> None:
        """Something that others found: ``suspect`` pictures, outputs that fail alone; until :meth:`withdraw`.

        Args:
            code: names the finding.
            part: ``source``, ``engine`` or ``outputs``.
            state: counts if it is worse than what is found here.
            reason: in words.
        """
        self._reports = {**self._reports, code: (part, state, _told_to_all(reason))}

    def withdraw(self, code: str) -> None:
        """What was reported is over."""
        self._reports = {name: found for name, found in self._reports.items() if name != code}

    def happened(self, severity: Severity, code: str, text: str) -> None:
        """Something that everybody is to know; goes to the log at once and to sinks with the next check."""
        event = Event(severity, code, _told_to_all(text), self.source_id)
        self._events.append(event)
        fields = {"code": code, "source_id": event.source_id or self._source.name}
        _LOG.log(_LOG_LEVELS[severity], "%s: %s", fields["source_id"], event.text, extra=fields)

    def check(self) -> tuple[Health, list[Event]]:
        """How it is now, and what happened since the last check."""
        self.checked_ns = now = now_ns()
        self._check_clock()
        self._check_source_status()
        found = {"source": self._source_part(now), "engine": self._engine(now), "outputs": self._outputs(now)}
        for part, state, reason in self._reports.values():
            if STATES.index(state) > STATES.index(found[part].state):
                found[part] = Part(state, now, reason)
        self._parts = {name: self._changed(name, part) for name, part in found.items()}
        told = self._status
        self.health = Health(
            self._parts, self.source_id, told.reconnects, _told_to_all(_told(told)), told.lost_frames, told.missing_s,
            self._cause(),
        )  # fmt: skip
        release()
        return self.health, [self._events.popleft() for _ in range(len(self._events))]

    def _cause(self) -> str:
        """Why the source is away now, in a word."""
        if self._status.away:
            return self._status.cause or "failed"
        return "silent" if self._parts["source"].state == "lost" else ""

    def _source_part(self, now: int) -> Part:
        if reason := self._failures.get("source"):
            return Part("failed", now, reason)
        asked_ns, before = self._asked_ns, self._parts["source"]
        silent_s = (now - asked_ns) / 1e9 if asked_ns else 0.0
        fps = self._source.fps
        least_s = LOST_AFTER_S if self._source.live else STALLED_AFTER_S
        if silent_s > max(least_s, 3 / fps if fps > 0 else 0.0):
            why = f": {_told(self._status)}" if self._status.away and self._status.last_error else ""
            return Part("lost" if self._source.live else "stalled", asked_ns, f"no frame from the source{why}")
        if before.state in SILENT and not self._came_back(before, now):
            return before
        return Part("ok" if self._gave_ns else "starting", now)

    def _came_back(self, lost: Part, now: int) -> bool:
        """Whether a new frame is published, or the engine has it and speaks for itself."""
        is_new = self._published_ns > lost.since_ns
        return is_new or (self._gave_ns > lost.since_ns and (now - self._gave_ns) / 1e9 > _GRACE_S)

    def _engine(self, now: int) -> Part:
        if reason := self._failures.get("engine"):
            return Part("failed", now, reason)
        since_ns = self._working_ns
        limit_s = max(STALLED_AFTER_S, _TIMES_P99 * self._p99_ms() / 1000)
        if since_ns and (now - since_ns) / 1e9 > limit_s:
            return Part("stalled", since_ns, f"the stage {self._stage} does not return")
        before = self._parts["engine"]
        if before.state in SILENT and self._handed_ns < before.since_ns:  # nothing of it was published yet
            return before
        return Part("ok" if self._published_ns else "starting", now)

    def _outputs(self, now: int) -> Part:
        if reason := self._failures.get("outputs"):
            return Part("failed", now, reason)
        since_ns = self._blocked_ns
        if since_ns and (now - since_ns) / 1e9 > STALLED_AFTER_S:
            return Part("stalled", since_ns, "no output takes a frame")
        return Part("ok" if self._published_ns else "starting", now)

    def _changed(self, name: str, found: Part) -> Part:
        """A part as it is now; a change of its state is an event."""
        before = self._parts[name]
        if found.state == before.state:
            return replace(before, reason=found.reason)
        if found.state != "failed":  # told when it happened
            self._tell(name, before, found)
        return found

    def _tell(self, name: str, before: Part, found: Part) -> None:
        severity, text = _SEVERITIES.get(found.state), f"{name} {found.state}"
        if severity:
            text += f": {found.reason}"
        elif before.state in _SEVERITIES:
            severity, text = "info", f"{text}, was {before.state} for {(found.since_ns - before.since_ns) / 1e9:.1f} s"
        self.happened(severity or "debug", f"{name}.{found.state}", text)

    def _check_source_status(self) -> None:
        before, self._status = self._status, self._source_status()
        if self._status.away and self._status.last_error != before.last_error:
            self.happened("warning", "source.away", _told(self._status))
        if self._status.reconnects > before.reconnects:
            self.happened("info", "source.reconnected", f"opened again, {self._status.reconnects} times so far")

    def _source_status(self) -> SourceStatus:
        """What the source says of itself, or said last before it failed; SourceError if it cannot say."""
        try:
            return self._source.status()
        except Exception as error:  # noqa: BLE001 - raised again
            if "source" in self._failures:
                return self._status
            ours = wrapped(SourceError, f"{self._source.name}: status", error)
            raise ours from ours.__cause__

    def _check_clock(self) -> None:
        WALL.check()
        if WALL.jumps > self._jumps:
            self._jumps = WALL.jumps
            self.happened("warning", "clock.jumped", f"the system's clock was set by {WALL.last_jump_ns / 1e9:+.3f} s")


def _told_to_all(text: str) -> str:
    """A text as every output can write it: one line, without secrets and what is no letter in any code."""
    return one_line(" ".join(mask_text(text).split()))


def _told(status: SourceStatus) -> str:
    """Why a source is or was away, with the cause in a word before it."""
    return f"{status.cause}: {status.last_error}" if status.cause and status.last_error else status.last_error
