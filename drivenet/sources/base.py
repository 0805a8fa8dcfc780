"""What the pipeline asks of a place that frames come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from drivenet.frame import Frame

S = TypeVar("S", bound="Source")


@dataclass(frozen=True)
class SourceStatus:
    """How a source fares.

    Args:
        reconnects: how many times it was lost and found again.
        last_error: why it was last lost or not opened, without secrets; empty as long as all went well.
        away: whether it is lost now, and tried again.
    """

    reconnects: int = 0
    last_error: str = ""
    away: bool = False


class Source:
    """Somewhere frames come from.

    Iterating yields :class:`Frame` with ``index`` 0, 1, 2, ... and ends with the source; it raises SourceError
    when the source fails. ``close`` may be called from another thread and makes a waiting iteration end within
    a second. Both may be called once; a ``with`` statement closes it.
    """

    #: How messages name the source; never holds credentials.
    name = "source"
    #: Live sources default to the policy ``latest`` and are opened again when they are lost.
    live = False
    #: Frames a second as the source states it, 0 if it does not.
    fps = 0.0
    #: How many frames there are, None if unknown.
    frames: int | None = None
    #: (height, width) of the frames, None until known.
    size: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError

    def status(self) -> SourceStatus:
        """How the source fares; from any thread, at once."""
        return SourceStatus()

    def close(self) -> None:
        """Release the source; a blocked iteration ends soon after."""

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
