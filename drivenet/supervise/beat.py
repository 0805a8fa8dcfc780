"""What a node tells its parent several times a second, as a JSON line through a pipe."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

#: The descriptor of the pipe, and what the parent knows of earlier children; in the child's environment.
DESCRIPTOR, HISTORY = "DRIVENET_HEARTBEAT_FD", "DRIVENET_RESTARTS"
EVERY_S = 0.25
_LONGEST_LINE = 4096


@dataclass(frozen=True)
class Beat:
    """How a node is at one moment.

    Args:
        phase: of its run: ``running``, or ``ending`` when it is about to end by itself.
        loop_s: seconds since its loop last came round.
        published: frames so far.
        state: of the whole, as :class:`drivenet.health.Health` has it.
        reason: why it is not ok.
        engine: the state of its engine.
        outputs: the state of its outputs.
    """

    phase: str = "running"
    loop_s: float = 0.0
    published: int = 0
    state: str = "starting"
    reason: str = ""
    engine: str = "starting"
    outputs: str = "starting"

    def to_line(self) -> bytes:
        """As it goes through the pipe."""
        return json.dumps({**asdict(self), "reason": self.reason[:500]}).encode() + b"\n"


def parse(line: bytes) -> Beat | None:
    """A beat from a line; None for what is none."""
    with suppress(ValueError, TypeError):
        return Beat(**json.loads(line))
    return None


@dataclass(frozen=True)
class Restarts:
    """What a child knows of those before it.

    Args:
        count: how many were started again.
        reason: why, the last time.
        at_s: when, in seconds since 1970.
    """

    count: int = 0
    reason: str = ""
    at_s: float = 0.0


def is_supervised() -> bool:
    """Whether this process has such a parent."""
    return DESCRIPTOR in os.environ


def restarts() -> Restarts:
    """Of this process; none if it has no such parent."""
    with suppress(ValueError, TypeError):
        return Restarts(**json.loads(os.environ.get(HISTORY, "{}")))
    return Restarts()


class Heart:
    """Beats in a thread of the child while it lives. When the parent is gone, the node is asked to end.

    Args:
        look: how the node is now.
        orphaned: called once, when nobody reads any more.
    """

    def __init__(self, look: Callable[[], Beat], orphaned: Callable[[], object]) -> None:
        self._look, self._orphaned = look, orphaned
        self._stop = threading.Event()
        self._pipe = int(os.environ.get(DESCRIPTOR, "-1"))
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heart:
        if self._pipe >= 0:
            os.set_blocking(self._pipe, False)
            os.set_inheritable(self._pipe, False)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _beat(self) -> None:
        is_over = False
        while not is_over:
            try:
                os.write(self._pipe, self._look().to_line()[:_LONGEST_LINE])
            except BlockingIOError:  # the parent is busy
                pass
            except OSError:
                self._orphaned()
                return
            is_over = self._stop.wait(EVERY_S)
