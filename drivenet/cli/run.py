"""``drivenet run``: source, engine and sinks as asked for, until the end or a signal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from drivenet.cli.output import console, progress, show_totals
from drivenet.config import NodeSettings, check, load_yaml
from drivenet.engine import BACKENDS, PRECISIONS, choose, open_engine
from drivenet.engine.base import Engine
from drivenet.engine.catalog import find
from drivenet.errors import UsageError
from drivenet.overlay import VIEWS, Painter
from drivenet.pipeline import POLICIES, Pipeline
from drivenet.resources import engines_dir
from drivenet.result import Totals
from drivenet.sinks import open_sink, sink_class
from drivenet.sinks.base import Sink
from drivenet.sources import open_source
from drivenet.sources.base import Source


@click.command()
@click.argument("source", required=False)
@click.option("--engine", metavar="FILE|NAME", help="A model file, or a name from drivenet models.")
@click.option("--backend", type=click.Choice(["auto", *sorted(BACKENDS)]))
@click.option("--precision", type=click.Choice(PRECISIONS))
@click.option("--threads", type=int, help="Processor threads of the engine [default: physical cores].")
@click.option("--out", multiple=True, metavar="FILE.mp4|FILE.mkv|DIR", help="Record there; may be repeated.")
@click.option("--stats", metavar="FILE.jsonl", help="One JSON line a frame, and a summary; - is standard output.")
@click.option("--show", is_flag=True, default=None, help="A window: q quits, space pauses, tab next view, s saves.")
@click.option("--headless", is_flag=True, default=None, help="Never a window.")
@click.option("--visualize", type=click.Choice(VIEWS))
@click.option("--alpha", type=float, help="Share of the class colours in the overlay, 0 to 1 [default: 0.5].")
@click.option("--policy", type=click.Choice(POLICIES), help="[default: every for recordings, latest for live sources]")
@click.option("--rate", type=float, metavar="HZ", help="Replay a recording at fixed due times.")
@click.option("--max-frames", type=int, metavar="N", help="End after N captured frames.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE.yaml", help="Settings by these names.")
@click.option("--print-config", is_flag=True, help="Print the settings that result, and end.")
def run(config: Path | None, print_config: bool, **options: Any) -> None:
    """Segment SOURCE and publish overlays and latency statistics.

    SOURCE: 0, /dev/video0, csi://0, rtsp://..., http(s)://..., clip.mp4, folder/, "glob/*.png",
    synthetic://1280x720@30

    \b
    drivenet run 0 --show                            webcam in a window
    drivenet run drive.mp4 --out overlay.mp4         every frame of a recording
    drivenet run rtsp://cam/1 --stats s.jsonl        newest frame of a camera, figures only
    drivenet run drive.mp4 --policy latest --rate 30 as if it were live
    """
    settings = resolve(config, options)
    if print_config:
        click.echo(settings.model_dump_json(indent=1))
        return
    totals = run_node(settings)
    show_totals(totals)
    for path in [*settings.out, *([settings.stats] if settings.stats not in (None, "-") else [])]:
        console.print(f"wrote {path}")


def resolve(config: Path | None, options: dict[str, Any]) -> NodeSettings:
    """The settings of a file with the command line's on top; checked."""
    given = {k: v for k, v in options.items() if v is not None and v != ()}
    settings = load_yaml(config, NodeSettings, given) if config else check(given, NodeSettings, "options")
    if settings.source is None:
        raise UsageError("no SOURCE", "a camera number, a file, a folder or an address", "see drivenet run --help")
    if settings.show and settings.headless:
        raise UsageError("both --show and --headless", "one of them")
    return settings


def run_node(settings: NodeSettings) -> Totals:
    """Open everything, run, and close everything; a signal ends the run in good order."""
    engine = _open_engine(settings)
    try:
        source = open_source(settings.source or "", rate=settings.rate, paced=settings.policy != "every", seed=0)
    except BaseException:
        engine.close()
        raise
    try:
        painter = Painter(engine.spec.label_set, settings.visualize, settings.alpha)
        sinks = _sinks(settings, source, painter)
    except BaseException:
        source.close()
        engine.close()
        raise
    total = settings.max_frames or source.frames
    with progress() as bar:
        task = bar.add_task("frames", total=total, note="")

        def report(totals: Totals) -> None:
            fps = totals.fps["published"]
            bar.update(task, completed=totals.captured, note=f"{fps:.1f} fps, {sum(totals.dropped.values())} dropped")

        pipeline = Pipeline(
            source, engine, sinks, policy=settings.policy, painter=painter, max_frames=settings.max_frames,
            report=report,
        )  # fmt: skip
        with ended_by_signals(pipeline):
            return pipeline.run()


def _open_engine(settings: NodeSettings) -> Engine:
    file = None if settings.backend == "null" and settings.engine is None else find(settings.engine, engines_dir())
    engine = open_engine(file, settings.backend, settings.precision, settings.threads)
    if settings.backend == "auto":
        console.print(f"backend {engine.backend}: {choose('auto').why}")
    return engine


def _sinks(settings: NodeSettings, source: Source, painter: Painter) -> list[Sink]:
    """As asked for; a window if nothing was."""
    fps = 0.0 if source.live else source.fps
    sinks = [open_sink(target, fps=fps, visualize=settings.visualize) for target in settings.out]
    if settings.stats:
        sinks.append(sink_class("jsonl")(settings.stats))
    if settings.show or not (sinks or settings.headless):
        sinks.append(sink_class("window")(painter, f"drivenet {source.name}"))
    return sinks


@contextmanager
def ended_by_signals(pipeline: Pipeline) -> Iterator[None]:
    """SIGINT and SIGTERM stop the pipeline; a second one ends the process as usual."""

    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(number, old[signal.Signals(number)])
        pipeline.stop()

    old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in old:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
