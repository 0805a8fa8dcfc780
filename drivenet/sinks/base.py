"""What the pipeline asks of a place that results go to."""

from __future__ import annotations

from typing import Literal

from drivenet.errors import SinkError
from drivenet.frame import Image
from drivenet.health import Event, Health
from drivenet.result import Result, Totals


class SinkAwayError(SinkError):
    """An output did not take a frame and is tried again: the run goes on without it."""

    #: Whether it will never come back: a run that has no other output ends.
    for_good = False


class SinkGoneError(SinkAwayError):
    """An output that several runs share is gone: none of them ends for it that has another one."""

    for_good = True


class Sink:
    """Somewhere results go. Subclasses override what they need.

    Every sink has a queue and a thread of its own, from which all methods are called, in the order of events:
    ``publish`` in frame order, and last ``close``, exactly once, also after an error. Only a sink that does not
    return from an earlier call by the end of the run is left behind: should it return later, it is closed then.
    A sink that cannot go on raises SinkError, which ends the run. ``stop_requested`` turns true when the sink wants
    the run to end (a window that was closed).

    >>> from drivenet import Pipeline, open_engine, open_source
    >>> class Largest(Sink):
    ...     needs_view = False
    ...     def publish(self, result):
    ...         print(result.frame.index, result.scene.regions["vehicle"][0].cls)
    >>> source, engine = open_source("synthetic://96x64@30?frames=2"), open_engine(backend="null")
    >>> _ = Pipeline(source, engine, [Largest()], policy="every").run()
    0 Car
    1 Car
    """

    #: Names the sink in messages and counts; the second of a name is counted as ``name-2``.
    name = "sink"
    #: What it writes to, for messages: a file, an address. Never holds credentials.
    target = ""
    #: Whether ``Result.view`` must hold a picture.
    needs_view = True
    #: Whether the sink wants the frame's final times: it is served after the others and is not timed itself.
    records = False
    #: Whether a sink that is timed itself wants the final times of what it published too, see :meth:`settled`.
    wants_times = False
    #: What becomes of results that come faster than the sink takes them. ``block``, for what shall be complete:
    #: under the policy ``every`` the run waits, under ``latest`` the oldest that waits is dropped. ``drop``, for
    #: what shall be new (a window, a page, a bus): the oldest that waits is always dropped.
    overflow: Literal["block", "drop"] = "block"
    #: Whether it must be served in the thread that runs the pipeline, as windows ask, instead of one of its own.
    main_thread = False

    stop_requested = False

    @classmethod
    def check_address(cls, uri: str) -> None:
        """Raise UsageError for an address that no sink of this kind can be opened with, or for a missing package.

        Nothing is opened or asked for it.
        """

    @classmethod
    def source_name(cls, source_id: str) -> str:
        """How the id of a source (letters, digits, ``-``, ``_``) stands in an address of this kind."""
        return source_id

    def publish(self, result: Result) -> bool | None:
        """Take one result. Raises SinkError.

        Returns:
            False from a sink that left it out, because it is slow: it counts there as dropped.
        """
        raise NotImplementedError

    def settled(self, result: Result) -> None:
        """A published result once all timed sinks had it, with the final times; only if ``wants_times``."""

    def health(self, health: Health) -> None:
        """How the run is: at every change, and at least twice a second. A sink that is slower gets the newest only.

        A sink that hears nothing for seconds knows that the run itself has come to a stop.
        """

    def event(self, event: Event) -> None:
        """Something happened; every event comes, in order."""

    def marked(self, view: Image, health: Health) -> bool | None:
        """Nothing new comes: ``view`` is the last picture, greyed and marked with the state. Not a frame.

        Comes about four times a second; a sink that is slower gets the newest only.

        Returns:
            True from a recording that holds the picture now: it counts there as ``marked``.
        """
        self.lost(view, health.seconds())
        return None

    def lost(self, view: Image, seconds: float) -> None:
        """The former name of :meth:`marked`, for one more release."""

    def status(self, totals: Totals) -> None:
        """The run's counts so far, about twice a second; a sink that is slower is told the newest only."""

    def close(self, totals: Totals) -> None:
        """Finish and release; ``totals`` are the run's."""


def view_of(result: Result) -> Image:
    """The picture of a result, (H, W, 3) uint8 BGR; SinkError if none was drawn."""
    if result.view is None:
        raise SinkError(f"frame {result.frame.index} came without a picture", "a view drawn for every frame")
    return result.view
