"""``drivenet doctor``: what this machine has, and what mends the rest."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from drivenet.artefacts.catalog import find
from drivenet.cli.output import check_file, console, note, report, write_json
from drivenet.doctor import examine
from drivenet.engine import choose
from drivenet.engine.choice import Choice
from drivenet.engine.fastest import known_answer
from drivenet.errors import EngineError

_COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}


@click.command()
@click.option("--json", "json_file", metavar="FILE", help="Write the rows as JSON; - is standard output.")
@click.pass_context
def doctor(context: click.Context, json_file: str | None) -> None:
    """Check every part that drivenet can use.

    Exits with 1 if an installed component is broken. Missing components are optional.

    \b
    drivenet doctor
    drivenet doctor --json -
    """
    check_file(json_file)
    rows, chosen = examine(), _auto()
    if json_file != "-":
        table = Table(box=None, title="doctor", title_justify="left")
        for column in ("part", "state", "found", "cure"):
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(row.part, Text(row.state, _COLOURS[row.state]), row.found, row.cure)
        report.print(table, width=console.width)
        note(f"--backend auto takes {chosen.backend}: {chosen.why}")
    auto = {"backend": chosen.backend, "why": chosen.why}
    write_json(json_file, {"rows": [row.to_dict() for row in rows], "auto": auto})
    if any(row.state == "broken" for row in rows):
        context.exit(1)


def _auto() -> Choice:
    """What ``auto`` takes for the default model; for the machine alone where no model can be found."""
    try:
        file = find(None)
        measured = known_answer(file)
        if measured is not None:
            return Choice(measured[0].backend, f"in {measured[0].precision} it is {measured[1]}")
        return choose(file=file)
    except EngineError:  # which has a row
        return choose()
