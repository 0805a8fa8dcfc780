"""The routes of a page of several sources."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from importlib.resources import files

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from drivenet.health import STATES, WORKING, Health, State
from drivenet.overlay import Painter
from drivenet.sinks.web.access import Access
from drivenet.sinks.web.app import Handler, application, channel_app, json_response, slashed, static_routes
from drivenet.sinks.web.channel import Channel
from drivenet.sinks.web.forwarded import Proxy
from drivenet.sinks.web.metrics import CONTENT_TYPE, RunStatsCollector
from drivenet.sinks.web.middleware import AccessMiddleware


class AllStats(Collector):
    """The figures of every source, told apart by the label ``source``.

    Args:
        channels: by source id.
    """

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels

    def collect(self) -> Iterator[Metric]:
        """All families, each with the samples of all sources."""
        families: dict[str, Metric] = {}
        for name, channel in self._channels.items():
            for family in RunStatsCollector(channel.stats, lambda hub=channel.hub: hub.viewers).collect():  # type: ignore[misc]
                labelled = [one._replace(labels={**one.labels, "source": name}) for one in family.samples]
                families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                families[family.name].samples += labelled
        yield from families.values()


class Overview:
    """What is asked of all sources at once. One that has ended in good order is listed, and counts no more.

    Args:
        channels: by source id.
    """

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(AllStats(channels))

    async def health(self, request: Request) -> Response:
        """``/healthz``: 200 while every source works or still starts."""
        return self._health(WORKING | {"starting"})

    async def ready(self, request: Request) -> Response:
        """``/readyz``: 200 once each has results."""
        return self._health(WORKING)

    async def stats(self, request: Request) -> Response:
        """``/stats.json``: by source id."""
        return json_response({"sources": {name: c.stats.document() for name, c in self._channels.items()}})

    async def listing(self, request: Request) -> Response:
        """``/sources.json``: what the page itself shows of each source, and the state of the whole."""
        found = {name: channel.stats.health() for name, channel in self._channels.items()}
        told = {
            name: {"state": health.state, "reason": health.reason, "replay": self._channels[name].stats.replay}
            for name, health in found.items()
        }
        # the order by itself: browsers put keys that are numbers first
        return json_response({"state": self._worst(found), "order": list(found), "sources": told})

    async def metrics(self, request: Request) -> Response:
        """``/metrics``, for Prometheus."""
        return Response(generate_latest(self._registry), headers={"content-type": CONTENT_TYPE})

    def _health(self, good: Collection[str]) -> Response:
        found = {name: channel.stats.health() for name, channel in self._channels.items()}
        is_good = all(state in good for state in self._counted(found))
        answer = {"state": self._worst(found), "sources": {name: health.to_dict() for name, health in found.items()}}
        return json_response(answer, HTTPStatus.OK if is_good else HTTPStatus.SERVICE_UNAVAILABLE)

    def _counted(self, found: Mapping[str, Health]) -> list[State]:
        """The states of all sources that something is still to be expected of."""
        return [health.state for health in found.values() if health.state != "ended"]

    def _worst(self, found: Mapping[str, Health]) -> State:
        return max(self._counted(found), key=STATES.index, default="ok")


def build_channels_app(
    channels: Mapping[str, Channel], painter: Painter, access: Access, proxy: Proxy | None = None
) -> ASGIApp:
    """The guarded application: ``/`` shows all sources, ``/live/ID/`` has the routes of one."""
    overview = Overview(channels)
    page = (files(__package__) / "static" / "sources.html").read_bytes()

    async def index(request: Request) -> Response:
        return Response(page, media_type="text/html; charset=utf-8")

    def slash(name: str) -> Handler:
        async def answer(request: Request) -> Response:
            return RedirectResponse(f"{name}/")  # which holds under any path of a proxy

        return answer

    routes = [Route(path, handler) for path, handler in static_routes().items() if path != "/"]
    routes += [
        Route("/", index),
        Route("/sources.json", overview.listing),
        Route("/healthz", overview.health),
        Route("/readyz", overview.ready),
        Route("/stats.json", overview.stats),
        Route("/metrics", overview.metrics),
    ]
    routes += slashed(routes)
    routes += [Route(f"/live/{name}", slash(name)) for name in channels]
    mounts = [Mount(f"/live/{name}", channel_app(c.hub, c.stats, painter)) for name, c in channels.items()]
    return AccessMiddleware(application([*routes, *mounts]), access, proxy)
