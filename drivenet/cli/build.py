"""``drivenet build``: an ONNX as a compiled artefact with its passport."""

from __future__ import annotations

from pathlib import Path

import click
from rich.status import Status

from drivenet.artefacts.catalog import files_read, find
from drivenet.build.build import BUILDERS
from drivenet.build.build import build as build_artefact
from drivenet.build.request import BuildRequest
from drivenet.cli.export import parse_size
from drivenet.cli.given import refuse
from drivenet.cli.output import check_file, console, write_json
from drivenet.engine import PRECISIONS
from drivenet.resources import engines_dir

#: Options that one backend alone heeds.
_HEEDED = {"openvino": ["floats"], "tensorrt": ["workspace", "timing_cache", "dla", "gpu_fallback", "argmax"]}

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--backend", required=True, type=click.Choice(sorted(BUILDERS)), help="What it is built for.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="auto: int8 from an int8 ONNX, else fp16 (tensorrt), or bf16 where the processor has it.",
)
@click.option("--size", metavar="HxW", help="Fail unless the ONNX has this input size.")
@click.option("--out", type=_FOLDER, metavar="DIR", help="Folder of the artefact [default: that of the ONNX].")
@click.option(
    "--calibration", type=_FOLDER, metavar="DIR", help="Pictures to compare on [default: the synthetic drive]."
)
@click.option(
    "--reference",
    type=_FILE,
    metavar="FP32.onnx",
    help="What an int8 build is compared with [default: the fp32 ONNX of the same checkpoint beside it].",
)
@click.option("--accept-parity", is_flag=True, help="Keep the artefact though it falls short of its reference.")
@click.option(
    "--floats",
    type=click.Choice(["fp32", "bf16"]),
    help="openvino: what an int8 network's float layers compute in [default: bf16 where it is native].",
)
@click.option("--workspace", type=click.IntRange(min=1), metavar="MIB", help="tensorrt: scratch memory of the build.")
@click.option("--timing-cache", type=_FILE, metavar="FILE", help="tensorrt: kernel timings, read and written.")
@click.option(
    "--dla",
    type=click.IntRange(min=0),
    metavar="CORE",
    help="tensorrt: build for this core of a Jetson's deep-learning accelerator.",
)
@click.option(
    "--gpu-fallback/--no-gpu-fallback",
    default=True,
    show_default=True,
    help="tensorrt: let the GPU take what the DLA cannot.",
)
@click.option(
    "--argmax",
    type=click.Choice(["auto", "topk", "select"]),
    default="auto",
    show_default=True,
    help="tensorrt: how the best class is found; auto builds both ways and keeps the faster.",
)
@click.option(
    "--json", "json_file", metavar="FILE", help="Write the passport and the time as JSON; - is standard output."
)
def build(model: str, size: str | None, json_file: str | None, **settings: object) -> None:  # fmt: skip
    """Compile MODEL (an ONNX, or a name of drivenet models) for this machine, and compare it with its FP32 ONNX.

    \b
    drivenet build fast --backend openvino
    drivenet build engines/fast.onnx --backend tensorrt --precision fp16 --timing-cache engines/fast.timing
    """
    for backend in _HEEDED.keys() - {settings["backend"]}:
        refuse(_HEEDED[backend], f"--backend {settings['backend']}", f"--backend {backend}")
    onnx = find(model, engines_dir())
    check_file(json_file, *files_read(onnx))
    request = BuildRequest(onnx, size=parse_size(size), **settings)  # type: ignore[arg-type]
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
