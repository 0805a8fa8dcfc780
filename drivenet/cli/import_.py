"""``drivenet import``: an ONNX of another program, a published checkpoint, or an engine of ours as a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from drivenet.cli.given import refuse
from drivenet.cli.import_onnx import ONNX_OPTIONS, import_foreign
from drivenet.cli.output import console
from drivenet.cli.sizes import parse_size
from drivenet.config import load_yaml
from drivenet.errors import UsageError, nearest
from drivenet.sinks.target import check_apart

_CHECKPOINT_OPTIONS = ("config", "calibration")


@click.command("import")
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL")
@click.option("--from", "publisher", required=True, metavar="PUBLISHER",
              help="onnx for the ONNX of any other program; coincheung-bisenetv1, coincheung-bisenetv2, "
                   "torchvision-deeplabv3_mobilenet_v3_large, torchvision-lraspp_mobilenet_v3_large for their "
                   "checkpoints; drivenet for an fp32 ONNX of its own.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="FILE.onnx or FILE.pt.")
@click.option(
    "--size", metavar="WxH", help="Input size as WIDTHxHEIGHT [default: the ONNX's own; 1024x512 for a checkpoint]."
)
@click.option("--tail", type=click.Choice(["full", "half", "eighth"]), default=None,
              help="Size at which scores become ids [default: full for an ONNX, half for a checkpoint].")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE.yaml",
              help="From drivenet: training settings, if the ONNX does not record its network's options.")  # fmt: skip
@click.option("--calibration", type=click.Path(path_type=Path), metavar="DIR",
              help="From drivenet: images to measure batch norms on [default: the synthetic drive].")  # fmt: skip
@ONNX_OPTIONS
def import_(model: Path, publisher: str, out: Path, size: str | None, tail: str | None, config: Path | None,
            calibration: Path | None, **foreign: Any) -> None:  # fmt: skip
    """Import MODEL, so that every drivenet command takes it.

    An ONNX of another program needs its preprocessing and labels declared, by options or a preset. Both are built into
    the new file, which is compared with the original on sample images before it is written.

    \b
    drivenet import a.onnx --from onnx --preset smp --labels camvid --out b.onnx
    drivenet import a.onnx --from onnx --labels mine.yaml --scale 1 --out b.onnx
    drivenet import a.pth --from coincheung-bisenetv2 --out cityscapes.onnx
    drivenet import fast.onnx --from drivenet --out fast.pt --calibration DIR
    """
    check_apart(out, [model])
    if publisher == "onnx":
        refuse(_CHECKPOINT_OPTIONS, "--from onnx", "--from drivenet")
        import_foreign(model, out, parse_size(size), tail, **foreign)
        return
    refuse(list(foreign), f"--from {publisher}", "--from onnx")
    _import_checkpoint(model, publisher, out, size, tail, config, calibration)
    console.print(f"wrote {out}")


def _import_checkpoint(model: Path, publisher: str, out: Path, size: str | None, tail: str | None,
                       config: Path | None, calibration: Path | None) -> None:  # fmt: skip
    """What needs PyTorch."""
    try:
        from drivenet.convert.checkpoint import INPUT, write_import
        from drivenet.convert.publishers import PUBLISHERS
        from drivenet.convert.restore import restore_checkpoint
        from drivenet.training.settings import TrainSettings
    except ModuleNotFoundError as error:
        raise UsageError(f"import needs {error.name}", cure="pip install 'drivenet[train]'") from error
    if publisher == "drivenet":
        refuse(
            ["size", "tail"], "--from drivenet", "another publisher; a checkpoint of an ONNX has its size and no tail"
        )
        options = None if config is None else load_yaml(config, TrainSettings).model.options
        restore_checkpoint(model, out, options, calibration)
        return
    if publisher not in PUBLISHERS:
        raise UsageError(f"no publisher {publisher!r}", cure=nearest(publisher, [*PUBLISHERS, "drivenet", "onnx"]))
    refuse(_CHECKPOINT_OPTIONS, f"--from {publisher}", "--from drivenet")
    if out.suffix == ".pt":
        refuse(["tail"], str(out), "FILE.onnx; drivenet export gives a checkpoint its tail")
    write_import(model, publisher, out, parse_size(size, INPUT, publisher) or INPUT, tail or "half")  # type: ignore[arg-type]
