"""The training loop: resumable, selected on val, never on test."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from drivenet.classmap import Ids
from drivenet.errors import UsageError
from drivenet.labels import LabelSet
from drivenet.metrics import ConfusionMatrix
from drivenet.models import checkpoint as checkpoints
from drivenet.models import create
from drivenet.models.deployed import Deployed, normalise
from drivenet.modelspec import write_atomic
from drivenet.prepare import prepare, resize_ids
from drivenet.training.ema import Ema
from drivenet.training.loss import SegmentationLoss, distillation_loss
from drivenet.training.samples import Batches, Pictures
from drivenet.training.settings import OptimiserSettings, TrainSettings


@dataclass
class Progress:
    """How far a run is; what the progress bar and TensorBoard show.

    Args:
        iteration: finished iterations.
        minutes: of training, over all sittings.
        loss: of the last iteration.
        best: val mIoU of the best average so far, and the iteration it was at.
    """

    iteration: int = 0
    minutes: float = 0.0
    loss: float = float("nan")
    best: float = -1.0
    best_iteration: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """One run in one folder: ``last.pt`` to go on from, ``best.pt`` to export, TensorBoard's event files.

    Args:
        settings: the run.
        batches: what to learn from.
        val: what to select on.
        labels: what the ids mean.
        weights: (C,) class weights of the loss.
        folder: where the run is kept; goes on from ``last.pt`` if there is one.

    Raises:
        UsageError: if ``last.pt`` is of another network or data set.
    """

    def __init__(
        self, settings: TrainSettings, batches: Batches, val: Pictures, labels: LabelSet,
        weights: torch.Tensor, folder: Path, device: str = "cpu",
    ) -> None:  # fmt: skip
        self.settings, self.batches, self.val, self.labels = settings, batches, val, labels
        self.folder, self.device = folder, torch.device(device)
        torch.manual_seed(settings.seed)
        network = self._create()
        if settings.model.start is not None:
            start_from(network, Path(settings.model.start))
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.teacher = _teacher(settings, labels, self.device)
        self.ema = Ema(self.network, self._create().to(self.device), settings.ema)
        loss = settings.loss
        self.loss = SegmentationLoss(weights, loss.dice, loss.auxiliary, loss.ohem).to(self.device)
        self.optimiser = _optimiser(self.network, settings)
        self.progress = Progress()
        self._resume()

    def _create(self) -> nn.Module:
        return create(self.settings.model.architecture, len(self.labels), self.settings.model.options)

    def run(self, report: Callable[[Progress], None] = lambda _: None) -> Progress:
        """Train to the end of the budget; returns the final progress. Ctrl-C leaves a good ``last.pt``.

        Raises:
            UsageError: if the loss is no longer finite.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        first = self.progress.iteration + 1  # what a killed run logged after its last checkpoint comes again
        with (
            SummaryWriter(str(self.folder), purge_step=first) as board,
            contextlib.closing(self._batches()) as batches,
        ):
            clock = time.monotonic()
            while self.share_done() < 1:
                images, ids = next(batches)
                self._step(images, ids)
                now = time.monotonic()
                self.progress.minutes += (now - clock) / 60
                clock = now
                self._after(board)
                report(self.progress)
            if not self.progress.history or self.progress.history[-1]["iteration"] < self.progress.iteration:
                self._validate(board)
            self._save()
        return self.progress

    def share_done(self) -> float:
        """0 at the start of the budget, 1 at its end."""
        if self.settings.iterations is not None:
            return self.progress.iteration / self.settings.iterations
        return self.progress.minutes / (self.settings.minutes or 1.0)

    def _batches(self) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        return self.batches.start(self.progress.iteration)

    def _step(self, images: torch.Tensor, ids: torch.Tensor) -> None:
        options, i = self.settings.optimiser, self.progress.iteration
        torch.manual_seed(hash((self.settings.seed, i)) % 2**31)  # dropout: the same after a resume
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(options, i, self.share_done())
        self.network.train()
        x = normalise(images.to(self.device)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.network(x)
        loss = self.loss(logits, ids.to(self.device))
        if self.teacher is not None and self.settings.distil is not None:
            loss = loss + self.settings.distil.weight * self._imitation(x, logits[0])
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), options.clip)
        self.optimiser.step()
        self.progress.iteration += 1
        self.progress.loss = float(loss.detach())
        if not math.isfinite(self.progress.loss):
            raise UsageError(f"loss {self.progress.loss} at iteration {i}", "a finite loss", "lower optimiser.lr")
        self.ema.update(self.network, self.progress.iteration)

    def _imitation(self, x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """How far the logits are from the teacher's."""
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16):
            wanted = self.teacher(x)  # type: ignore[misc]
        return distillation_loss(logits, wanted, self.settings.distil.temperature)  # type: ignore[union-attr]

    def _after(self, board: SummaryWriter) -> None:
        i = self.progress.iteration
        if i % 10 == 0 or i == self.settings.iterations:
            board.add_scalar("loss", self.progress.loss, i)
            board.add_scalar("lr", self.optimiser.param_groups[0]["lr"], i)
        if i % self.settings.validate_every == 0:
            self._validate(board)
        if i % self.settings.checkpoint_every == 0:
            self._save()

    def _validate(self, board: SummaryWriter) -> None:
        matrix = validate(self.ema.average, self.val, self.labels, self.settings.input, self.device)
        miou, i = matrix.miou(), self.progress.iteration
        board.add_scalar("val/miou", miou, i)
        self.progress.history.append({"iteration": i, "minutes": self.progress.minutes, "val_miou": miou})
        if miou > self.progress.best:
            self.progress.best, self.progress.best_iteration = miou, i
            checkpoints.save(self.folder / "best.pt", self._state(self.ema.average.state_dict(), matrix))

    def _state(self, network: dict[str, Any], matrix: ConfusionMatrix | None = None) -> dict[str, Any]:
        return {
            "network": network,
            "settings": self.settings.model_dump(mode="json"),
            "labels": self.labels.name,
            "progress": dict(vars(self.progress)),
            "iou": matrix.iou() if matrix else {},
        }

    def _save(self) -> None:
        more = {"ema": self.ema.average.state_dict(), "optimiser": self.optimiser.state_dict()}
        checkpoints.save(self.folder / "last.pt", {**self._state(self.network.state_dict()), **more})
        write_atomic(self.folder / "history.json", json.dumps(self.progress.history))

    def _resume(self) -> None:
        last = self.folder / "last.pt"
        if not last.exists():
            return
        state = checkpoints.load(last)
        theirs, mine = state["settings"].get("model"), self.settings.model.model_dump(mode="json")
        if "optimiser" not in state or (theirs, state.get("labels")) != (mine, self.labels.name):
            raise UsageError(
                f"{last} is of {theirs} on {state.get('labels')}", f"{mine} on {self.labels.name}",
                "choose another folder, or remove the old run",
            )  # fmt: skip
        self.network.load_state_dict(state["network"])
        self.ema.average.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress = Progress(**state["progress"])


