"""``drivenet run``: source, engine and sinks as asked for, until the end or a signal."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import SecretStr

from drivenet.cli.budget import as_one, budget_of, open_engines
from drivenet.cli.early import check_options
from drivenet.cli.heartbeat import heart_of, tell_restarts
from drivenet.cli.logs import logged
from drivenet.cli.opening import begin_alone, open_source_of
from drivenet.cli.output import progress, show_each, show_fps, show_totals
from drivenet.cli.outputs import check_outputs, open_sinks, recording_options, show_written
from drivenet.cli.signals import ended_by_signals
from drivenet.cli.sources import check_sources, named, run_sources, settings_of, sources_of
from drivenet.cli.stages import open_painter, open_stages
from drivenet.config import NodeSettings, check, load_yaml
from drivenet.engine import BACKENDS, PRECISIONS
from drivenet.errors import UsageError
from drivenet.log import FORMATS, LEVELS, hide
from drivenet.overlay import HUDS, PNG_VIEWS, VIEWS
from drivenet.palettes import PALETTES
from drivenet.pipeline import POLICIES, Pipeline
from drivenet.result import Totals
from drivenet.secrets import fill_in, read_secrets
from drivenet.sinks.recording.shared import NodeRecordings
from drivenet.sources import KINDS, kind_of
from drivenet.stages import stage_names

F = TypeVar("F", bound=Callable[..., Any])


def _setting(flag: str, name: str = "", **how: Any) -> Callable[[F], F]:
    """An option for a setting of a node, with its description as help."""
    name = name or flag.removeprefix("--").replace("-", "_")
    return click.option(flag, name, help=NodeSettings.model_fields[name].description, **how)


def _once(_: click.Context, option: click.Parameter, values: tuple[str, ...]) -> str | None:
    """The value of an option that takes one, though ``--out`` beside it takes many; UsageError for more."""
    if len(values) > 1:
        raise UsageError(f"{option.opts[0]} {' and '.join(values)}", "one of them")
    return values[0] if values else None


@click.command(context_settings={"allow_extra_args": True})
@click.argument("source", required=False)
@_setting("--engine", metavar="FILE|NAME")
@_setting("--backend", type=click.Choice(["auto", *sorted(BACKENDS)]))
@_setting("--precision", type=click.Choice(PRECISIONS))
@_setting("--threads", type=int)
@_setting("--lanes", type=int)
@_setting("--rebuild", is_flag=True, default=None)
@_setting(
    "--background-build/--no-background-build", "background_build", envvar="DRIVENET_BACKGROUND_BUILD", default=None
)
@_setting("--out", multiple=True, metavar="FILE|DIR|ADDRESS")
@_setting("--stats", multiple=True, callback=_once, metavar="FILE.jsonl")
@_setting("--segment", metavar="60s|500MB")
@_setting("--keep", metavar="20GB")
@_setting("--keep-free", metavar="2GB")
@_setting("--lock-when", multiple=True, metavar="NAME>FRACTION")
@_setting("--overwrite", is_flag=True, default=None)
@_setting("--strict", is_flag=True, default=None)
@_setting("--show", is_flag=True, default=None)
@_setting("--headless", is_flag=True, default=None)
@_setting("--serve", metavar="HOST:PORT")
@_setting("--token", envvar="DRIVENET_TOKEN")
@_setting("--secrets", metavar="FILE")
@_setting("--allow-anonymous", is_flag=True, default=None)
@_setting("--allowed-host", "allowed_hosts", multiple=True, metavar="NAME")
@_setting("--root-path", metavar="PATH")
@_setting("--trusted-proxy", "trusted_proxies", multiple=True, metavar="ADDRESS")
@_setting("--visualize", type=click.Choice([*VIEWS, *PNG_VIEWS]))
@_setting("--hud", type=click.Choice(HUDS))
@_setting("--palette", type=click.Choice(PALETTES))
@_setting("--mask-size", type=click.Choice(["engine", "source"]))
@_setting("--classes", multiple=True, metavar="NAME,...")
@_setting("--zones", metavar="FILE.yaml")
@_setting("--alpha", type=float)
@_setting("--trail", is_flag=True, default=None)
@_setting("--policy", type=click.Choice(POLICIES))
@_setting("--rate", type=float, metavar="HZ")
@_setting("--wait", is_flag=True, default=None)
@_setting("--loop", is_flag=True, default=None)
@_setting("--budget-ms", type=float, metavar="MS")
@_setting("--budget-engine", metavar="FILE|NAME")
@_setting("--damaged", type=click.Choice(["stop", "skip"]))
@_setting("--blur", multiple=True, metavar="NAMES")
@click.option("--blur-check", is_flag=True, help="Measure how much --blur leaves clear in synthetic drives, and exit.")
@_setting("--stage", multiple=True, metavar="FILE.py:CLASS")
@_setting("--smooth", is_flag=True, default=None)
@_setting("--max-frames", type=int, metavar="N")
@_setting("--log-level", type=click.Choice(LEVELS))
@_setting("--log-format", type=click.Choice(FORMATS))
@click.option("--supervise", is_flag=True, expose_value=False, help="Start the node again when it crashes or hangs.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE.yaml",
    help="Read settings from a YAML file; keys are these option names.",
)
@click.option("--print-config", is_flag=True, help="Print the effective settings (secrets masked) and exit.")
@click.pass_context
def run(ctx: click.Context, /, config: Path | None, print_config: bool, blur_check: bool, **options: Any) -> None:
    """Segment SOURCE, or several of them on one engine, and publish overlays and latency statistics.

    SOURCE: {examples}

    \b
    drivenet run 0 --show                            webcam in a window
    drivenet run drive.mp4 --out overlay.mp4         every frame of a recording
    drivenet run rtsp://cam/1 --stats s.jsonl        figures of the newest frames
    drivenet run 0 --serve 127.0.0.1:8080            live page in a browser
    drivenet run drive.mp4 --policy latest --rate 30 as if it were live
    drivenet run 0 1 --out "{source}.mkv"            two cameras, a file for each
    """
    if blur_check:
        options["source"] = options["source"] or "synthetic://960x540@30"
    settings = resolve(config, options, tuple(ctx.args))
    if blur_check:
        from drivenet.cli.blur_check import check_blur

        with logged(settings.log_level, settings.log_format):
            check_blur(settings)
        return
    if print_config:
        # ASCII: pydantic's own JSON has no place for file names that are no UTF-8
        click.echo(json.dumps(settings.masked().model_dump(mode="json"), indent=1))
        return
    with logged(settings.log_level, settings.log_format):
        settings = named(with_secrets(settings))
        sources = sources_of(settings)
        check_outputs(settings, config) if not sources else check_sources(settings, sources, config)
        check_options(settings, [settings_of(settings, *one) for one in sources.items()] or [settings])
        if settings.token:
            hide(settings.token.get_secret_value())
        recordings = NodeRecordings.of(recording_options(settings))
        if sources:
            show_each(run_sources(settings, sources, recordings))
        else:
            show_totals(run_node(settings, recordings))
        show_written(recordings.written)


run.help = str(run.help).replace("{examples}", ", ".join(kind.examples for kind in KINDS.values()))


def resolve(config: Path | None, options: dict[str, Any], more: tuple[str, ...] = ()) -> NodeSettings:
    """The settings of a file with the command line's on top, checked; ``more`` are sources after the first."""
    given = {k: v for k, v in options.items() if v is not None and v != ()}
    for flag, opposite in (("show", "headless"), ("headless", "show")):
        if given.get(flag):
            given.setdefault(opposite, False)  # the command line wins over the file
    if more:
        given["sources"] = (given.pop("source"), *more)
    elif "source" in given:
        given["sources"] = ()
    settings = check(given, NodeSettings, "options")  # what is wrong in them is not the file's fault
    if config:
        settings = load_yaml(config, NodeSettings, given)
    if more:
        settings = settings.model_copy(update={"source": None})
    if settings.source is not None and settings.sources:
        raise UsageError("both source and sources", "one of them")
    if settings.source is None and not settings.sources:
        raise UsageError("no SOURCE", "a camera number, a file, a folder or an address", "see drivenet run --help")
    if settings.show and settings.headless:
        raise UsageError("both --show and --headless", "one of them")
    of_page = settings.allow_anonymous or settings.allowed_hosts or settings.root_path or settings.trusted_proxies
    if not settings.serve and of_page:  # a token may stand ready
        raise UsageError("--allow-anonymous and --allowed-host without a page", "--serve HOST:PORT")
    return settings


