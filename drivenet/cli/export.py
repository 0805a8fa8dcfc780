"""``drivenet export``: a checkpoint as a deployable ONNX."""

from __future__ import annotations

from pathlib import Path

import click

from drivenet.cli.output import console
from drivenet.errors import UsageError


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.onnx")
@click.option("--size", metavar="HxW", help="Input size, multiples of 32 [default: the run's].")
@click.option("--tail", type=click.Choice(["full", "half", "eighth"]), default="half", show_default=True,
              help="Size at which the argmax happens; see docs/export.md.")  # fmt: skip
@click.option("--machine", default="", help="What it was trained on, for the record.")
def export(checkpoint: Path, out: Path, size: str | None, tail: str, machine: str) -> None:
    """Write CHECKPOINT (best.pt of a run) as ONNX: uint8 BGR picture in, uint8 class ids out.

    \b
    drivenet export runs/NAME/best.pt --out engines/NAME.onnx
    """
    try:
        from drivenet.export.onnx import export_checkpoint
    except ModuleNotFoundError as error:
        raise UsageError(f"export needs {error.name}", cure="pip install 'drivenet[train]'") from error
    spec = export_checkpoint(checkpoint, out, parse_size(size), tail, machine)  # type: ignore[arg-type]
    height, width = spec.input
    console.print(
        f"wrote {out} and its JSON: input {width}x{height}, {spec.params / 1e6:.2f} M params, {spec.gmac} GMAC"
    )


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``HxW`` as (height, width); None for None."""
    if text is None:
        return None
    height, by, width = text.partition("x")
    if not (by and height.isdigit() and width.isdigit()):
        raise UsageError(f"size {text!r}", "HxW such as 288x512")
    return int(height), int(width)
