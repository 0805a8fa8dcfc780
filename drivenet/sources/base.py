"""What the pipeline asks of a place that frames come from."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
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
        lost_frames: how many pictures were damaged, or refer to one that is lost, and were left out.
        cause: why in one word, see :func:`drivenet.sources.causes.cause_of`.
        missing_s: seconds of its own time for which nothing came: pieces of a playlist that could not be loaded.
    """

    reconnects: int = 0
    last_error: str = ""
    away: bool = False
    lost_frames: int = 0
    missing_s: float = 0.0
    cause: str = ""

    def with_losses_of(self, other: SourceStatus) -> SourceStatus:
        """The same with what another one lost added."""
        frames, missing_s = self.lost_frames + other.lost_frames, self.missing_s + other.missing_s
        return replace(self, lost_frames=frames, missing_s=missing_s)


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
    #: Whether frames follow each other in time, so that things can be followed; single pictures do not.
    continuous = True
    #: Frames a second as the source states it, 0 if it does not.
    fps = 0.0
    #: How many frames there are, None if unknown.
    frames: int | None = None
    #: (height, width) of the frames, None until known.
    size: tuple[int, int] | None = None
    #: What a live source begins with, if it may be a recording: one that begins alike twice is one.
    begins: Hashable = None
    #: Whether it came to its end in good order.
    ended = False

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
