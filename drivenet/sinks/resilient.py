"""An output that fails alone: it is opened again with growing waits, and the run goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from drivenet.backoff import Backoff
from drivenet.errors import SinkError, wrapped
from drivenet.frame import Image
from drivenet.health import Event, Health
from drivenet.latency import now_ns
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink, SinkAwayError


class Resilient(Sink):
    """A sink around another one, which it closes when that fails and opens again; one that is only away stays.

    While it is away every frame raises :class:`~drivenet.sinks.base.SinkAwayError`, so that it counts as failed here.

    Args:
        open_sink: opens the sink; called first on construction.
        kind: its class, for what a sink says of itself before it is open.
        target: what it writes to, without secrets.
        away_at_first: whether it may be away from the beginning.
        backoff: the waits.

    Raises:
        SinkError: if it cannot be opened and may not be away.
        UsageError: for what no waiting mends.
    """

    def __init__(
        self, open_sink: Callable[[], Sink], kind: Callable[..., Sink], target: str, *, away_at_first: bool = False,
        backoff: Backoff | None = None,
    ) -> None:  # fmt: skip
        self._open_sink, self._backoff = open_sink, backoff or Backoff()
        self._sink: Sink | None = None
        self._error: SinkError | None = None
        self._due_ns, self._closed = 0, False
        try:
            self._sink = open_sink()
        except SinkError as error:
            if not away_at_first:
                raise
            self._fall(error)
        of = self._sink or kind
        self.name, self.records, self.overflow = of.name, of.records, of.overflow  # type: ignore[union-attr]
        self.needs_view = of.needs_view  # type: ignore[union-attr]
        self.target = self._sink.target if self._sink else target

    def publish(self, result: Result) -> bool | None:
        """Hand it on; SinkAwayError while there is nobody."""
        sink = self._opened()
        try:
            taken = sink.publish(result)
        except SinkAwayError:  # it comes back by itself
            raise
        except Exception as error:
            self._fall(wrapped(SinkError, self.name, error))
            raise self._away() from error
        self._backoff.reset()
        self.target = sink.target
        return taken

    def health(self, health: Health) -> None:
        """Hand it on."""
        self._pass_on(lambda sink: sink.health(health))

    def event(self, event: Event) -> None:
        """Hand it on."""
        self._pass_on(lambda sink: sink.event(event))

    def marked(self, view: Image, health: Health) -> bool:
        """Hand it on."""
        return self._pass_on(lambda sink: sink.marked(view, health)) is True

    def status(self, totals: Totals) -> None:
        """Hand it on."""
        self._pass_on(lambda sink: sink.status(totals))

    def close(self, totals: Totals) -> None:
        """Close what is open. What failed before was told then."""
        self._closed = True
        sink, self._sink = self._sink, None
        if sink:
            sink.close(totals)

    def _pass_on(self, act: Callable[[Sink], bool | None]) -> bool | None:
        if self._sink is None:
            return None
        try:
            return act(self._sink)
        except Exception as error:
            self._fall(wrapped(SinkError, self.name, error))
            raise self._away() from error

    def _opened(self) -> Sink:
        """The sink, opened again if that is due; raises SinkAwayError where there is none."""
        if self._closed:
            raise SinkError(f"{self.target} is closed")
        if self._sink is None:
            if now_ns() < self._due_ns:
                raise self._away()
            try:
                self._sink = self._open_sink()
            except Exception as error:
                self._fall(wrapped(SinkError, self.name, error))
                raise self._away() from error
        return self._sink

    def _fall(self, error: BaseException) -> None:
        """Close what failed, and wait."""
        sink, self._sink = self._sink, None
        if sink:
            with suppress(Exception):
                sink.close(Totals())
        self._error = error if isinstance(error, SinkError) else SinkError(str(error))
        self._due_ns = now_ns() + round(self._backoff.next_s() * 1e9)

    def _away(self) -> SinkAwayError:
        assert self._error
        return SinkAwayError(self._error.received, self._error.expected, self._error.cure)
