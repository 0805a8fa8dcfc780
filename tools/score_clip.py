#!/usr/bin/env python3
"""Score an engine on a clip by regions outlined by hand.

python tools/score_clip.py highway_540p.mp4 tests/clips/highway_540p.json --engine fast
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from drivenet.cli.output import table, write_json
from drivenet.engine import open_engine
from drivenet.errors import DrivenetError
from drivenet.evaluation.outlined_things import kept, score_things
from drivenet.evaluation.regions import read_outlines, score_regions
from drivenet.sources import open_source


@click.command()
@click.argument("clip")
@click.argument("polygons", type=click.Path(path_type=Path))
@click.option("--engine", metavar="FILE|NAME", help="[default: the default model]")
@click.option("--backend", default="auto", show_default=True)
@click.option("--things", is_flag=True, help="Score single things and their ids instead of classes.")
@click.option("--json", "json_file", metavar="FILE", help="Write the shares as JSON; - is standard output.")
def main(clip: str, polygons: Path, engine: str | None, backend: str, things: bool, json_file: str | None) -> None:
    """Print, per frame and overall, the share of the outlined regions of POLYGONS that has the right class."""
    try:
        outlines = read_outlines(polygons)
        loaded = open_engine(engine, backend)
        source = open_source(clip)
        try:
            found = (score_things if things else score_regions)(loaded, source, outlines)
        finally:
            source.close()
            loaded.close()
        if json_file != "-":
            (show_things if things else show)(found)
        write_json(json_file, found)
    except DrivenetError as error:
        raise click.ClickException(str(error)) from error


def show(found: dict[str, Any]) -> None:
    """One row a frame, and one for all."""
    names = list(found["overall"])
    rows = []
    for frame in found["frames"]:
        shares = {n: [f"{100 * r['share']:.1f}" for r in frame["regions"] if r["class"] == n] for n in names}
        rows.append([str(frame["frame"]), *(" ".join(s) for s in shares.values())])
    totals = found["overall"].values()
    rows.append(["all", *(f"{100 * t['share']:.1f}" for t in totals)])
    rows.append(["worst", *(f"{100 * t['worst']:.1f}" for t in totals)])
    rows.append(["mostly right", *(f"{t['mostly_right']} of {t['regions']}" for t in totals)])
    table("share of each outlined region that has its class, %", ["frame", *names], rows)


def show_things(found: dict[str, Any]) -> None:
    """One row a frame, and one for each marked thing."""
    rows = [[str(row["frame"]), " ".join(map(str, row["things"])), str(row["found"])] for row in found["frames"]]
    table("ids of the outlined things, 0 for none", ["frame", "ids", "found"], rows)
    tracks = [[name, " ".join(map(str, ids)), f"{kept(ids)} of {len(ids)}"] for name, ids in found["tracks"].items()]
    table(f"{found['found']} of {found['outlined']} found; marked things", ["thing", "ids", "kept"], tracks)


if __name__ == "__main__":
    main()
