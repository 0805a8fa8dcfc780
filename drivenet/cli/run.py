"""``drivenet run``: source, engine and sinks as asked for, until the end or a signal."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from drivenet.cli.output import console, progress, show_totals
from drivenet.cli.outputs import check_outputs, open_sinks
from drivenet.cli.signals import ended_by_signals
from drivenet.config import NodeSettings, check, load_yaml
from drivenet.engine import BACKENDS, PRECISIONS, choose, open_engine
from drivenet.engine.base import Engine
from drivenet.engine.catalog import engine_file
from drivenet.errors import UsageError
from drivenet.overlay import VIEWS, Painter
from drivenet.pipeline import POLICIES, Pipeline
from drivenet.result import Totals
from drivenet.sources import kind_of, open_source
from drivenet.sources.base import Source

#: Kinds of sources that are opened only when all else is well: a camera is one program's at a time.
_DEVICES = ("camera", "csi")


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
@click.option("--serve", metavar="HOST:PORT", help="A live page there (extra [web]).")
@click.option("--token", envvar="DRIVENET_TOKEN", help="What viewers of the page must show [env: DRIVENET_TOKEN].")
@click.option("--allow-anonymous", is_flag=True, default=None, help="Let others see the page without a token.")
@click.option("--allowed-host", "allowed_hosts", multiple=True, metavar="NAME", help="Another name of the page's host.")
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
    drivenet run 0 --serve 127.0.0.1:8080            live page in a browser
    drivenet run drive.mp4 --policy latest --rate 30 as if it were live
    """
    settings = resolve(config, options)
    if print_config:
        click.echo(settings.model_dump_json(indent=1))
        return
    check_outputs(settings)
    totals = run_node(settings)
    show_totals(totals)
    for path in (*settings.out, settings.stats or "-"):
        if path != "-" and Path(path).exists():
            console.print(f"wrote {path}")


def resolve(config: Path | None, options: dict[str, Any]) -> NodeSettings:
    """The settings of a file with the command line's on top; checked."""
    given = {k: v for k, v in options.items() if v is not None and v != ()}
    for flag, opposite in (("show", "headless"), ("headless", "show")):
        if given.get(flag):
            given.setdefault(opposite, False)  # the command line wins over the file
    settings = load_yaml(config, NodeSettings, given) if config else check(given, NodeSettings, "options")
    if settings.source is None:
        raise UsageError("no SOURCE", "a camera number, a file, a folder or an address", "see drivenet run --help")
    if settings.show and settings.headless:
        raise UsageError("both --show and --headless", "one of them")
    if not settings.serve and (settings.allow_anonymous or settings.allowed_hosts):  # a token may stand ready
        raise UsageError("settings of a page without one", "--serve HOST:PORT")
    return settings


def run_node(settings: NodeSettings) -> Totals:
    """Open everything, run, and close everything; a signal ends the run in good order."""
    with ExitStack() as opened:
        early = kind_of(settings.source or "") not in _DEVICES
        source = _open_source(settings, opened) if early else None
        engine = _open_engine(settings, opened)
        source = source or _open_source(settings, opened)
        chosen = choose(settings.backend, _file(settings), settings.precision)
        painter = Painter(engine.spec.label_set, settings.visualize, settings.alpha)
        sinks = open_sinks(settings, source, engine, painter)
        opened.pop_all()  # from here on they are the pipeline's
    if settings.backend == "auto":
        console.print(f"backend {engine.backend}: {chosen.why}")
    with progress() as bar:
        task = bar.add_task("frames", total=settings.max_frames or source.frames, note="")

        def report(totals: Totals) -> None:
            fps = totals.fps["published"]
            bar.update(task, completed=totals.captured, note=f"{fps:.1f} fps, {sum(totals.dropped.values())} dropped")

        pipeline = Pipeline(
            source, engine, sinks, policy=settings.policy, painter=painter, max_frames=settings.max_frames,
            report=report,
        )  # fmt: skip
        with ended_by_signals(pipeline):
            return pipeline.run()


def _open_source(settings: NodeSettings, opened: ExitStack) -> Source:
    source = open_source(settings.source or "", rate=settings.rate, paced=settings.policy != "every", seed=0)
    opened.callback(source.close)
    return source


def _open_engine(settings: NodeSettings, opened: ExitStack) -> Engine:
    engine = open_engine(_file(settings), settings.backend, settings.precision, settings.threads)
    opened.callback(engine.close)
    return engine


def _file(settings: NodeSettings) -> Path | None:
    return engine_file(settings.engine, settings.backend)
