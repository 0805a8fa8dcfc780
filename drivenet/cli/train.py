"""``drivenet train``: a run from a YAML file, resumable."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from drivenet.cli.output import console, progress
from drivenet.config import check, load_yaml
from drivenet.errors import UsageError
from drivenet.sinks.target import check_folder


@click.command()
@click.option("--config", required=True, type=click.Path(path_type=Path), metavar="FILE.yaml")
@click.option("--root", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the data set.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The run's folder [default: runs/NAME].")
@click.option("--minutes", type=float, help="Budget; wins over the file's.")
@click.option("--iterations", type=int, help="Length; wins over the file's.")
@click.option("--seed", type=int)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def train(
    config: Path, root: Path | None, out: Path | None, minutes: float | None, iterations: int | None,
    seed: int | None, device: str,
) -> None:  # fmt: skip
    """Train a network; an interrupted run resumes from its last checkpoint.

    Selects on val, never on test. Writes last.pt, best.pt and TensorBoard scalars.

    \b
    drivenet train --config configs/train/accurate.yaml --minutes 60
    torchrun --nproc-per-node 4 -m drivenet train --config FILE.yaml
    tensorboard --logdir runs
    """
    try:
        from drivenet.training.assemble import prepare_run
        from drivenet.training.ranks import Ranks
        from drivenet.training.settings import TrainSettings
        from drivenet.training.trainer import Progress
    except ModuleNotFoundError as error:
        raise UsageError(f"training needs {error.name}", cure="pip install 'drivenet[train]'") from error
    if minutes is not None and iterations is not None:
        raise UsageError("both --minutes and --iterations", "one of them")
    settings = load_yaml(config, TrainSettings, {"seed": seed})
    if minutes is not None or iterations is not None:
        length = {"minutes": minutes, "iterations": iterations}
        settings = check({**settings.model_dump(), **length}, TrainSettings, "options")
    folder = out or Path("runs") / settings.name
    check_folder(folder)
    ranks = Ranks.from_environment()
    console.quiet = not ranks.first
    console.print(f"loading data; the run is in {folder}")
    with ranks.joined(ranks.device(device)), progress() as bar:
        trainer = prepare_run(settings, root, folder, device, ranks)
        task, told = bar.add_task("training", total=1.0, note=""), trainer.progress.iteration

        def report(p: Progress) -> None:
            nonlocal told
            if p.history and p.history[-1]["iteration"] > told:
                told = p.iteration
                console.print(f"iteration {told}, {p.minutes:.1f} minutes: {_val(p.history[-1])}")
            note = f"iteration {p.iteration}, loss {p.loss:.3f}, val mIoU {max(p.best, 0):.3f}"
            bar.update(task, completed=min(1.0, trainer.share_done()), note=note)

        done = trainer.run(report)
        report(done)
    console.print(f"val mIoU {done.best:.4f} at iteration {done.best_iteration} of {done.iteration}")
    console.print(f"{done.minutes:.1f} minutes of training")
    best = folder / "best.pt"
    console.print(f"wrote {best}; next: drivenet export {shlex.quote(str(best))} --out model.onnx")


def _val(row: dict[str, float]) -> str:
    """What val said, for people."""
    return ", ".join(f"{name} {value:.4f}" for name, value in row.items() if name not in ("iteration", "minutes"))
