"""``drivenet export``: a checkpoint as a deployable ONNX, or a float ONNX as int8."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from drivenet.cli.output import console
from drivenet.errors import UsageError

if TYPE_CHECKING:
    from drivenet.modelspec import ModelSpec, Tail


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="CHECKPOINT|FILE.onnx")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.onnx")
@click.option("--size", metavar="HxW", help="Input size, multiples of 32 [default: the run's].")
@click.option("--tail", type=click.Choice(["full", "half", "eighth"]), default="half", show_default=True,
              help="Size at which the argmax happens; see docs/export.md.")  # fmt: skip
@click.option("--precision", type=click.Choice(["fp32", "int8"]), default="fp32", show_default=True)
@click.option("--calibration", type=click.Path(path_type=Path), metavar="DIR",
              help="Pictures of the road that int8 is calibrated on.")  # fmt: skip
@click.option("--machine", default="", help="What it was trained on, for the record.")
def export(source: Path, out: Path, size: str | None, tail: str, precision: str, calibration: Path | None,
           machine: str) -> None:  # fmt: skip
    """Write CHECKPOINT (best.pt of a run) as ONNX: uint8 BGR picture in, uint8 class ids out.

    \b
    drivenet export runs/NAME/best.pt --out engines/NAME.onnx
    drivenet export engines/NAME.onnx --out NAME-int8.onnx --precision int8 --calibration CamVid/train
    """
    try:
        from drivenet.export.int8 import quantise
        from drivenet.export.onnx import export_checkpoint
        from drivenet.export.parity import folder_pictures
    except ModuleNotFoundError as error:
        raise UsageError(f"export needs {error.name}", cure="pip install 'drivenet[train]'") from error
    shape, where = parse_size(size), cast("Tail", tail)
    if precision == "fp32":
        _say(out, export_checkpoint(source, out, shape, where, machine))
        return
    if calibration is None:
        raise UsageError("int8 without pictures", "pictures to calibrate on", "give --calibration DIR")
    pictures = folder_pictures(calibration)
    with tempfile.TemporaryDirectory() as folder:
        if source.suffix != ".onnx":
            float_file = Path(folder) / out.name
            export_checkpoint(source, float_file, shape, where, machine)
            source = float_file
        _say(out, quantise(source, out, pictures))


def _say(out: Path, spec: ModelSpec) -> None:
    height, width = spec.input
    figures = f"input {width}x{height}, {spec.params / 1e6:.2f} M parameters, {spec.gmac} GMAC, {spec.precision}"
    console.print(f"wrote {out} and its JSON: {figures}")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``HxW`` as (height, width); None for None."""
    if text is None:
        return None
    height, by, width = text.partition("x")
    if not (by and height.isdigit() and width.isdigit()):
        raise UsageError(f"size {text!r}", "HxW such as 288x512")
    return int(height), int(width)
