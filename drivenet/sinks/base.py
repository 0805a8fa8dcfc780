"""What the pipeline asks of a place that results go to."""

from __future__ import annotations

from drivenet.frame import Image
from drivenet.result import Result, Totals


class Sink:
    """Somewhere results go. Subclasses override what they need.

    ``publish`` is called from one thread, in frame order; ``close`` exactly once, from the same thread, also
    after an error; a sink that cannot go on raises SinkError. ``stop_requested`` turns true when the sink
    wants the run to end (a window that was closed).
    """

    #: Names the sink in stamps, messages and counts.
    name = "sink"
    #: Whether ``Result.view`` must hold a picture.
    needs_view = True
    #: Whether the sink wants the frame's final stamps: it is served after the others and is not timed itself.
    records = False

    stop_requested = False

    def publish(self, result: Result) -> None:
        """Take one result. Raises SinkError."""
        raise NotImplementedError

    def lost(self, view: Image, seconds: float) -> None:
        """The source has given nothing for so long; ``view`` is the last one greyed and marked. Not a frame."""

    def status(self, totals: Totals) -> None:
        """The run's counts so far, about twice a second, from the thread that publishes."""

    def close(self, totals: Totals) -> None:
        """Finish and release; ``totals`` are the run's."""
