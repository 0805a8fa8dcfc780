#!/usr/bin/env python3
"""The weighted mean of checkpoints that began alike, as a checkpoint to export; see docs/training.md.

python tools/average_checkpoints.py runs/A/best.pt runs/B/best.pt --shares 0.4,0.6 --out runs/mean.pt
"""

from __future__ import annotations

from pathlib import Path

import click

from drivenet.errors import DrivenetError
from drivenet.models.checkpoint import average, save


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--shares", metavar="0.4,0.6", help="Of each file, in any scale [default: equal ones].")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.pt")
def main(files: tuple[Path, ...], shares: str | None, out: Path) -> None:
    """Write OUT, the mean of FILES."""
    try:
        save(out, average(files, [float(part) for part in shares.split(",")] if shares else None))
    except (DrivenetError, ValueError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
