"""What ``drivenet bench --dataset`` does: engines on the sequences of a video set, with scores and latencies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from drivenet._version import __version__
from drivenet.artefacts.catalog import files_read
from drivenet.benchmark.floor import floor_ms, machine_limits
from drivenet.benchmark.lent import Lent
from drivenet.benchmark.outputs import Galleries, Predictions, together
from drivenet.benchmark.page import write_page
from drivenet.benchmark.store import Store
from drivenet.benchmark.sustained import sustained
from drivenet.benchmark.usage import Usage
from drivenet.benchmark.video import MODES, Plan, SequenceResult, Visit, run_set
from drivenet.benchmark.video_report import against, check_earlier, digest_of, report
from drivenet.cli.bench_video_table import show
from drivenet.cli.output import check_file, console, progress, write_json
from drivenet.data import SPLITS
from drivenet.data.predictions import FORMATS
from drivenet.data.sequences import VIDEO_SETS, open_video_set
from drivenet.data.sequences.base import FrameSequence, VideoSet
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.errors import SourceError, UsageError
from drivenet.evaluation.comparison import Comparison, compare
from drivenet.evaluation.flow import FlowSource
from drivenet.evaluation.page import PAGE
from drivenet.label_mapping import LabelMapping
from drivenet.sinks.target import check_writable

_OPTIONS = (
    click.option("--dataset", type=click.Choice(sorted(VIDEO_SETS)), help="A video set, instead of synthetic images."),
    click.option("--root", type=click.Path(path_type=Path), metavar="DIR",
                 help="Its folder; of listed, its YAML file."),
    click.option("--split", type=click.Choice(SPLITS), default="val", show_default=True),
    click.option("--mode", type=click.Choice(MODES), default="infer", show_default=True,
                 help="The engines alone, or the whole node back to back (closed) or at a --rate (open)."),
    click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="HZ",
                 help="Frames that are due per second, in mode open."),
    click.option("--flow", default="dis", show_default=True, metavar="dis|exact|DIR",
                 help="Optical flow for TC and mTC; DIR holds NAME.flo or KITTI's NAME.png, to the frame before."),
    click.option("--mapping", type=click.Path(path_type=Path), metavar="FILE.yaml",
                 help="What each label may be in the engine's classes [default: what ships]."),
    click.option("--slow-down", type=click.FloatRange(min=0), default=0.0, metavar="MS",
                 help="Add this to every inference, as on a slower machine."),
    click.option("--sustained", type=click.FloatRange(min=0, min_open=True), metavar="MIN",
                 help="Run for this many minutes; compare the first with the last."),
    click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
                 help="Keep each sequence's results; the same command resumes after a kill."),
    click.option("--predictions", type=click.Path(path_type=Path), metavar="DIR",
                 help="Write what was found in labelled frames, or in all of a sequence without labels."),
    click.option("--format", "form", type=click.Choice(sorted(FORMATS)), default="cityscapes", show_default=True,
                 help="Of --predictions."),
    click.option("--report", "folder", type=click.Path(path_type=Path), metavar="DIR", help=f"Write DIR/{PAGE}."),
    click.option("--against", "before", type=click.Path(path_type=Path), metavar="FILE.json",
                 help="Compare with what --json wrote before."),
)  # fmt: skip
#: Options of a video set alone, by the names of their parameters.
VIDEO_OPTIONS = (
    "root", "split", "mode", "rate", "flow", "mapping", "slow_down", "sustained", "before", "out", "predictions",
    "form", "folder",
)  # fmt: skip


def video_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of :func:`bench_video`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def bench_video(
    names: Sequence[str], backends: Sequence[str], threads: int | None, json_file: str | None, *,
    dataset: str, root: Path | None, split: str, mode: Any, rate: float | None, flow: str, mapping: Path | None,
    slow_down: float, sustained: float | None, before: Path | None, out: Path | None, predictions: Path | None,
    form: str, folder: Path | None,
) -> None:  # fmt: skip
    """Run, show and write.

    Raises:
        UsageError, SourceError, EngineError, SinkError: for what cannot be right or read, before anything is timed.
    """
    if out is not None and predictions is not None:
        raise UsageError("--predictions with --out", "one of them: what is kept is not predicted again")
    if mode == "open" and rate is None:
        raise UsageError("--mode open without --rate", "frames a second, 17 say")
    check_file(json_file, *(file for name in names for file in files_read(name)), mapping, before)
    if folder is not None:
        check_writable(folder / PAGE)
    earlier = _read(before) if before else None
    video = open_video_set(dataset, root, split)
    check_file(json_file, *(file for sequence in video.sequences for file in sequence.files))
    for line in video.missing:
        console.print(f"left out: {line}")
    plan = Plan(mode, rate, FlowSource.of(flow), lambda e: _mapping(video, e, mapping))
    with ExitStack() as opened:
        engines = [Lent(engine, slow_down) for engine in _open(names, backends, threads, opened)]
        if earlier is not None:
            check_earlier(video, plan, engines, earlier)
        usages = [Usage() for _ in engines]
        commons = [compare(e.spec.label_set, video.labels, plan.mapping(e)) for e in engines]
        called = names_of(engines)
        writes = Predictions(predictions, form, called, commons, video) if predictions else None
        galleries = Galleries([engine.spec.label_set for engine in engines], commons) if folder else None
        visits = together(writes.visit if writes else None, galleries.visit if galleries else None)
        kept = Store(out, _identity(engines, video, plan, root, commons), commons) if out else None
        results = _run(engines, video, plan, usages, visits, kept)
        for output in (writes, galleries):
            if output is not None:
                output.close()
        found = report(video, plan, engines, results, usages)
        _add_floor(found, engines)
        if sustained:
            _add_sustained(found, engines, video, plan, sustained)
    if earlier is not None:
        found["against"] = {"file": str(before), "rows": against(found, earlier)}
    if json_file != "-":
        show(found)
    write_json(json_file, found)
    if folder is not None and galleries is not None:
        console.print(f"wrote {write_page(folder, found, called, results, galleries.engines)}")


def _identity(engines: Sequence[Engine], video: VideoSet, plan: Plan, root: Path | None,
              commons: Sequence[Comparison]) -> dict[str, Any]:  # fmt: skip
    """What makes two runs the same one."""
    return {
        "drivenet": __version__,
        "engines": [{**engine.describe(), "sha256": digest_of(engine)} for engine in engines],
        "set": [video.name, video.split, [[one.name, one.group, _digest_of_files(one)] for one in video.sequences]],
        "root": None if root is None else str(root.resolve()),
        "classes": [_digest_of(common) for common in commons],
        "mode": [plan.mode, plan.rate], "flow": plan.flow.name,
    }  # fmt: skip


def _digest_of_files(sequence: FrameSequence) -> str:
    """SHA-256 of what a sequence is made of; size and time stand for the content of a file."""
    stamps = [[file.name, *_stamp(file)] for file in sequence.files]
    told = [sequence.names, sequence.labelled, sequence.fps, sequence.consecutive, sorted(sequence.starts), stamps]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _stamp(file: Path) -> list[int]:
    try:
        status = file.stat()
    except OSError:  # is told where it is read
        return []
    return [status.st_size, status.st_mtime_ns]


def _digest_of(common: Comparison) -> str:
    """SHA-256 of what is compared: another mapping, or other labels, have another."""
    tables = common.truth.tobytes() + common.predicted.tobytes()
    return hashlib.sha256("\n".join([common.on, *common.labels.classes]).encode() + tables).hexdigest()


def names_of(engines: Sequence[Engine]) -> list[str]:
    """Short names of engines, all distinct: of the file; with backend and precision, or a number, where needed."""
    short = [Path(engine.file).stem or engine.backend for engine in engines]
    long = [f"{name}-{e.backend}-{e.precision}" for name, e in zip(short, engines, strict=True)]
    names = [name if short.count(name) == 1 else other for name, other in zip(short, long, strict=True)]
    return [f"{name}-{i}" if names.count(name) > 1 else name for i, name in enumerate(names, 1)]


def _run(engines: Sequence[Engine], video: VideoSet, plan: Plan, usages: Sequence[Usage], visit: Visit | None,
         kept: Store | None) -> list[list[SequenceResult]]:  # fmt: skip
    with progress() as bar:
        task = bar.add_task("frames", total=video.frames, note="")
        return run_set(engines, video, plan, usages, lambda done: bar.update(task, completed=done), visit, kept)


def _add_floor(found: dict[str, Any], engines: Sequence[Engine]) -> None:
    limits = machine_limits()
    found["limits"] = limits
    for row, engine in zip(found["rows"], engines, strict=True):
        if ms := row["overall"]["latency_ms"].get("infer"):
            row["floor"] = floor_ms(engine, limits, ms["p50"])


def _add_sustained(found: dict[str, Any], engines: Sequence[Engine], video: VideoSet, plan: Plan, minutes: float
                   ) -> None:  # fmt: skip
    for row, engine in zip(found["rows"], engines, strict=True):
        row["sustained"] = sustained(engine, video.sequences[0], plan, minutes)


def _open(names: Sequence[str], backends: Sequence[str], threads: int | None, opened: ExitStack) -> list[Engine]:
    engines: list[Engine] = []
    for name in names or (None,):
        for backend in backends:
            engines.append(open_engine(name, backend, threads=threads))
            opened.callback(engines[-1].close)
    return engines


def _mapping(video: VideoSet, engine: Engine, file: Path | None) -> LabelMapping | None:
    return LabelMapping.of(video.labels, engine.spec.label_set, file) if file else None


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if {"contract", "set", "rows", "environment"} <= found.keys() and "overall" in found["rows"][0]:
            return dict(found)
    except (OSError, ValueError, AttributeError, LookupError, TypeError) as error:
        raise SourceError(f"{file} cannot be read: {error}", "what drivenet bench --dataset --json wrote") from error
    raise SourceError(f"{file} holds something else", "what drivenet bench --dataset --json wrote")
