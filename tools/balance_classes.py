#!/usr/bin/env python3
"""Offsets of the classes' logits, fitted to the mean IoU on val, as a checkpoint to export; see docs/training.md.

python tools/balance_classes.py runs/NAME/best.pt --size 448x256 --size 736x416 --out runs/NAME/balanced.pt
"""

from __future__ import annotations

from pathlib import Path

import click

from drivenet.cli.sizes import parse_size
from drivenet.errors import DrivenetError
from drivenet.models.checkpoint import load, save
from drivenet.training.balance import balanced


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--size", "sizes", multiple=True, required=True, metavar="WxH", help="Input that it will have.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.pt")
def main(file: Path, sizes: tuple[str, ...], out: Path) -> None:
    """Write OUT, FILE with balanced classes."""
    try:
        state = load(file)
        asked = (parse_size(size, tuple(state["settings"]["input"]), str(file)) for size in sizes)
        state, found = balanced(state, [size for size in asked if size is not None])
        save(out, state)
    except DrivenetError as error:
        raise click.ClickException(str(error)) from error
    click.echo(", ".join(f"{name} {offset:+.1f}" for name, offset in found.offsets.items()) or "no offset pays")
    first, second = (f"{100 * gain:+.2f}" for gain in found.held_out)
    click.echo(
        f"mean of the mIoU {found.before:.4f} -> {found.after:.4f}; on halves not fitted to: {first}, {second} points"
    )


if __name__ == "__main__":
    main()
