#!/usr/bin/env python3
"""Train a head for single things on the frozen features of a deployed model.

    python tools/train_things.py engines/accurate.onnx --synthetic 240 --out head.pt
    python tools/train_things.py engines/accurate.onnx --root DATASETS --minutes 15 --out head.pt
    drivenet export engines/accurate.onnx --out engines/accurate-things.onnx --things head.pt

Crops cost a quarter if the same checkpoint is exported smaller for training:

    drivenet export best.pt --out small.onnx --size 320x192
    python tools/train_things.py small.onnx --view 640x352 --root DATASETS --minutes 15 --out head.pt

DATASETS holds folders of images and labels with 8-bit instances of equal stems: see ``drivenet.data.instances``.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.progress import Progress

from drivenet.cli.sizes import parse_size
from drivenet.data.base import Sample
from drivenet.data.instances import instance_samples
from drivenet.data.synthetic import SyntheticDataset
from drivenet.labels import CITYSCAPES
from drivenet.models.trunk import Trunk
from drivenet.training.things import train_head


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--synthetic", type=click.IntRange(min=1), default=240, show_default=True, help="Drawn frames.")
@click.option("--root", type=click.Path(path_type=Path, exists=True), help="Data sets with instances.")
@click.option("--iterations", type=click.IntRange(min=1), default=1200, show_default=True)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Train for so long instead.")
@click.option("--view", metavar="WxH", help="Size of whole images, if MODEL is exported smaller.")
@click.option("--start", type=click.Path(path_type=Path, exists=True), help="A head to begin with.")
@click.option("--threads", type=click.IntRange(min=1), help="[default: one a physical core]")
@click.option("--lr", default=2e-3, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    model: Path, out: Path, synthetic: int, root: Path | None, iterations: int, minutes: float | None, batch: int,
    seed: int, view: str | None, start: Path | None, lr: float,
    threads: int | None,
) -> None:  # fmt: skip
    """Train on MODEL, an ONNX."""
    drawn = SyntheticDataset("train", drives=max(1, synthetic // 4), width=640, height=360, labels=CITYSCAPES)
    samples: list[Sample] = [drawn[i] for i in range(min(synthetic, len(drawn)))]
    real = list(instance_samples(root)) if root else []
    found = samples * max(1, len(real) // (2 * len(samples))) + real  # a third is drawn, whose ids are exact
    trunk = Trunk(model, threads)
    whole = parse_size(view, trunk.spec.input, str(model))
    with Progress() as bar:
        task = bar.add_task("loss", total=iterations)
        progress = train_head(
            trunk, found, out, iterations=iterations, minutes=minutes, batch=batch, lr=lr, seed=seed, view=whole,
            start=start,
            report=lambda i, loss: bar.update(task, completed=i, description=f"loss {loss:.3f}"),
        )  # fmt: skip
    print(progress)


if __name__ == "__main__":
    main()
