"""``drivenet import``: a published checkpoint onto a network of the zoo."""

from __future__ import annotations

from pathlib import Path

import click

from drivenet.cli.export import parse_size
from drivenet.cli.output import console
from drivenet.errors import UsageError


@click.command("import")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--from", "publisher", required=True, metavar="PUBLISHER",
              help="coincheung-bisenetv1, coincheung-bisenetv2, torchvision-deeplabv3_mobilenet_v3_large or "
                   "torchvision-lraspp_mobilenet_v3_large.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="FILE.onnx or FILE.pt.")
@click.option("--size", metavar="HxW", help="Input size, multiples of 32 [default: 512x1024].")
@click.option("--tail", type=click.Choice(["full", "half", "eighth"]), default="half", show_default=True,
              help="Size at which the argmax happens.")  # fmt: skip
def import_(checkpoint: Path, publisher: str, out: Path, size: str | None, tail: str) -> None:
    """Write CHECKPOINT, as its publisher offers it, with that publisher's means, deviations and labels.

    \b
    drivenet import model_final_v2_city.pth --from coincheung-bisenetv2 --out cityscapes.onnx
    """
    try:
        from drivenet.export.imported import INPUT, write_import
    except ModuleNotFoundError as error:
        raise UsageError(f"import needs {error.name}", cure="pip install 'drivenet[train]'") from error
    write_import(checkpoint, publisher, out, parse_size(size) or INPUT, tail)  # type: ignore[arg-type]
    console.print(f"wrote {out}")