def with_secrets(settings: NodeSettings) -> NodeSettings:
    """The settings with every ``${NAME}`` filled in, and no log that shows what was."""
    known = read_secrets(Path(settings.secrets)) if settings.secrets else {}

    def filled(value: object) -> object:
        if isinstance(value, str):
            return fill_in(value, known, hide)
        if isinstance(value, SecretStr):
            return SecretStr(fill_in(value.get_secret_value(), known, hide))
        if isinstance(value, dict):
            return {name: filled(one) for name, one in value.items()}
        return tuple(map(filled, value)) if isinstance(value, tuple) else value

    return settings.model_copy(update={name: filled(value) for name, value in settings})


def run_node(settings: NodeSettings, recordings: NodeRecordings) -> Totals:
    """Open everything, run, and close everything; a signal ends the run in good order.

    ``recordings`` are given the files that were written.
    """
    with ExitStack() as opened:
        early = not KINDS[kind_of(settings.source or "")].device
        source = open_source_of(settings, opened) if early else None
        engines = open_engines(settings, opened)
        engine = as_one(engines)
        source = source or open_source_of(settings, opened)
        painter = open_painter(settings, engine.spec.label_set)
        stages = open_stages(settings, engine, track=source.continuous)
        for stage in stages:
            opened.callback(stage.close)
        sinks = open_sinks(settings, source, engine, painter, stage_names(stages), recordings)
        for sink in sinks:
            opened.callback(sink.close, Totals())
        pipeline = Pipeline(
            source, engine, sinks, policy=settings.policy, painter=painter, max_frames=settings.max_frames,
            stages=stages, budget=budget_of(settings, len(engines)),
        )  # fmt: skip
        opened.pop_all()  # from here on they are the pipeline's
    begin_alone()
    with progress() as bar:
        task = bar.add_task("frames", total=settings.max_frames or source.frames, note="")

        def report(totals: Totals) -> None:
            note = f"{show_fps(totals.live['fps']['published'])} fps, {sum(totals.dropped.values())} dropped"
            bar.update(task, completed=totals.captured, note=note)

        pipeline.report = report
        tell_restarts(pipeline)
        with ended_by_signals(pipeline), heart_of([pipeline]):
            return pipeline.run()
