"""Several sources in one node: their ids, the settings of each, and the runs on one engine."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivenet.address import mask_uri, scheme_of
from drivenet.cli.budget import as_one, budget_of, open_engines
from drivenet.cli.heartbeat import heart_of, tell_restarts
from drivenet.cli.opening import begin_alone, open_source_of
from drivenet.cli.outputs import check_outputs, open_page, open_sinks
from drivenet.cli.signals import ended_by_signals
from drivenet.cli.stages import open_painter, open_stages
from drivenet.config import NodeSettings
from drivenet.engine.base import Engine
from drivenet.engine.shared import SharedEngine
from drivenet.errors import UsageError
from drivenet.node import MainThread, Node
from drivenet.pipeline import Pipeline
from drivenet.pipeline.sink_queue import unique
from drivenet.result import Totals
from drivenet.sinks import kind_of_output
from drivenet.sinks.recording.shared import NodeRecordings
from drivenet.sources import kind_of
from drivenet.sources.base import Source
from drivenet.stages import stage_names

if TYPE_CHECKING:
    from drivenet.sinks.web.sink import PageSink

#: What an output's address has in the place of the source's id.
PLACE = "{source}"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
log = logging.getLogger("drivenet.cli")


def sources_of(settings: NodeSettings) -> dict[str, str]:
    """The sources of a node by id; none where it has one without.

    A list gets its ids from the addresses: the last part of a path, without suffix.

    Raises:
        UsageError: for an id with other characters than letters, digits, ``-`` and ``_``.
    """
    if not isinstance(settings.sources, dict):
        names = unique(_id_of(uri) for uri in settings.sources)
        return dict(zip(names, settings.sources, strict=True))
    for name in settings.sources:
        if not _ID.fullmatch(name):
            raise UsageError(f"source id {name!r}", "letters, digits, - and _, such as front")
    return dict(settings.sources)


def named(settings: NodeSettings) -> NodeSettings:
    """The settings of a node with one source, with its id where outputs ask for it."""
    if settings.source is None:
        return settings
    name = _id_of(settings.source)
    _tell_names(settings, name)
    return settings.model_copy(update=_placed(settings, name))


def settings_of(settings: NodeSettings, name: str, uri: str) -> NodeSettings:
    """The settings of one source: with its id in outputs, and without what all share."""
    return settings.model_copy(update={"source": uri, "sources": (), "serve": None, **_placed(settings, name)})


def _placed(settings: NodeSettings, name: str) -> dict[str, Any]:
    """The outputs with the id of a source in them."""
    stats = settings.stats.replace(PLACE, name) if settings.stats else None
    return {"out": tuple(_at(target, name) for target in settings.out), "stats": stats}


def _at(target: str, name: str) -> str:
    """An output with the id of a source in it, as addresses of its kind can have it."""
    if PLACE not in target or not scheme_of(target):
        return target.replace(PLACE, name)
    address, mark, query = target.partition("?")
    return address.replace(PLACE, kind_of_output(target).source_name(name)) + mark + query.replace(PLACE, name)


def _tell_names(settings: NodeSettings, name: str) -> None:
    """Say where a source has another name than its id."""
    for target in settings.out:
        if (place := _at(target, name)) != target.replace(PLACE, name):
            log.info("the source %s is at %s", name, mask_uri(place))


def check_sources(settings: NodeSettings, sources: Mapping[str, str], config: Path | None) -> None:
    """UsageError for outputs that several sources would share, and as :func:`check_outputs`."""
    shared = [t for t in (*settings.out, *([settings.stats] if settings.stats else [])) if PLACE not in t]
    if shared and len(sources) > 1:
        what = f"one output {mask_uri(shared[0])} for {len(sources)} sources"
        raise UsageError(what, f"{PLACE} in it", f"such as {_with_place(shared[0])}")
    for target in settings.out:
        _check_apart({name: _at(target, name) for name in sources})
    pictures = [uri for uri in sources.values() if kind_of(uri) == "images" and Path(uri).is_file()]
    if len(pictures) > 1:
        raise UsageError(f"{len(pictures)} picture files as sources", "one SOURCE", "quote a glob")
    for name, uri in sources.items():
        _tell_names(settings, name)
        check_outputs(settings_of(settings, name, uri), config, tuple(sources.values()))


def _check_apart(places: Mapping[str, str]) -> None:
    """UsageError if two sources have one address, by their ids."""
    first: dict[str, str] = {}
    for name, place in places.items():
        if first.setdefault(place, name) != name:
            told = f"the sources {first[place]} and {name} would both be at {mask_uri(place)}"
            raise UsageError(told, "ids that differ in their letters and digits")


def _with_place(target: str) -> str:
    """An output's address with the source's id in it, for a message."""
    if target == "-":
        return f"FILE-{PLACE}.jsonl"
    if scheme_of(target):
        address, mark, query = mask_uri(target).partition("?")
        return f"{address.rstrip('/')}/{PLACE}{mark}{query}"
    return f"{target}{PLACE}/" if target.endswith("/") else str(Path(target).with_stem(f"{Path(target).stem}-{PLACE}"))


def run_sources(settings: NodeSettings, sources: Mapping[str, str], recordings: NodeRecordings) -> dict[str, Totals]:
    """Open everything, run all sources, and close everything; the totals by source id."""
    main = MainThread()
    with ExitStack() as opened:
        engines = open_engines(settings, opened)
        engine, shared = engines[0], [SharedEngine(one) for one in engines]
        pages = _pages(settings, sources, engine, opened)
        each = {name: settings_of(settings, name, uri) for name, uri in sources.items()}
        # before any output: one that is not there shall leave nothing of the others behind
        found = {name: open_source_of(mine, opened) for name, mine in each.items()}
        pipelines = {}
        for name, mine in each.items():
            lent = [one.lend() for one in shared]
            pipelines[name] = _pipeline(
                mine, name, found[name], lent, pages.get(name), main, recordings, opened
            )  # fmt: skip
        opened.pop_all()  # from here on they are the node's
    begin_alone()
    node = Node(pipelines, main, partial(_close, shared))
    tell_restarts(next(iter(pipelines.values())))
    with ended_by_signals(node), heart_of(list(pipelines.values())):
        return node.run()


def _close(shared: Sequence[SharedEngine]) -> None:
    for engine in shared:
        engine.close()


def _pages(
    settings: NodeSettings, sources: Mapping[str, str], engine: Engine, opened: ExitStack
) -> dict[str, PageSink]:
    if not settings.serve:
        return {}
    painter = open_painter(settings_of(settings, *next(iter(sources.items()))), engine.spec.label_set)
    stages = open_stages(settings, engine, track=True)
    names = stage_names(stages)
    for stage in stages:  # each source has its own
        stage.close()
    page = open_page(settings, {name: mask_uri(uri) for name, uri in sources.items()}, engine, painter, names)
    opened.callback(page.close)
    return page.sinks


def _pipeline(
    settings: NodeSettings, name: str, source: Source, engines: Sequence[Engine], page: PageSink | None,
    main: MainThread, recordings: NodeRecordings, opened: ExitStack,
) -> Pipeline:  # fmt: skip
    engine = as_one(engines)
    painter = open_painter(settings, engine.spec.label_set)
    stages = open_stages(settings, engine, track=source.continuous)
    for stage in stages:
        opened.callback(stage.close)
    sinks = open_sinks(settings, source, engine, painter, stage_names(stages), recordings, page)
    for sink in sinks:
        opened.callback(sink.close, Totals())
    shown = [main.served(sink) for sink in (*sinks, *([page] if page else []))]
    return Pipeline(
        source, engine, shown, policy=settings.policy, painter=painter, max_frames=settings.max_frames,
        source_id=name, stages=stages, budget=budget_of(settings, len(engines)),
    )  # fmt: skip


def _id_of(uri: str) -> str:
    """The id of a source that was given none."""
    scheme = scheme_of(uri)
    # not by urlsplit, which knows addresses that are none, and tells all of them
    path = re.split("[?#]", uri.partition("://")[2])[0].partition("/")[2] if scheme else uri.partition("?")[0]
    stem = Path(path.rstrip("/")).stem
    text = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or scheme or "source"
    return f"camera{text}" if text.isdigit() else text
