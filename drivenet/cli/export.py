"""``drivenet export``: a checkpoint as a deployable ONNX, or an ONNX as int8, with confidence or with single things."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from drivenet.artefacts.catalog import find
from drivenet.cli.given import refuse
from drivenet.cli.output import console
from drivenet.cli.sizes import parse_size
from drivenet.errors import UsageError
from drivenet.sinks.target import check_apart

if TYPE_CHECKING:
    from drivenet.modelspec import ModelSpec, Tail
    from drivenet.prepare import Size


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="CHECKPOINT|FILE.onnx|NAME")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.onnx")
@click.option("--size", metavar="WxH", help="Input size as WIDTHxHEIGHT, multiples of 32 [default: the run's].")
@click.option("--tail", type=click.Choice(["full", "half", "eighth"]), default="half", show_default=True,
              help="Size at which the argmax happens; see docs/export.md.")  # fmt: skip
@click.option("--precision", type=click.Choice(["fp32", "int8"]), default="fp32", show_default=True)
@click.option("--calibration", type=click.Path(path_type=Path), metavar="DIR",
              help="Road images for int8 calibration.")  # fmt: skip
@click.option("--confidence", is_flag=True, help="Add a second output: the confidence of every pixel.")
@click.option("--things", type=click.Path(path_type=Path), metavar="HEAD.pt",
              help="Add outputs that separate things: a head that was trained on this model.")  # fmt: skip
@click.option("--machine", default="", help="Machine it was trained on, for the record.")
def export(source: Path, out: Path, size: str | None, tail: str, precision: str, calibration: Path | None,
           confidence: bool, things: Path | None, machine: str) -> None:  # fmt: skip
    """Write CHECKPOINT (best.pt of a run) as ONNX: uint8 BGR image in, uint8 class ids out.

    \b
    drivenet export runs/NAME/best.pt --out engines/NAME.onnx
    drivenet export NAME --out NAME-int8.onnx --precision int8 --calibration DIR
    drivenet export NAME --out NAME-sure.onnx --confidence
    drivenet export engines/NAME.onnx --out NAME-things.onnx --things head.pt
    """
    try:
        from drivenet.data.pictures import folder_pictures
        from drivenet.export.confidence import add_confidence
        from drivenet.export.int8_search import quantise_agreeing
        from drivenet.export.stored import check_target

        if things is not None:
            from drivenet.export.things import add_things
        if source.suffix != ".onnx":
            from drivenet.export.onnx import export_checkpoint
    except ModuleNotFoundError as error:
        extra = "import" if error.name == "onnx" else "train"
        raise UsageError(f"export needs {error.name}", cure=f"pip install 'drivenet[{extra}]'") from error
    if source.suffix not in (".onnx", ".pt") and not source.is_file():
        source = find(str(source))
    check_apart(out, [source])
    check_target(out)
    if source.suffix == ".onnx":
        refuse(["size", "tail", "machine"], str(source), "a checkpoint; an ONNX keeps its own")
    if precision != "int8":
        refuse(["calibration"], f"--precision {precision}", "--precision int8")
    shape, where = _size_of(source, size), cast("Tail", tail)
    steps: list[Step] = [add_confidence] if confidence else []
    if things is not None:
        if confidence:
            raise UsageError("--things with --confidence", "one of them")
        steps.append(lambda source, out: add_things(source, things, out))
    if precision == "int8":
        if calibration is None:
            raise UsageError("int8 without pictures", "pictures to calibrate on", "give --calibration DIR")
        pictures = folder_pictures(calibration)
        steps.append(lambda source, out: quantise_agreeing(source, out, pictures, console.print))
    if source.suffix != ".onnx":
        steps.insert(0, lambda source, out: export_checkpoint(source, out, shape, where, machine))
    if not steps:
        raise UsageError(f"export of {source} as it is", "a checkpoint, or what to make of an ONNX",
                         "give --confidence, --things or --precision int8")  # fmt: skip
    _say(out, _in_turn(steps, source, out))


def _size_of(source: Path, size: str | None) -> Size | None:
    """(height, width) that is asked for; UsageError for one that does not lie as the run's."""
    if size is None:
        return None
    from drivenet.models.checkpoint import load

    height, width = load(source)["settings"]["input"]
    return parse_size(size, (height, width), str(source))


#: Makes an ONNX, its second argument, out of the file that is its first.
Step = Callable[[Path, Path], "ModelSpec"]


def _in_turn(steps: list[Step], source: Path, out: Path) -> ModelSpec:
    """Each step on what the one before wrote; only the last one writes to ``out``."""
    *before, last = steps
    with tempfile.TemporaryDirectory() as folder:
        for i, step in enumerate(before):
            between = Path(folder) / str(i) / out.name
            step(source, between)
            source = between
        return last(source, out)


def _say(out: Path, spec: ModelSpec) -> None:
    height, width = spec.input
    figures = f"input {width}x{height}, {spec.params / 1e6:.2f} M parameters, {spec.gmac} GMAC, {spec.precision}"
    console.print(f"wrote {out} and its JSON: {figures}")