def start_from(network: nn.Module, checkpoint: Path) -> list[str]:
    """Take over a checkpoint's tensors of equal name and shape; returns the names of those that stay as they were.

    Raises:
        UsageError: if nothing fits.
    """
    theirs, mine = checkpoints.load(checkpoint)["network"], network.state_dict()
    fitting = {n: t for n, t in theirs.items() if n in mine and t.shape == mine[n].shape}
    if not fitting:
        raise UsageError(f"{checkpoint} shares no weights with this network", "a checkpoint of a similar network")
    network.load_state_dict(fitting, strict=False)
    return sorted(mine.keys() - fitting.keys())


def _teacher(settings: TrainSettings, labels: LabelSet, device: torch.device) -> nn.Module | None:
    """The network to imitate, frozen."""
    if settings.distil is None:
        return None
    state = checkpoints.load(Path(settings.distil.teacher))
    if state["labels"] != labels.name:
        raise UsageError(f"teacher {settings.distil.teacher} of labels {state['labels']}", labels.name)
    model = state["settings"]["model"]
    network = create(model["architecture"], len(labels), model["options"])
    network.load_state_dict(state["network"])
    return network.eval().requires_grad_(False).to(device)


def learning_rate(options: OptimiserSettings, iteration: int, done: float) -> float:
    """Linear warm-up, then (1 - share of the budget that is done) ** power."""
    warm = min(1.0, (iteration + 1) / max(1, options.warmup))
    return float(options.lr * warm * (1 - min(done, 0.999)) ** options.power)


def _optimiser(network: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Weight decay on convolutions only, not on norms and biases."""
    options = settings.optimiser
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if options.name == "sgd":
        return torch.optim.SGD(groups, options.lr, momentum=options.momentum)
    return torch.optim.AdamW(groups, options.lr)


@torch.no_grad()
def validate(
    network: nn.Module, samples: Pictures, labels: LabelSet, size: tuple[int, int], device: torch.device
) -> ConfusionMatrix:
    """Score a network as it will be deployed: same resize, same tail, ids resized to the truth."""
    deployed = Deployed(network, "half").to(device).eval()
    matrix = ConfusionMatrix.empty(labels)
    for sample in samples:
        frame = torch.from_numpy(prepare(sample.image, size))[None].to(device)
        with torch.autocast(device.type, torch.bfloat16):
            found: Ids = deployed(frame)[0].cpu().numpy()
        matrix.add(sample.ids, resize_ids(found, (sample.ids.shape[0], sample.ids.shape[1])))
    return matrix
