"""``drivenet import --from onnx``: its options, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from drivenet.cli.output import console
from drivenet.errors import UsageError

_OPTIONS = (
    click.option("--preset", metavar="NAME",
                 help="onnx: what a publisher's exports have in common: smp, torchvision, mmseg, paddleseg, "
                      "ultralytics-semantic, huggingface-segformer, nvidia-tao. The options below win over it."),
    click.option("--labels", metavar="NAME|FILE.yaml", help="onnx: the classes of its ids, in their order."),
    click.option("--layout", type=click.Choice(["nchw", "nhwc"]), help="onnx: axes of its input [default: nchw]."),
    click.option("--colour", type=click.Choice(["rgb", "bgr"]), help="onnx: channels of its input [default: rgb]."),
    click.option("--scale", metavar="NUMBER", help="onnx: factor of the pixel values, applied first [default: 1/255]."),
    click.option("--mean", metavar="A,B,C", help="onnx: subtracted from the scaled channels [default: 0]."),
    click.option("--std", metavar="A,B,C", help="onnx: then divides the channels [default: 1]."),
    click.option("--fit", type=click.Choice(["stretch", "letterbox"]),
                 help="onnx: how an image gets the input's size; letterbox keeps its proportions [default: stretch]."),
    click.option("--pad", type=click.IntRange(0, 255), help="onnx: grey of the bars of a letterbox [default: 114]."),
    click.option("--output", "outputs", multiple=True, metavar="NAME|logits|ids|sigmoid",
                 help="onnx: which output holds the classes, or what it holds; may be repeated [default: from its type "
                      "and shape]."),
    click.option("--threshold", type=float, help="onnx: a single channel above it is class 1 [default: 0.5 behind a "
                                                 "sigmoid, else 0]."),
    click.option("--samples", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
                 help="onnx: images to compare with the original on [default: the synthetic drive]."),
)  # fmt: skip


def ONNX_OPTIONS(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of ``--from onnx``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def import_foreign(
    model: Path, out: Path, size: tuple[int, int] | None, tail: Any, preset: str | None, labels: str | None,
    samples: Path | None, outputs: Sequence[str], mean: str | None, std: str | None, scale: str | None, **given: Any,
) -> None:  # fmt: skip
    """Import and say what came of it.

    Raises:
        UsageError: without the extra, without labels, or for what :func:`~drivenet.convert.onnx_model.import_onnx`
            refuses.
    """
    try:
        from drivenet.convert import declaration
        from drivenet.convert.onnx_model import import_onnx
    except ModuleNotFoundError as error:
        raise UsageError(f"import --from onnx needs {error.name}", cure="pip install 'drivenet[import]'") from error
    kinds = [name for name in outputs if name in declaration.KINDS]
    names = tuple(name for name in outputs if name not in declaration.KINDS)
    made = import_onnx(
        model, out, labels, preset=preset, size=size, tail=tail, samples=samples, scale=declaration.factor(scale),
        mean=declaration.three(mean, "--mean"), std=declaration.three(std, "--std"), kind=kinds[-1] if kinds else None,
        outputs=names or None, **given,
    )  # fmt: skip
    height, width = made.spec.input
    console.print(f"wrote {out} and its JSON: input {width}x{height}, {made.spec.params / 1e6:.2f} M parameters")
    console.print(f"{made.agreement}; classes seen: {', '.join(made.agreement.classes)}")
