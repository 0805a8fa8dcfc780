"""``drivenet build``: an ONNX as a compiled artefact with its passport."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.status import Status

from drivenet.artefacts.catalog import files_read, find
from drivenet.backends import compiling
from drivenet.build.build import build as build_artefact
from drivenet.build.request import BuildRequest
from drivenet.cli.build_all import build_all
from drivenet.cli.build_options import own_options, take_own
from drivenet.cli.given import refuse
from drivenet.cli.output import check_file, console, write_json
from drivenet.cli.sizes import parse_size
from drivenet.engine import PRECISIONS
from drivenet.errors import UsageError

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "--backend",
    type=click.Choice(sorted(backend.name for backend in compiling())),
    help="Backend to build for.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Build everything that can serve MODEL here, time it, and keep what drivenet run takes by itself.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="auto: int8 from an int8 ONNX, else fp16 (tensorrt), or bf16 where the processor has it; fp32 if that fails "
    "the parity check.",
)
@click.option("--size", metavar="WxH", help="Fail unless the ONNX has this input size, as WIDTHxHEIGHT.")
@click.option(
    "--out",
    type=_FOLDER,
    metavar="DIR",
    help="Folder of the artefact [default: that of the ONNX; the user's for one that ships].",
)
@click.option("--calibration", type=_FOLDER, metavar="DIR", help="Images to compare on [default: the synthetic drive].")
@click.option(
    "--reference",
    type=_FILE,
    metavar="FP32.onnx",
    help="What an int8 build is compared with [default: the fp32 ONNX of the same checkpoint beside it].",
)
@click.option("--accept-parity", is_flag=True, help="Keep the artefact even if it fails the parity check.")
@own_options
@click.option(
    "--json", "json_file", metavar="FILE", help="Write the passport and the time as JSON; - is standard output."
)
def build(model: str, everything: bool, size: str | None, json_file: str | None, **settings: Any) -> None:  # fmt: skip
    """Compile MODEL (an ONNX, or a name of drivenet models) for this machine, and compare it with its FP32 ONNX.

    \b
    drivenet build fast --all
    drivenet build fast --backend openvino
    drivenet build fast --backend tensorrt --precision fp16
    drivenet build NAME.onnx --backend tensorrt --timing-cache NAME.timing
    """
    onnx = find(model)
    check_file(json_file, *files_read(onnx))
    if everything:
        refuse([*settings, "size"], "--all", "MODEL and --json alone")
        write_json(json_file, build_all(onnx, show=json_file != "-"))
        return
    if settings["backend"] is None:
        raise UsageError("no --backend", f"{' or '.join(backend.name for backend in compiling())}, or --all")
    own = take_own(str(settings["backend"]), settings)
    request = BuildRequest(onnx, size=parse_size(size), options=own, **settings)
    with console.status(f"building {request.onnx.name}") as status:
        built = build_artefact(request, lambda text: _tell(status, text))
    console.print(f"wrote {built.file} and its passport in {built.seconds:.1f} s: {built.passport.parity}")
    if "timing_cache" in built.passport.recorded:
        console.print(f"timing cache {built.passport.recorded['timing_cache']}")
    if built.passport.parity and built.passport.parity.accepted:
        console.print("it falls short of its reference and was kept because --accept-parity said so")
    write_json(json_file, built.to_dict())


def _tell(status: Status, text: str) -> None:
    """On a terminal the line changes in place; elsewhere every step is one line, the pictures' count left out."""
    if console.is_terminal:
        status.update(text)
    elif not text.startswith("compared"):
        console.print(text)
