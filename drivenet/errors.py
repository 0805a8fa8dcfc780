"""Typed errors. Each carries the exit code that the command line ends with.

DrivenetError                1
 |- UsageError               2   a wrong argument
 |   '- ConfigError          2   a wrong configuration file
 |- SourceError              3   nothing to read frames from
 |   |- SourceNotFoundError      no such file, camera or host
 |   |- NoVideoError             it opens, but holds no pictures
 |   '- SourceLostError          it worked and then stopped before its end
 |- EngineError              4   nothing to run frames through
 |   '- ModelSpecError           an artefact that does not say how to use it, or says it wrongly
 '- SinkError                5   nowhere to write results to
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TypeVar


class DrivenetError(Exception):
    """One line: what was received, what was expected, how to mend it.

    Args:
        received: what came, named as the user wrote it.
        expected: what would have been right (may be empty where that is obvious).
        cure: what to do next (may be empty).
    """

    exit_code = 1
    #: What else went wrong in the same run, after this.
    also: tuple[BaseException, ...] = ()

    def __init__(self, received: str, expected: str = "", cure: str = "") -> None:
        self.received, self.expected, self.cure = received, expected, cure
        parts = [received, f"expected {expected}" if expected else "", cure]
        super().__init__("; ".join(" ".join(p.split()) for p in parts if p))

    def __reduce__(self) -> tuple[type[DrivenetError], tuple[str, str, str]]:
        """What another process is sent: the same error, without its cause."""
        return type(self), (self.received, self.expected, self.cure)


class UsageError(DrivenetError):
    """A wrong argument."""

    exit_code = 2


class ConfigError(UsageError):
    """A wrong configuration file."""


class SourceError(DrivenetError):
    """Nothing to read frames from."""

    exit_code = 3


class SourceNotFoundError(SourceError):
    """No such file, folder, camera or host."""


class NoVideoError(SourceError):
    """The source opens but holds no pictures."""


class SourceLostError(SourceError):
    """The source gave frames and then failed before its end."""


class EngineError(DrivenetError):
    """Nothing to run frames through."""

    exit_code = 4


class ModelSpecError(EngineError):
    """An artefact without a (valid) ModelSpec, or one that contradicts it."""


class SinkError(DrivenetError):
    """Nowhere to write results to."""

    exit_code = 5


E = TypeVar("E", bound=DrivenetError)


def refused(kind: type[E], path: object, error: OSError) -> E:
    """An error of a kind for a file that is there and that the operating system does not let us read.

    >>> str(refused(EngineError, "a.onnx", PermissionError(13, "Permission denied")))
    'a.onnx cannot be read: permission denied; check the permissions of it and of its folders'
    """
    why = (error.strerror or "unknown error").lower()
    cure = "check the permissions of it and of its folders" if isinstance(error, PermissionError) else ""
    return kind(f"{path} cannot be read: {why}", cure=cure)


def wrapped(kind: type[E], where: str, error: BaseException) -> BaseException:
    """An error of somebody else's source, engine or sink as one of ours, with the original as its cause.

    Those that are ours already, and those that end a program (KeyboardInterrupt, SystemExit), stay as they are.

    >>> str(wrapped(SinkError, "traffic", ZeroDivisionError("division by zero")))
    'traffic: ZeroDivisionError: division by zero'
    >>> str(wrapped(SourceError, "drive", OSError(19, "No such device")))
    'drive: No such device'
    """
    if isinstance(error, DrivenetError) or not isinstance(error, Exception):
        return error
    told = error.strerror if isinstance(error, OSError) else None
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    ours = kind(f"{where}: {told or said}")
    ours.__cause__ = error
    return ours


def nearest(word: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The hint ``did you mean X?`` for a misspelt word, or the whole choice if nothing is near.

    >>> nearest("raod", ["road", "sign"])
    'did you mean road?'
    >>> nearest("zebra", ["road", "sign"])
    'choose from road, sign'
    """
    choice = sorted(set(known))
    close = difflib.get_close_matches(str(word), choice, n=1, cutoff=cutoff)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(choice)}"
