"""Where a run's results go: outputs that do not destroy each other or the source, and the sinks for them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from drivenet.address import mask_uri, scheme_of
from drivenet.artefacts.catalog import files_read
from drivenet.cli.output import console
from drivenet.cli.stages import names_in
from drivenet.config import NodeSettings, yaml_file
from drivenet.engine.base import Engine
from drivenet.errors import UsageError
from drivenet.overlay import PNG_VIEWS, Painter
from drivenet.result import Totals
from drivenet.sinks import (
    CUTOUT_SUFFIXES,
    PICTURE_SUFFIXES,
    SUFFIXES,
    VIDEO_SUFFIXES,
    is_folder,
    kind_of_output,
    open_sink,
    sink_class,
)
from drivenet.sinks.base import Sink
from drivenet.sinks.recording import RecordingOptions, RecordingSession
from drivenet.sinks.recording.conditions import any_of
from drivenet.sinks.recording.options import parse_bytes, parse_segment
from drivenet.sinks.recording.shared import NodeRecordings
from drivenet.sinks.recording.written import Written
from drivenet.sinks.resilient import Resilient
from drivenet.sinks.target import identity
from drivenet.sources import files_of, kind_of
from drivenet.sources.base import Source
from drivenet.things.pictures import wanted_classes

if TYPE_CHECKING:
    from drivenet.sinks.web.page import MultiPage
    from drivenet.sinks.web.sink import PageSink

#: Pictures a second in a video of a recorded source that has no rate, such as a folder: what FFmpeg takes, too.
PICTURES_FPS = 25.0
#: What files of these suffixes hold is no JSON.
_NOT_STATS = {*VIDEO_SUFFIXES, *CUTOUT_SUFFIXES, *SUFFIXES, *PICTURE_SUFFIXES, ".csv", ".parquet"}
#: Files that a run names at its end.
_SHOWN = 8


def check_outputs(settings: NodeSettings, config: Path | None, sources: Sequence[str] = ()) -> None:
    """UsageError if an output is a source, the engine, the configuration or another output.

    ``sources`` are those of a node with several: the outputs of one may not be another.
    """
    sources = sources or (settings.source or "",)
    if settings.stats and scheme_of(settings.stats):
        raise UsageError(f"--stats {mask_uri(settings.stats)}", "a file, or -", "an address is for --out")
    taken = {identity(path): what for path, what in _inputs(settings, config, sources)}
    for path in (*settings.out, *([settings.stats] if settings.stats else [])):
        place = None if path == "-" else identity(path)
        if place is None:
            continue
        if place in taken:
            raise UsageError(f"output {mask_uri(path)} is {taken[place]}", "a place of its own")
        taken[place] = "named twice"
    for source in sources:
        _check_outside(settings.out, source)
    _check_stats(settings.stats or "")
    _check_cut(settings)


def _check_stats(path: str) -> None:
    """UsageError for statistics in a folder, or in what another program would read as something else."""
    if path.endswith("/") or Path(path).suffix.lower() in _NOT_STATS:
        raise UsageError(f"--stats {path}", "FILE.jsonl, or -", "a line of JSON for each frame is written there")


def _check_outside(outputs: Sequence[str], source: str) -> None:
    """UsageError if pictures are going to be written into the folder that they are read from, sub-folders included."""
    if "://" in source or not os.path.isdir(source):
        return
    for path in outputs:
        if is_folder(path) and Path(os.path.realpath(source)) in Path(os.path.realpath(path)).parents:
            what = f"output {path} is within {source}, which is read with its sub-folders"
            raise UsageError(what, "a folder outside", f"or name the pictures: '{Path(source) / '*.jpg'}'")


def _check_cut(settings: NodeSettings) -> None:
    """UsageError if segments are asked for and no output has any."""
    files = [path for path in settings.out if not scheme_of(path) and not is_folder(path)]
    recordings = [path for path in files if Path(path).suffix.lower() not in PICTURE_SUFFIXES]
    if settings.segment and not recordings and settings.stats in (None, "-"):
        raise UsageError(
            "--segment without a recording", "--out FILE.mp4, .mkv or .mcap, or --stats FILE.jsonl",
            "images and addresses have no segments",
        )  # fmt: skip


def _check_one_picture(target: str, settings: NodeSettings, source: Source) -> None:
    """UsageError if a picture file is going to get more than one frame."""
    is_picture = Path(target).suffix.lower() in PICTURE_SUFFIXES and "://" not in target and not os.path.isdir(target)
    if is_picture and 1 not in (source.frames, settings.max_frames):
        count = min(source.frames or sys.maxsize, settings.max_frames or sys.maxsize)
        what = f"the picture {target} for {'many' if count == sys.maxsize else count} frames"
        raise UsageError(what, f"a folder: {Path(target).with_suffix('')}/", "or --max-frames 1")


def _inputs(settings: NodeSettings, config: Path | None, sources: Sequence[str]) -> Iterator[tuple[str | Path, str]]:
    for source in sources:
        yield from _files_read_from(source)
    for file in files_read(settings.engine, settings.backend):
        yield file, "the engine"
    if config:
        yield yaml_file(config), "the configuration"


def _files_read_from(source: str) -> Iterator[tuple[Path, str]]:
    files = files_of(source)
    if kind_of(source) == "images":
        linked = {Path(os.path.realpath(file)).parent for file in files if file.is_symlink()}
        for folder in linked.union(file.parent for file in files):
            yield folder, "the folder of the source"
    for file in files:
        yield file, "the source"


def open_sinks(
    settings: NodeSettings,
    source: Source,
    engine: Engine,
    painter: Painter,
    stages: Sequence[str],
    recordings: NodeRecordings,
    page: PageSink | None = None,
) -> list[Sink]:
    """As asked for; a window if nothing was. If one cannot be opened, those before it are closed again.

    ``recordings`` are those of the node, which may have other sources. ``page`` is one that serves others too.
    """
    sinks: list[Sink] = []
    with ExitStack() as opened:
        for sink in _opened(settings, source, engine, painter, stages, recordings, page):
            opened.callback(sink.close, Totals())
            sinks.append(sink)
        opened.pop_all()
    return sinks


def _opened(
    settings: NodeSettings,
    source: Source,
    engine: Engine,
    painter: Painter,
    stages: Sequence[str],
    recordings: NodeRecordings,
    page: PageSink | None,
) -> Iterator[Sink]:
    fps = 0.0 if source.live else source.fps or PICTURES_FPS
    session = RecordingSession(
        recording_options(settings), fps=fps, lock_when=any_of(settings.lock_when, engine.spec.label_set),
        shared=recordings,
    )  # fmt: skip
    classes = _cutout_classes(settings, engine)
    for target in settings.out:
        _check_one_picture(target, settings, source)
        how = partial(
            open_sink, target, fps=fps, visualize=settings.visualize, session=session, classes=classes,
            mask_size=settings.mask_size,
        )  # fmt: skip
        yield _told(target, _lasting(settings, source, target, how))
    is_elsewhere = settings.out or settings.stats or settings.serve or settings.headless or page is not None
    if settings.show or not is_elsewhere:
        yield sink_class("window")(painter, f"drivenet {source.name}", session.lock)
    if settings.serve:
        page = _page(settings.serve, settings, source, engine, painter, stages)
        yield page
    if page is not None:
        page.shows(replay=not source.live)
        if session.options.segmented:
            page.lock_with(session.lock)
    if settings.stats:  # last: to close it is to write a summary
        how = partial(sink_class("jsonl"), settings.stats, session=session)
        yield _told(settings.stats, _lasting(settings, source, settings.stats, how))


def _lasting(settings: NodeSettings, source: Source, target: str, how: Callable[[], Sink]) -> Sink:
    """The sink, which fails alone: not with ``--strict``, and not standard output, whose reader may have enough.

    What a live source is sent to may be away at first.
    """
    if settings.strict or target == "-":
        return how()
    kind = kind_of_output(target)
    return Resilient(how, kind, mask_uri(target), away_at_first=source.live and bool(scheme_of(target)))


def _cutout_classes(settings: NodeSettings, engine: Engine) -> tuple[str, ...]:
    """What cut-outs keep; UsageError for classes that are none or that nothing asks for, or no folder to write to."""
    names = names_in(settings.classes)
    check_views(settings)
    wanted_classes(names, engine.spec.label_set)
    return names


def check_views(settings: NodeSettings) -> None:
    """UsageError for a view that no output can hold, or cut-outs of nothing."""
    if settings.visualize == "cutout" and not names_in(settings.classes):
        raise UsageError(
            "--visualize cutout alone",
            "--visualize cutout --classes NAME,... with --out FOLDER/, FILE.png, FILE.mov or FILE.webm",
        )
    if settings.visualize in PNG_VIEWS and not any(_holds(target, settings.visualize) for target in settings.out):
        videos = ", FILE.mov or FILE.webm" if settings.visualize == "cutout" else ""
        raise UsageError(f"--visualize {settings.visualize} without an output for it",
                         f"--out FOLDER/, FILE.png for one picture{videos}")  # fmt: skip


def _holds(target: str, visualize: str) -> bool:
    """Whether an output can hold a view that is no plain picture."""
    files = (".png", *(CUTOUT_SUFFIXES if visualize == "cutout" else ()))
    return is_folder(target) or Path(target).suffix.lower() in files


def recording_options(settings: NodeSettings) -> RecordingOptions:
    """How the node records; UsageError for what contradicts itself."""
    seconds, size = parse_segment(settings.segment) if settings.segment else (0.0, 0)
    if settings.lock_when and not settings.segment:
        raise UsageError("--lock-when without segments", "--segment 60s or 500MB", "what is locked is a segment")
    return RecordingOptions(
        seconds, size, parse_bytes(settings.keep) if settings.keep else 0,
        parse_bytes(settings.keep_free) if settings.keep_free else 0, settings.overwrite,
    )  # fmt: skip


def _told(named: str, sink: Sink) -> Sink:
    """The sink; says so if it writes elsewhere than was named, because something is there."""
    if "://" not in named and named != "-" and Path(sink.target) != Path(named):
        console.print(f"{named} exists and stays: recording to {sink.target} (--overwrite replaces it)")
    return sink


def show_written(written: Written) -> None:
    """Say which files a run wrote; of many segments the last ones."""
    if len(written) > _SHOWN:
        console.print(f"wrote {len(written)} files, the last of them:")
    for path in list(written)[-_SHOWN:]:
        if os.path.exists(path):
            console.print(f"wrote {path}")


def _page(
    address: str, settings: NodeSettings, source: Source, engine: Engine, painter: Painter, stages: Sequence[str],
) -> PageSink:  # fmt: skip
    from drivenet.sinks.web import WebSink

    host, port = parse_address(address)
    page = WebSink(
        host, port, token=settings.token.get_secret_value() if settings.token else None,
        allow_anonymous=settings.allow_anonymous, allowed_hosts=settings.allowed_hosts,
        painter=painter, source=source.name, engine=engine.describe(), stages=stages,
        root_path=settings.root_path, trusted_proxies=settings.trusted_proxies,
    )  # fmt: skip
    console.print(f"live page at {page.url}")
    return page


def open_page(
    settings: NodeSettings, sources: Mapping[str, str], engine: Engine, painter: Painter, stages: Sequence[str]
) -> MultiPage:
    """The page of several sources, by id with what they come from."""
    from drivenet.sinks.web.page import MultiPage

    host, port = parse_address(settings.serve or "")
    page = MultiPage(
        host, port, token=settings.token.get_secret_value() if settings.token else None,
        allow_anonymous=settings.allow_anonymous, allowed_hosts=settings.allowed_hosts,
        painter=painter, sources=sources, engine=engine.describe(), stages=stages,
        root_path=settings.root_path, trusted_proxies=settings.trusted_proxies,
    )  # fmt: skip
    console.print(f"live page at {page.url}")
    return page


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` as its parts; an IPv6 address stands in brackets. UsageError for anything else."""
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]:(\d{1,5})|([^:/\s\[\]]+):(\d{1,5})", text)
    port = int(match[2] or match[4]) if match else -1
    if not match or not 0 <= port <= 65535:
        raise UsageError(f"address {text!r}", "HOST:PORT such as 127.0.0.1:8080")
    return match[1] or match[3], port
