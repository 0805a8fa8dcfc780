"""Training runs from a pack, as many as are asked for, within a number of minutes."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from drivenet.config import check
from drivenet.errors import UsageError
from drivenet.files import write_atomic
from drivenet.models import checkpoint
from drivenet.modelspec import ModelSpec
from drivenet.training.assemble import assemble
from drivenet.training.pack import Pack
from drivenet.training.ranks import ALONE
from drivenet.training.report import Lines, Row, curves, summary
from drivenet.training.settings import TrainSettings
from drivenet.training.sources import Material, load
from drivenet.training.trainer import Trainer

#: Seconds that nothing is planned for.
RESERVE = 5.0

#: Writes a checkpoint as ONNX: (best.pt, out, machine).
Export = Callable[[Path, Path, str], ModelSpec]


@dataclass(frozen=True)
class Request:
    """What to train.

    Args:
        configs: names of settings in the pack.
        seeds: each configuration is trained with each.
        minutes: of this sitting, export and all.
        schedule: minutes of all sittings together, over which the learning rate falls; this one's if None.
        iterations: of each run, instead of a schedule.
        out: a folder; each run has one of its own in it.
        resume: whether to go on with what lies there.
        device: ``cpu``, ``cuda`` or ``auto``.
        compile: whether to compile the networks.
    """

    configs: Sequence[str]
    seeds: Sequence[int]
    minutes: float
    schedule: float | None
    iterations: int | None
    out: Path
    resume: bool
    device: str
    compile: bool

    def runs(self) -> list[tuple[str, int]]:
        """Configuration and seed of each run."""
        return [(config, seed) for config in self.configs for seed in self.seeds]


class Sitting:
    """Runs one after the other, each with its share of the minutes that are left.

    Args:
        pack: pictures and settings.
        request: what to train.
        export: writes a checkpoint as ONNX.
        say: takes a line for people.
    """

    def __init__(self, pack: Pack, request: Request, export: Export, say: Callable[[str], None]) -> None:
        self.pack, self.request, self.export, self.say = pack, request, export, say
        self.end = time.monotonic() + 60 * request.minutes
        self.device = ALONE.device(request.device)
        self.machine = _machine(self.device)
        self._material: dict[str, Material] = {}

    def run(self) -> list[Row]:
        """Train; returns a row a run, which lie in ``rows.json`` too.

        Raises:
            UsageError: if a run's folder is in use, or there is not time enough for any run.
        """
        runs, rows = self.request.runs(), []
        for config, seed in runs:
            self._check(config, seed)
        self.say(f"pictures of quality {self.pack.quality} on {self.machine}")
        for i, (config, seed) in enumerate(runs):
            row = self._one(config, seed, len(runs) - i)
            if row is None:
                self.say(f"no time for {', '.join(f'{c} seed {s}' for c, s in runs[i:])}: go on with --resume")
                break
            rows.append(row)
            write_atomic(self.request.out / "rows.json", json.dumps(summary(rows), indent=1) + "\n")
        if not rows:
            raise UsageError(
                f"{self.request.minutes:g} minutes", "more than loading, drawing, scoring and export take here"
            )
        return rows

    def _folder(self, config: str, seed: int) -> Path:
        return self.request.out / f"{config}-s{seed}"

    def _check(self, config: str, seed: int) -> None:
        self.pack.settings(config)
        last = self._folder(config, seed) / "last.pt"
        if last.exists() and not self.request.resume:
            raise UsageError(f"{last} exists", "a new folder", "go on with --resume, or give another --out")

    def _one(self, config: str, seed: int, left: int) -> Row | None:
        """Train one network, or go on with it; None if there is no time."""
        folder = self._folder(config, seed)
        settings = self._settings(config, seed, 1.0)
        material = self._loaded(settings)
        trainer = assemble(settings, material, folder, self.device)
        tail = self._rehearse(trainer, config)
        until = time.monotonic() + (self.end - time.monotonic()) / left - tail
        seconds = until - time.monotonic()
        if seconds <= 0 and self.request.iterations is None:
            return None
        trainer.settings = self._settings(config, seed, self._budget(folder, left, seconds, tail))
        if trainer.share_done() >= 1:
            self.say(f"{config} seed {seed} is finished: a longer --schedule or more --iterations goes on with it")
        trainer.run(Lines(trainer, f"{config} seed {seed}", self.say), lambda: time.monotonic() > until)
        return self._record(trainer, config, seed, folder)

    def _loaded(self, settings: TrainSettings) -> Material:
        """What a run learns from; runs of the same data share it, with tunnels or without: their walls are a set."""
        key = repr((settings.labels, settings.data, settings.augment.tunnel > 0))
        if key not in self._material:
            self.say("loading and drawing")
            self._material[key] = load(settings)
        return self._material[key]

    def _budget(self, folder: Path, left: int, seconds: float, tail: float) -> float:
        """Minutes of training over which the learning rate falls."""
        if self.request.schedule is not None:
            return max(0.1, self.request.schedule / len(self.request.runs()) - tail / 60)
        last = folder / "last.pt"
        stored = checkpoint.load(last)["settings"].get("minutes") if last.exists() else None
        return float(stored) if stored else max(seconds, 1.0) / 60

    def _settings(self, config: str, seed: int, minutes: float) -> TrainSettings:
        length = {"minutes": None if self.request.iterations else minutes, "iterations": self.request.iterations}
        own = {**length, "seed": seed, "compile": self.request.compile}
        return check({**self.pack.settings(config), **own}, TrainSettings, config)

    def _rehearse(self, trainer: Trainer, config: str) -> float:
        """Do once what follows the last iteration; returns the seconds to keep for it."""
        began = time.monotonic()
        trainer.validation(trainer.ema.average)
        with tempfile.TemporaryDirectory() as scratch:
            checkpoint.save(Path(scratch) / "best.pt", trainer.state(trainer.ema.average.state_dict()))
            self.export(Path(scratch) / "best.pt", Path(scratch) / f"{config}.onnx", self.machine)
        took = time.monotonic() - began
        self.say(f"{config}: validation and export work, {took:.1f} s")
        return 1.2 * took + RESERVE

    def _record(self, trainer: Trainer, config: str, seed: int, folder: Path) -> Row:
        onnx, done = folder / f"{config}-s{seed}.onnx", trainer.progress
        spec = self.export(folder / "best.pt", onnx, self.machine)
        share = min(1.0, trainer.share_done())
        row = {
            "config": config, "seed": seed, "val_miou": round(done.best, 4), "best_iteration": done.best_iteration,
            "iterations": done.iteration, "minutes": round(done.minutes, 2), "share_done": round(share, 4),
            "batch": trainer.settings.batch, "input": list(spec.input), "params": spec.params, "gmac": spec.gmac,
            "onnx": f"{folder.name}/{onnx.name}", "machine": self.machine, "torch": torch.__version__,
            "python": sys.version.split()[0], "jpeg_quality": self.pack.quality,
        }  # fmt: skip
        write_atomic(folder / "row.json", json.dumps(row, indent=1) + "\n")
        write_atomic(folder / "curves.csv", curves(done))
        self.say(f"{config} seed {seed}: val mIoU {done.best:.4f} after {done.iteration} iterations, {onnx}")
        return row


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"CPU, {torch.get_num_threads()} threads"
