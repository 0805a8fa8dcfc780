"""The state of a node as message buses carry it: retained, so that who joins later knows it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivenet.health import Event, Health
from drivenet.labels import LabelSet
from drivenet.latency import now_ns
from drivenet.result import Totals
from drivenet.wall_clock import WALL

#: Health in which a node is ``online``; any other state has its own name on the bus.
_ONLINE = ("ok", "degraded", "starting")


class NodeState:
    """What is said of a node: ``online``, a state of its health, or ``offline``; its engine, labels and losses."""

    def __init__(self) -> None:
        self._labels: LabelSet | None = None
        self._engine: dict[str, Any] = {}
        self._health = Health()
        self._said: dict[str, Any] = {"state": "online", "since": seconds(now_ns())}
        self._more: dict[str, Any] = {}

    def publishes(self, labels: LabelSet) -> bool:
        """Take the labels of a result; whether they are new."""
        is_new, self._labels = labels is not self._labels, labels
        return is_new

    def fares(self, health: Health) -> bool:
        """Take the run's health; whether it is to be said."""
        before, self._health = self._health, health
        state = "online" if health.state in _ONLINE else health.state
        if state != self._said["state"]:
            self._said = {"state": state, "since": seconds(health.worst.since_ns)}
        return (health.state, health.reason, health.reconnects) != (before.state, before.reason, before.reconnects)

    def works_with(self, engine: Mapping[str, Any]) -> bool:
        """Take the engine's description; whether it is new."""
        is_new, self._engine = dict(engine) != self._engine, dict(engine)
        return is_new

    def ended(self, totals: Totals, **more: Any) -> None:
        """The run is over; what came of it."""
        counts = {"captured": totals.captured, "published": totals.published, "dropped": totals.dropped}
        self._said = {"state": "offline", "since": seconds(now_ns())}
        self._more = {"reason": "ended", **counts, **more}

    def to_dict(self) -> dict[str, Any]:
        """The message."""
        labels = {"name": self._labels.name, "classes": self._labels.classes} if self._labels else None
        h = self._health
        health = {"state": h.state, "reason": h.reason, "reconnects": h.reconnects, "last_error": h.last_error}
        return {**self._said, **self._more, "health": health, "engine": self._engine, "labels": labels}


def event_message(event: Event) -> dict[str, Any]:
    """An event as buses carry it, with the time by the wall clock."""
    return {**event.to_dict(), "unix_ns": WALL.at(event.at_ns)}


def seconds(monotonic_ns: int) -> float:
    """A moment of the monotonic clock in seconds since 1970."""
    return round(WALL.at(monotonic_ns) / 1e9, 3)
