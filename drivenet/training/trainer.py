"""The training loop: resumable, selected on val, never on test."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from drivenet.errors import UsageError
from drivenet.files import write_atomic
from drivenet.models import checkpoint as checkpoints
from drivenet.models import create
from drivenet.models.deployed import normalise
from drivenet.modelspec import LabelsSpec
from drivenet.sinks.recording.disk import sole_writer
from drivenet.sinks.target import cannot_write
from drivenet.training.autocast import autocast
from drivenet.training.board import Board, NoBoard, open_board
from drivenet.training.depthwise_cpu import quick_depthwise
from drivenet.training.ema import Ema
from drivenet.training.instances import batch_loss
from drivenet.training.loss import SegmentationLoss, distillation_loss
from drivenet.training.networks import freeze, normalisation_of, start_from, start_imagenet, teacher_of
from drivenet.training.optimiser import learning_rate, load_optimiser, optimiser_of
from drivenet.training.ranks import ALONE, Ranks
from drivenet.training.resume import CURE, check_run
from drivenet.training.samples import BatchSource
from drivenet.training.selection import Score, Selection
from drivenet.training.settings import TrainSettings
from drivenet.training.sources import Material

#: Iterations from one point of the loss curve to the next.
CURVE_EVERY = 10
#: Iterations that a GPU is given before the host waits for what came of them.
AHEAD_ON_GPU = 10


@dataclass
class Progress:
    """How far a run is; what the progress bar and TensorBoard show.

    Args:
        iteration: finished iterations.
        minutes: of training, over all sittings.
        loss: of the last iteration, or a few before it on a GPU; the mean over the processes.
        best: val mIoU of the best average so far, and the iteration it was at.
        history: what val said, and when.
        curve: iteration and loss, every :data:`CURVE_EVERY` iterations.
    """

    iteration: int = 0
    minutes: float = 0.0
    loss: float = float("nan")
    best: float = -1.0
    best_iteration: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    curve: list[tuple[int, float]] = field(default_factory=list)


class Trainer:
    """One run in one folder: ``last.pt`` to go on from, ``best.pt`` to export, TensorBoard's event files.

    Args:
        settings: the run.
        batches: what to learn from.
        material: what to select on, and what the labels mean.
        weights: (C,) class weights of the loss.
        folder: where the run is kept; goes on from ``last.pt`` if there is one.
        device: where to train.
        ranks: which process of the run this is. All have equal weights at all times; the first one writes.

    Raises:
        UsageError: if ``last.pt`` is of another network or optimiser, or was selected on other pictures.
    """

    def __init__(
        self, settings: TrainSettings, batches: BatchSource, material: Material, weights: torch.Tensor,
        folder: Path, device: torch.device, ranks: Ranks = ALONE,
    ) -> None:  # fmt: skip
        self.settings, self.batches, self.labels = settings, batches, material.labels
        self.folder, self.device, self.ranks = folder, device, ranks
        torch.manual_seed(settings.seed)
        last = folder / "last.pt"
        before = checkpoints.load(last) if last.exists() else None
        self.normalisation = normalisation_of(settings, before)
        self.network = self._network()
        self.frozen = freeze(self.network, settings.model.freeze)
        if not settings.compile:
            quick_depthwise(self.network)
        self.teacher = teacher_of(settings.distil, self.labels, self.network, self.device, self.normalisation)
        self.lineage = checkpoints.lineage(settings.model_dump(mode="json"))
        self.ema = Ema(self.network, self._on_device(self._create()), settings.ema)
        loss = settings.loss
        members = torch.from_numpy(material.codes.members)
        self.loss = SegmentationLoss(weights, loss.dice, loss.auxiliary, loss.ohem, members, loss.lovasz)
        self.loss.to(self.device)
        self.optimiser = optimiser_of(self.network, settings.optimiser, self.device)
        self.validation = Selection(material.vals, settings.input, self.device, self.normalisation)
        self.progress = Progress()
        self._clock = time.monotonic()
        if before is not None:
            self._resume(before, last)
        self._forward = self._parallel()

    def _create(self) -> nn.Module:
        return create(self.settings.model.architecture, len(self.labels), self.settings.model.options)

    def _on_device(self, network: nn.Module) -> nn.Module:
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _network(self) -> nn.Module:
        network = self._create()
        if self.settings.model.start == "imagenet":
            start_imagenet(network)
        elif self.settings.model.start is not None:
            start_from(network, Path(self.settings.model.start))
        if self.settings.sync_batch_norm:
            if self.device.type != "cuda":
                raise UsageError(f"sync_batch_norm on {self.device.type}", "CUDA", "set it to false")
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return self._on_device(network)

    def _parallel(self) -> nn.Module:
        """The network as the loop calls it: compiled if wanted, its gradients averaged over the processes."""
        network = self.network
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # all batches are of one shape
        if self.ranks.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            network = DistributedDataParallel(network, device_ids=ids)
        if self.settings.compile:
            network.compile()
        return network

    def run(
        self, report: Callable[[Progress], None] = lambda _: None, stop: Callable[[], bool] = lambda: False
    ) -> Progress:  # fmt: skip
        """Train to the end of the budget; returns the final progress. Ctrl-C leaves a good ``last.pt``.

        Args:
            report: called after every iteration.
            stop: asked now and then: whether to leave the rest of the budget for another sitting.

        Raises:
            UsageError: if the loss is no longer finite.
            SinkError: if a checkpoint cannot be written, as on a full disk; the one before stays. If another program
                trains in the folder.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        first = self.progress.iteration + 1  # what a killed run logged after its last checkpoint comes again
        with contextlib.ExitStack() as stack:
            if self.ranks.first:
                stack.enter_context(sole_writer(self.folder))
            board: Board = stack.enter_context(open_board(self.folder, first)) if self.ranks.first else NoBoard()
            batches = stack.enter_context(contextlib.closing(self.batches.start(self.progress.iteration)))
            self._clock = time.monotonic()
            stopped = False
            while self.share_done() < 1 and not stopped:
                loss = self._step(*next(batches))
                if self._looks():
                    stopped = self._agree(loss, stop)
                self._after(board)
                report(self.progress)
            history = self.progress.history
            if not history or history[-1]["iteration"] < self.progress.iteration or self.progress.best < 0:
                self._validate(board)
            self._save()
        return self.progress

    def share_done(self) -> float:
        """0 at the start of the budget, 1 at its end."""
        if self.settings.iterations is not None:
            return self.progress.iteration / self.settings.iterations
        return self.progress.minutes / (self.settings.minutes or 1.0)

    def _step(self, images: torch.Tensor, ids: torch.Tensor, *instances: torch.Tensor) -> torch.Tensor:
        """One iteration; returns its loss, still on the device."""
        options, i = self.settings.optimiser, self.progress.iteration
        # Dropout: the same after a resume, another in each process.
        torch.manual_seed(hash((self.settings.seed, i)) % 2**31 + self.ranks.rank)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(options, i, self.share_done()) * group["factor"]
        self.network.train()
        for part in self.frozen:
            part.eval()
        x = normalise(images.to(self.device), *self.normalisation).contiguous(memory_format=torch.channels_last)
        try:
            with autocast(self.device):
                logits = self._forward(x)
                maps = [logits.pop() for _ in instances]
        except ValueError as error:
            if len(x) > 1:
                raise
            raise UsageError("batch 1 for a network that norms over the batch", "2 or more samples") from error
        loss: torch.Tensor = self.loss(logits, ids.to(self.device))
        for found, numbers in zip(maps, instances, strict=True):  # one of each where things are learnt, else none
            loss = loss + self.settings.loss.things * batch_loss(found, numbers)
        if self.teacher is not None and self.settings.distil is not None:
            loss = loss + self.settings.distil.weight * self._imitation(x, logits[0])
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), options.clip)
        self.optimiser.step()
        self.progress.iteration += 1
        self.ema.update(self.network, self.progress.iteration)
        return loss.detach()

    def _imitation(self, x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """How far the logits are from the teacher's."""
        with torch.no_grad(), autocast(self.device):
            wanted = self.teacher(x)  # type: ignore[misc]
        return distillation_loss(logits, wanted, self.settings.distil.temperature)  # type: ignore[union-attr]

    def _looks(self) -> bool:
        """Whether to wait for this iteration's loss, after which something may be written or decided."""
        i, s = self.progress.iteration, self.settings
        every = (AHEAD_ON_GPU, s.validate_every, s.checkpoint_every)
        return self.device.type != "cuda" or i == s.iterations or any(i % n == 0 for n in every)

    def _agree(self, loss: torch.Tensor, stop: Callable[[], bool]) -> bool:
        """Tell all processes the mean loss, the first one's clock and its wish to stop, which is returned.

        Between two calls the clock stands still: the learning rate has to be the same everywhere.
        """
        now = time.monotonic()
        minutes, self._clock = (now - self._clock) / 60, now
        mine = [minutes, float(stop())] if self.ranks.first else [0.0, 0.0]
        said = torch.cat([loss.double()[None] / self.ranks.world, torch.tensor(mine).double().to(self.device)])
        self.progress.loss, minutes, wish = self.ranks.sum(said).tolist()
        self.progress.minutes += minutes
        if not math.isfinite(self.progress.loss):
            told = f"loss {self.progress.loss} at iteration {self.progress.iteration - 1}"
            raise UsageError(told, "a finite loss", self._slower())
        return bool(wish)

    def _slower(self) -> str:
        """What helps a run that diverged: the same folder may lead there again, whatever the rate."""
        last = self.folder / "last.pt"
        again = f"; if it comes again, choose another folder, since {last} has diverged" if last.exists() else ""
        return f"lower optimiser.lr{again}"

    def _need_finite(self) -> None:
        """UsageError for weights that are no numbers: a run would never leave them."""
        if not all(bool(v.isfinite().all()) for v in self.network.state_dict().values()):
            told = f"weights that are no numbers after iteration {self.progress.iteration - 1}"
            raise UsageError(told, "finite weights", self._slower())

    def _after(self, board: Board) -> None:
        i = self.progress.iteration
        if i % CURVE_EVERY == 0 or i == self.settings.iterations:
            self.progress.curve.append((i, self.progress.loss))
            board.add_scalar("loss", self.progress.loss, i)
            board.add_scalar("lr", self.optimiser.param_groups[0]["lr"], i)
        if i % self.settings.validate_every == 0:
            self._validate(board)
        if i % self.settings.checkpoint_every == 0:
            self._save()

    def _validate(self, board: Board) -> None:
        if not self.ranks.first:
            return
        self._need_finite()
        score, i = self.validation(self.ema.average), self.progress.iteration
        for name, miou in {"miou": score.miou, **score.by_source()}.items():
            board.add_scalar(f"val/{name}", miou, i)
        row = {"iteration": i, "minutes": self.progress.minutes, "val_miou": score.miou, **score.by_source()}
        self.progress.history = [before for before in self.progress.history if before["iteration"] < i] + [row]
        if score.miou > self.progress.best:
            self.progress.best, self.progress.best_iteration = score.miou, i
            self._write("best.pt", self.state(self.ema.average.state_dict(), score))

    def state(self, network: dict[str, Any], score: Score | None = None) -> dict[str, Any]:
        """A checkpoint with these weights of the network, as ``drivenet export`` takes it."""
        return {
            "network": network,
            "settings": self.settings.model_dump(mode="json"),
            "labels": self.labels.name,
            "label_set": LabelsSpec.of(self.labels).model_dump(mode="json"),
            "normalisation": dict(zip(("mean", "std"), self.normalisation, strict=True)),
            "lineage": self.lineage,
            "progress": dict(vars(self.progress)),
            "iou": score.iou() if score else {},
        }

    def _save(self) -> None:
        if not self.ranks.first:
            return
        self._need_finite()
        more = {"ema": self.ema.average.state_dict(), "optimiser": self.optimiser.state_dict()}
        self._write("last.pt", {**self.state(self.network.state_dict()), **more})
        self._write("history.json", self.progress.history)

    def _write(self, name: str, content: Any) -> None:
        """A whole file of the run, a checkpoint or JSON; what was there before stays where there is no room."""
        file = self.folder / name
        try:
            if file.suffix == ".pt":
                checkpoints.save(file, content)
            else:
                write_atomic(file, json.dumps(content))
        except OSError as error:
            raise cannot_write(file, error) from error

    def _resume(self, state: dict[str, Any], last: Path) -> None:
        check_run(state, self.settings, self.labels, str(last))
        try:
            self._take(state)
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(f"cannot go on from {last}: {told}", "what this version writes", CURE) from error
        if not (self.folder / "best.pt").exists():  # it was moved away: the next average is the best of what is there
            self.progress.best, self.progress.best_iteration = -1.0, 0

    def _take(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of this run; the optimiser's options are those of the settings."""
        self.network.load_state_dict(state["network"])
        self.ema.average.load_state_dict(state["ema"])
        load_optimiser(self.optimiser, state["optimiser"])
        self.progress = Progress(**state["progress"])
        self.lineage = state.get("lineage", self.lineage)
