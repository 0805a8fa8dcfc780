"""Ctrl-C before a run has begun, which libraries may lose."""

from __future__ import annotations

import signal
from types import FrameType

_came: list[int] = []


def notice() -> None:
    """From now on KeyboardInterrupt is raised as usual, and kept in mind: where Python calls back from C, such as for a
    weak reference, it ignores the exception.
    """
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def is_default() -> bool:
    """Whether an interrupt is handled as before any run."""
    return signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _interrupt)


def was_lost() -> bool:
    """Whether an interrupt came, to be asked where it would have ended the program."""
    return bool(_came)


def _interrupt(number: int, _: FrameType | None) -> None:
    _came.append(number)
    raise KeyboardInterrupt
