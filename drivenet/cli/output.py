"""What commands write: one-line errors, tables for people, JSON for programs."""

from __future__ import annotations

import json
import logging
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from drivenet.files import write_atomic
from drivenet.latency import END_TO_END
from drivenet.log import JsonFormatter, PlainFormatter, mask_text
from drivenet.result import Totals
from drivenet.sinks.target import cannot_write, check_apart, check_stdout, check_writable


class _Beside(Console):
    """Where people are told things beside the work, which goes on if nobody listens any more."""

    def print(self, *args: Any, **how: Any) -> None:
        """As a console does, until something cannot be written: a full disk, a terminal that is gone."""
        try:
            super().print(*(mask_text(arg) if isinstance(arg, str) else arg for arg in args), **how)
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Be silent from now on, where a console would end the process."""
        self.quiet = True
        abandon(sys.stderr)


_ON_TERMINAL = sys.stderr is not None and sys.stderr.isatty()
#: For people, beside what was asked for. Paths hold brackets and may be long: no mark-up, no wrap.
console = _Beside(
    stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True, width=None if _ON_TERMINAL else 160
)
#: For people who asked for just this: standard output, unless JSON goes there. A table is never cut to the terminal.
report = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=1000)


#: How the log's lines look; :func:`drivenet.cli.logs.logged` sets it.
log_formatter: logging.Formatter = PlainFormatter()


def err(message: str) -> None:
    """One line on standard error: text, or JSON where the log is JSON."""
    if isinstance(log_formatter, JsonFormatter):
        line(log_formatter.format(logging.LogRecord("drivenet", logging.ERROR, "", 0, message, None, None)))
    else:
        line(f"drivenet: {message}")


def line(text: str) -> None:
    """A line on standard error, without secrets; the work goes on if nobody takes it."""
    if sys.stderr is None:  # print would take standard output in its place
        return
    try:
        print(mask_text(text), file=sys.stderr, flush=True)
    except OSError:  # the exit code tells all the same
        abandon(sys.stderr)


def abandon(stream: TextIO) -> None:
    """Keep the interpreter from failing with what waits in a standard stream when it flushes that at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def check_file(target: str | None, *read: str | Path | None) -> None:
    """Fail before the work if :func:`write_text` would fail after it; SinkError as there.

    UsageError if it would write over a file that the command reads.
    """
    if target == "-":
        check_stdout()
    elif target is not None:
        check_apart(target, read)
        check_writable(Path(target))


def write_json(target: str | None, content: Mapping[str, Any]) -> None:
    """Write figures as :func:`write_text` does; None is nowhere."""
    if target is not None:
        # a terminal may know no more than ASCII, and names of files may be no UTF-8
        text = json.dumps(content, indent=1, ensure_ascii=target == "-", allow_nan=False) + "\n"
        write_text(target, text.encode(errors="backslashreplace").decode())


def write_text(target: str, text: str) -> None:
    """Write to a file, whole or not at all; ``-`` is standard output.

    Raises:
        SinkError: if nothing can be written there.
    """
    path = Path(target)
    try:
        if target == "-":
            check_stdout()
            sys.stdout.write(text)
            sys.stdout.flush()
        elif path.exists() and not path.is_file():  # a device or a pipe: nothing that a rename could replace
            path.write_text(text, encoding="utf-8")
        else:
            write_atomic(path, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def note(text: str) -> None:
    """A text below a table, wrapped between words at the width of the terminal; a longer word stays whole."""
    for part in textwrap.wrap(text, console.width, break_long_words=False, break_on_hyphens=False):
        report.print(part)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], to: Console = report) -> None:
    """A table; the first column is text, the others are numbers."""
    out = Table(title=title, title_justify="left", box=None)
    for i, column in enumerate(columns):
        out.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows:
        out.add_row(*row)
    to.print(out)


def progress() -> Progress:
    """A bar with count, rate and time left; silent where standard error is no terminal."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not _ON_TERMINAL,
        redirect_stdout=False,  # it would send what belongs to standard output to the console
    )  # fmt: skip


def show_fps(rate: float | None) -> str:
    """A frame rate; ``-`` where there is none yet."""
    return "-" if rate is None else f"{rate:.1f}"


def show_totals(totals: Totals) -> None:
    """The latency table of a run, and its counts and rates below; a line of the log where that is JSON."""
    if isinstance(log_formatter, JsonFormatter):
        fields = {"code": "run.ended", "source_id": totals.source_id, "totals": totals.to_dict()}
        logging.getLogger("drivenet.cli").info("the run has ended", extra=fields)
        return
    rows = []
    summary = totals.latency.summary()
    for name in sorted(summary, key=END_TO_END.__eq__):  # the whole last
        figures = summary[name]
        if figures["n"]:
            p99 = f"{figures['p99']:.2f}" if "p99" in figures else "-"
            rows.append([name.replace("_", " "), *(f"{figures[k]:.2f}" for k in ("p50", "p90")), p99,
                         f"{figures['max']:.2f}", str(figures["n"])])  # fmt: skip
    engine = totals.engine
    height, width = engine["input"]
    table(
        f"latency in ms, monotonic clock; {engine['backend']} {engine['precision']}, input {width}x{height}",
        ["stage", "p50", "p90", "p99", "max", "n"], rows, to=console,
    )  # fmt: skip
    if "before" in engine:
        console.print("the first {frames} frames went through {backend} {precision}".format(**engine["before"]))
    console.print("end to end: from capture (or due time) to the last sink; nothing left out as warm-up")
    drops = ", ".join(f"{n} {reason}" for reason, n in totals.dropped.items()) or "none"
    rates = ", ".join(f"{kind} {show_fps(rate)}" for kind, rate in totals.fps.items())
    console.print(f"captured {totals.captured}, published {totals.published}, dropped: {drops}")
    for name, counts in totals.sinks.items():
        if lost := ", ".join(f"{n} {what}" for what, n in counts.items() if n and what != "published"):
            console.print(f"{name}: {counts['published']} of {sum(counts.values())} frames, {lost}")
    console.print(f"FPS of the whole run: {rates}")
    show_health(totals)


def show_each(totals: Mapping[str, Totals]) -> None:
    """The totals of several sources."""
    for name, one in totals.items():
        console.print(f"source {name}:")
        show_totals(one)


def show_health(totals: Totals) -> None:
    """What was not well in a run, if anything was."""
    health = totals.health
    if health and health["reconnects"]:
        console.print(f"source: lost and found again {health['reconnects']} times")
    if health and health["last_error"]:
        console.print(f"source, last error: {health['last_error']}")
    if health and health["lost_frames"]:
        console.print(f"source: {health['lost_frames']} damaged frames left out")
    if health and health["missing_s"]:
        console.print(f"source: {health['missing_s']:.1f} s of it are missing")
    events = {code: n for code, n in totals.events.items() if not code.endswith((".ok", ".starting"))}
    if events:
        console.print("events: " + ", ".join(f"{n} {code}" for code, n in events.items()))
    if health and health["state"] not in ("ok", "starting"):
        console.print(f"health at the end: {health['state']}, {health['reason']}")
