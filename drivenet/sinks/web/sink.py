"""The sink of the live page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drivenet.health import Event, Health
from drivenet.latency import STAGES
from drivenet.overlay import Painter
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sinks.web.access import Access
from drivenet.sinks.web.hub import Hub, HubGroup
from drivenet.sinks.web.run_stats import RunStats
from drivenet.sinks.web.served import Served

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from drivenet.sinks.web.forwarded import Proxy


class PageSink(Sink):
    """What a page shows of one source.

    ``publish`` takes some microseconds: pictures are encoded in other threads, once for all
    viewers, and not at all while nobody watches.

    Args:
        hub: where viewers find results.
        stats: the figures.
    """

    name = "web"
    overflow = "drop"
    needs_view = False
    wants_times = True

    def __init__(self, hub: Hub, stats: RunStats) -> None:
        self._hub, self._stats = hub, stats

    def check(self) -> None:
        """SinkError if the server has ended, and nobody can watch any more."""
        raise NotImplementedError

    @property
    def viewers(self) -> int:
        """How many live pages and MJPEG streams are open."""
        return self._hub.viewers

    def shows(self, *, replay: bool) -> None:
        """Whether the source is a recording, whose picture is not called live."""
        self._stats.replay = replay

    def lock_with(self, lock: Callable[[], None]) -> None:
        """Viewers may lock the recording: ``lock`` keeps its segments around now."""
        self._hub.lock = lock

    def publish(self, result: Result) -> None:
        """Leave a result for those who watch; SinkError if the server has ended, and nobody can any more."""
        self.check()
        self._stats.published(result)
        self._hub.publish(result)

    def settled(self, result: Result) -> None:
        """Take its final times."""
        self._stats.settled(result)

    def health(self, health: Health) -> None:
        """Viewers mark the picture they have; nothing is drawn here."""
        self.check()
        self._stats.fares(health)

    def event(self, event: Event) -> None:
        """Keep it for those who watch."""
        self._stats.happened(event)

    def status(self, totals: Totals) -> None:
        """Take the run's counts."""
        self._stats.status(totals)


class WebSink(PageSink):
    """Serves the newest result to browsers, players and monitors; see docs/web.md.

    Args:
        host, port, token, allow_anonymous, allowed_hosts, root_path, trusted_proxies: as
            :class:`~drivenet.sinks.web.served.Served` takes them.
        painter: its labels and alpha are the overlay's.
        source: what the frames come from, without credentials.
        engine: what they go through, as :meth:`drivenet.engine.base.Engine.describe` says it.
        stages: what frames pass.

    Raises:
        UsageError, SinkError: as :class:`~drivenet.sinks.web.served.Served`.
    """

    def __init__(
        self, host: str, port: int, *, token: str | None, allow_anonymous: bool, allowed_hosts: Sequence[str] = (),
        painter: Painter, source: str, engine: Mapping[str, Any], stages: Sequence[str] = STAGES,
        root_path: str = "", trusted_proxies: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(Hub(), RunStats(source, engine, stages))
        self._served = Served(
            self._app(painter), HubGroup([self._hub]), host, port, token=token, allow_anonymous=allow_anonymous,
            allowed_hosts=allowed_hosts, root_path=root_path, trusted_proxies=trusted_proxies,
        )  # fmt: skip

    def _app(self, painter: Painter) -> Callable[[Access, Proxy], ASGIApp]:
        def build(access: Access, proxy: Proxy) -> ASGIApp:
            from drivenet.sinks.web.app import build_app

            return build_app(self._hub, self._stats, painter, access, proxy)

        return build

    @property
    def port(self) -> int:
        """The bound port."""
        return self._served.port

    @property
    def url(self) -> str:
        """Where the page is, without the token."""
        return self._served.url

    def check(self) -> None:
        """SinkError if the server has ended."""
        self._served.server.check()

    def close(self, totals: Totals) -> None:
        """End all connections and the server's thread."""
        self._stats.status(totals)
        self._served.server.stop()
