"""One page for several sources: all of them side by side, and the live page of each below ``/live/ID/``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drivenet.errors import SinkError
from drivenet.overlay import Painter
from drivenet.result import Totals
from drivenet.sinks.base import SinkGoneError
from drivenet.sinks.web.channel import Channel
from drivenet.sinks.web.hub import Hub, HubGroup
from drivenet.sinks.web.run_stats import RunStats
from drivenet.sinks.web.served import Served
from drivenet.sinks.web.sink import PageSink

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from drivenet.sinks.web.access import Access
    from drivenet.sinks.web.forwarded import Proxy


class MultiPage:
    """Serves the live pages of several sources.

    Args:
        host, port, token, allow_anonymous, allowed_hosts, root_path, trusted_proxies: as
            :class:`~drivenet.sinks.web.served.Served` takes them.
        painter: its labels and alpha are the overlays'.
        sources: what the frames of each source come from, by source id.
        engine: what they go through.
        stages: what frames pass.

    Raises:
        UsageError, SinkError: as :class:`~drivenet.sinks.web.served.Served`.
    """

    def __init__(
        self, host: str, port: int, *, token: str | None, allow_anonymous: bool, allowed_hosts: Sequence[str] = (),
        painter: Painter, sources: Mapping[str, str], engine: Mapping[str, Any], stages: Sequence[str],
        root_path: str = "", trusted_proxies: Sequence[str] = (),
    ) -> None:  # fmt: skip
        channels = {name: Channel(Hub(), RunStats(text, engine, stages)) for name, text in sources.items()}
        self._served = Served(
            _app(channels, painter), HubGroup([channel.hub for channel in channels.values()]), host, port, token=token,
            allow_anonymous=allow_anonymous, allowed_hosts=allowed_hosts, root_path=root_path,
            trusted_proxies=trusted_proxies,
        )  # fmt: skip
        self._open = set(sources)
        #: The sink of each source.
        self.sinks: dict[str, PageSink] = {
            name: _ChannelSink(self, name, channel.hub, channel.stats) for name, channel in channels.items()
        }

    @property
    def port(self) -> int:
        """The bound port."""
        return self._served.port

    @property
    def url(self) -> str:
        """Where the page is, without the token."""
        return self._served.url

    def check(self) -> None:
        """SinkError if the server has ended by itself."""
        self._served.server.check()

    def closed(self, name: str) -> None:
        """A source's sink is closed; with the last one the server ends."""
        self._open.discard(name)
        if not self._open:
            self._served.server.stop()

    def close(self) -> None:
        """End the server, whoever still publishes."""
        self._open.clear()
        self._served.server.stop()


def _app(channels: Mapping[str, Channel], painter: Painter) -> Callable[[Access, Proxy], ASGIApp]:
    def build(access: Access, proxy: Proxy) -> ASGIApp:
        from drivenet.sinks.web.channels import build_channels_app

        return build_channels_app(channels, painter, access, proxy)

    return build


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
        self._stats.end(totals)
        self._page.closed(self._source_id)
