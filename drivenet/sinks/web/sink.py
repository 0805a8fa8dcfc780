"""The sink of the live page."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drivenet.errors import UsageError
from drivenet.health import Event, Health
from drivenet.latency import STAGES
from drivenet.overlay import Painter
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sinks.web.access import Access, check_binding
from drivenet.sinks.web.hub import Hub, HubGroup
from drivenet.sinks.web.run_stats import RunStats

if TYPE_CHECKING:
    from drivenet.sinks.web.server import Server

_NEEDED = ("starlette", "uvicorn", "websockets", "prometheus_client")


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
        host: the address to bind: a loopback one unless there is a token.
        port: 0 takes a free one, see :attr:`url`.
        token: what viewers must show; None = nothing.
        allow_anonymous: others may look without a token.
        allowed_hosts: further names under which the page is reached, such as a proxy's.
        painter: its labels and alpha are the overlay's.
        source: what the frames come from, without credentials.
        engine: what they go through, as :meth:`drivenet.engine.base.Engine.describe` says it.
        root_path: under which a proxy serves the page.
        trusted_proxies: addresses and networks whose ``X-Forwarded-*`` headers are believed.
        replay: whether the source is a recording: its picture is not called live.

    Raises:
        UsageError: for a binding or a name that is not allowed, or if the extra ``[web]`` is not installed.
        SinkError: if the address is not there or taken.
    """

    def __init__(
        self, host: str, port: int, *, token: str | None, allow_anonymous: bool, allowed_hosts: Sequence[str] = (),
        painter: Painter, source: str, engine: Mapping[str, Any], stages: Sequence[str] = STAGES,
        root_path: str = "", trusted_proxies: Sequence[str] = (), replay: bool = False,
    ) -> None:  # fmt: skip
        check_binding(host, token, allow_anonymous, allowed_hosts)
        check_installed()
        from drivenet.sinks.web.app import build_app
        from drivenet.sinks.web.forwarded import Proxy
        from drivenet.sinks.web.server import Server, listen

        proxy = Proxy(root_path, trusted_proxies)
        listener = listen(host, port)
        self.host, self.port = host, int(listener.getsockname()[1])
        super().__init__(Hub(), RunStats(source, engine, stages, replay))
        app = build_app(self._hub, self._stats, painter, Access(host, self.port, token, allowed_hosts), proxy)
        self._server: Server = Server(app, HubGroup([self._hub]), listener)

    @property
    def url(self) -> str:
        """Where the page is, without the token."""
        return url_of(self.host, self.port)

    def check(self) -> None:
        """SinkError if the server has ended."""
        self._server.check()

    def close(self, totals: Totals) -> None:
        """End all connections and the server's thread."""
        self._stats.status(totals)
        self._server.stop()


def url_of(host: str, port: int) -> str:
    """The address of a page that is bound there, as its own machine reaches it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def check_installed() -> None:
    """UsageError if the extra is not there."""
    for module in _NEEDED:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"the live page without {error.name}", "the extra [web]", 'pip install "drivenet[web]"'
            ) from error
