"""``drivenet import``: a published checkpoint, or an engine of ours, onto a network of the zoo."""

from __future__ import annotations

from pathlib import Path

import click

from drivenet.cli.export import parse_size
from drivenet.cli.given import refuse
from drivenet.cli.output import console
from drivenet.config import load_yaml
from drivenet.errors import UsageError, nearest
from drivenet.sinks.target import check_apart
from drivenet.training.settings import TrainSettings


@click.command("import")
@click.argument("checkpoint", type=click.Path(path_type=Path), metavar="CHECKPOINT|FILE.onnx")
@click.option("--from", "publisher", required=True, metavar="PUBLISHER",
              help="coincheung-bisenetv1, coincheung-bisenetv2, torchvision-deeplabv3_mobilenet_v3_large, "
                   "torchvision-lraspp_mobilenet_v3_large, or drivenet for an fp32 ONNX of its own.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="FILE.onnx or FILE.pt.")
@click.option("--size", metavar="HxW", help="Input size, multiples of 32 [default: 512x1024].")
@click.option("--tail", type=click.Choice(["full", "half", "eighth"]), default="half", show_default=True,
              help="Size at which the argmax happens.")  # fmt: skip
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE.yaml",
    help="From drivenet: the training settings of an ONNX that does not tell its network's options.",
)
@click.option("--calibration", type=click.Path(path_type=Path), metavar="DIR",
              help="From drivenet: pictures to measure batch norms on [default: the synthetic drive].")  # fmt: skip
def import_(checkpoint: Path, publisher: str, out: Path, size: str | None, tail: str, config: Path | None,
            calibration: Path | None) -> None:  # fmt: skip
    """Write CHECKPOINT, as its publisher offers it, with that publisher's means, deviations and labels.

    From drivenet it goes the other way: an fp32 ONNX becomes a checkpoint, FILE.pt, to start a training run from.

    \b
    drivenet import model_final_v2_city.pth --from coincheung-bisenetv2 --out cityscapes.onnx
    drivenet import engines/fast.onnx --from drivenet --out runs/restored/fast.pt --calibration CamVid/train
    """
    try:
        from drivenet.convert.checkpoint import INPUT, write_import
        from drivenet.convert.publishers import PUBLISHERS
        from drivenet.convert.restore import restore_checkpoint
    except ModuleNotFoundError as error:
        raise UsageError(f"import needs {error.name}", cure="pip install 'drivenet[train]'") from error
    check_apart(out, [checkpoint])
    if publisher == "drivenet":
        refuse(
            ["size", "tail"], "--from drivenet", "another publisher; a checkpoint of an ONNX has its size and no tail"
        )
        options = None if config is None else load_yaml(config, TrainSettings).model.options
        restore_checkpoint(checkpoint, out, options, calibration)
        console.print(f"wrote {out}")
        return
    if publisher not in PUBLISHERS:
        raise UsageError(f"no publisher {publisher!r}", cure=nearest(publisher, [*PUBLISHERS, "drivenet"]))
    refuse(["config", "calibration"], f"--from {publisher}", "--from drivenet")
    if out.suffix == ".pt":
        refuse(["tail"], str(out), "FILE.onnx; drivenet export gives a checkpoint its tail")
    write_import(checkpoint, publisher, out, parse_size(size) or INPUT, tail)  # type: ignore[arg-type]
    console.print(f"wrote {out}")
