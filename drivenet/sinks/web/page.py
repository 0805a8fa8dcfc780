"""One page for several sources: all of them side by side, and the live page of each below ``/live/ID/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drivenet.errors import SinkError
from drivenet.overlay import Painter
from drivenet.result import Totals
from drivenet.sinks.base import SinkGoneError
from drivenet.sinks.web.access import Access, check_binding
from drivenet.sinks.web.hub import Hub, HubGroup
from drivenet.sinks.web.run_stats import RunStats
from drivenet.sinks.web.sink import PageSink, check_installed, url_of

if TYPE_CHECKING:
    from drivenet.sinks.web.server import Server


class MultiPage:
    """Serves the live pages of several sources.

    Args:
        host, port, token, allow_anonymous, allowed_hosts, root_path, trusted_proxies: as
            :class:`~drivenet.sinks.web.WebSink` takes them.
        painter: its labels and alpha are the overlays'.
        sources: what the frames of each source come from, by source id.
        engine: what they go through.
        stages: what frames pass.

    Raises:
        UsageError, SinkError: as :class:`~drivenet.sinks.web.WebSink`.
    """

    def __init__(
        self, host: str, port: int, *, token: str | None, allow_anonymous: bool, allowed_hosts: Sequence[str] = (),
        painter: Painter, sources: Mapping[str, str], engine: Mapping[str, Any], stages: Sequence[str],
        root_path: str = "", trusted_proxies: Sequence[str] = (),
    ) -> None:  # fmt: skip
        check_binding(host, token, allow_anonymous, allowed_hosts)
        check_installed()
        from drivenet.sinks.web.channels import Channel, build_channels_app
        from drivenet.sinks.web.forwarded import Proxy
        from drivenet.sinks.web.server import Server, listen

        proxy = Proxy(root_path, trusted_proxies)
        listener = listen(host, port)
        self.host, self.port = host, int(listener.getsockname()[1])
        channels = {name: Channel(Hub(), RunStats(text, engine, stages)) for name, text in sources.items()}
        app = build_channels_app(channels, painter, Access(host, self.port, token, allowed_hosts), proxy)
        self._server: Server = Server(app, HubGroup([channel.hub for channel in channels.values()]), listener)
        self._open = set(sources)
        #: The sink of each source.
        self.sinks: dict[str, PageSink] = {
            name: _ChannelSink(self, name, channel.hub, channel.stats) for name, channel in channels.items()
        }

    @property
    def url(self) -> str:
        """Where the page is, without the token."""
        return url_of(self.host, self.port)

    def check(self) -> None:
        """SinkError if the server has ended by itself."""
        self._server.check()

    def closed(self, name: str) -> None:
        """A source's sink is closed; with the last one the server ends."""
        self._open.discard(name)
        if not self._open:
            self._server.stop()

    def close(self) -> None:
        """End the server, whoever still publishes."""
        self._open.clear()
        self._server.stop()


class _ChannelSink(PageSink):
    """The page's sink of one source."""

    def __init__(self, page: MultiPage, source_id: str, hub: Hub, stats: RunStats) -> None:
        super().__init__(hub, stats)
        self._page, self._source_id = page, source_id

    def check(self) -> None:
        """SinkGoneError if the server has ended: that is no reason to end a run of several."""
        try:
            self._page.check()
        except SinkError as error:
            raise SinkGoneError(error.received, error.expected, error.cure) from error

    def close(self, totals: Totals) -> None:
        """Keep the last figures for as long as another source goes on."""
        self._stats.status(totals)
        self._page.closed(self._source_id)
