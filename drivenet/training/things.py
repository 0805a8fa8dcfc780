"""Trains a head for single things on the frozen features of a deployed model: ids stay what they are."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from drivenet.data.base import Sample
from drivenet.errors import UsageError
from drivenet.models import checkpoint as checkpoints
from drivenet.models.things_head import ThingsHead, read_head
from drivenet.models.trunk import Trunk
from drivenet.training.depthwise_cpu import quick_depthwise
from drivenet.training.instances import Instances, Targets, numbered, targets, things_loss

#: Crops whose features are kept (0.5 MB each at 320x192), and how many are new in each batch.
POOL, FRESH = 3000, 1
#: Natural logarithms of the smallest and largest scale of a crop.
SCALES = (-0.6, 0.45)


def augmented(
    sample: Sample, size: tuple[int, int], rng: np.random.Generator, view: tuple[int, int] | None = None
) -> tuple[npt.NDArray[np.uint8], Instances]:
    """A random crop of an image and its instances at a random scale, half of them mirrored.

    Args:
        sample: with instances.
        size: (height, width) of the crop.
        rng: where, how large, which way.
        view: (height, width) that the whole image has at scale 1; None for that of the crop.

    Raises:
        UsageError: for a sample without instances.
    """
    if sample.instances is None:
        raise UsageError(f"{sample.name} has no instances", "things with ids")
    scale = float(np.exp(rng.uniform(*SCALES)))
    height, width = size
    whole = view or size
    wide, high = max(width, round(whole[1] * scale)), max(height, round(whole[0] * scale))
    image = cv2.resize(sample.image, (wide, high), interpolation=cv2.INTER_LINEAR)
    local = numbered(sample.instances)
    instances = cv2.resize(local, (wide, high), interpolation=cv2.INTER_NEAREST_EXACT)
    y, x = int(rng.integers(0, high - height + 1)), int(rng.integers(0, wide - width + 1))
    image, instances = image[y : y + height, x : x + width], instances[y : y + height, x : x + width]
    if rng.random() < 0.5:
        image, instances = image[:, ::-1], instances[:, ::-1]
    image = cv2.convertScaleAbs(np.ascontiguousarray(image), alpha=float(rng.uniform(0.7, 1.3)))
    return np.asarray(image, np.uint8), np.ascontiguousarray(instances)


def train_head(
    trunk: Trunk, samples: Sequence[Sample], out: Path, *, iterations: int = 1200, batch: int = 8, lr: float = 2e-3,
    width: int = 32, seed: int = 0, minutes: float | None = None, view: tuple[int, int] | None = None,
    start: Path | None = None,
    report: Callable[[int, float], None] = lambda i, loss: None,
) -> dict[str, Any]:  # fmt: skip
    """Train a head and write its checkpoint, for ``drivenet export --things``.

    Args:
        trunk: stays as it is.
        samples: images with instances.
        out: ``*.pt``.
        iterations, batch, lr: of AdamW, with a learning rate that falls to 0 (cosine).
        width: of the head.
        seed: of everything random.
        view: (height, width) that whole images have, where the trunk is exported smaller than the model that the head
            is for: crops cost less.
        minutes: the learning rate falls by the clock, and training ends after so many.
        start: a head to begin with, also of another trunk; its width counts.
        report: called with iteration and loss.

    Returns:
        the progress: iterations, minutes and the mean loss of the last tenth.

    Raises:
        UsageError: for a training that would end before its first iteration, which takes as long as a batch of crops.
    """
    budget = iterations if minutes is None else minutes
    if budget <= 0:
        raise _too_short(iterations, minutes)
    torch.manual_seed(seed)
    head = (ThingsHead(trunk.shape[1], width) if start is None else read_head(start)).train()
    head = head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    quick_depthwise(head)
    optimiser = torch.optim.AdamW(head.parameters(), lr, weight_decay=1e-4)
    began, losses = time.monotonic(), []
    for i, (features, truth) in enumerate(_batches(trunk, samples, batch, seed, view)):
        spent = (time.monotonic() - began) / 60
        done = (i if minutes is None else spent) / budget
        if done >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1.0, (i + 1) / 50) * (0.5 + 0.5 * float(np.cos(np.pi * done)))
        with torch.autocast("cpu", torch.bfloat16):
            maps = head(features.contiguous(memory_format=torch.channels_last))
        loss = things_loss(maps, truth)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(head.parameters(), 5.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        report(i, losses[-1])
    if not losses:
        raise _too_short(iterations, minutes)
    last = losses[-max(1, len(losses) // 10) :]
    progress = {
        "iterations": len(losses), "minutes": round((time.monotonic() - began) / 60, 1),
        "loss": round(sum(last) / len(last), 4), "batch": batch, "seed": seed, "images": len(samples),
    }  # fmt: skip
    settings = {"trunk": trunk.origin, "trunk_name": trunk.file.name, "width": head.width}
    checkpoints.save(out, {"network": head.eval().state_dict(), "settings": settings, "progress": progress})
    return progress


def _too_short(iterations: int, minutes: float | None) -> UsageError:
    given = f"{iterations} iterations" if minutes is None else f"{minutes} minutes"
    return UsageError(f"no iteration in {given}", "time for one at least")


def _batches(
    trunk: Trunk, samples: Sequence[Sample], batch: int, seed: int, view: tuple[int, int] | None
) -> Iterator[tuple[torch.Tensor, Targets]]:
    """Features and truth of random crops, without end.

    The trunk takes longer than the head, so crops are used again: each batch is drawn from a pool, in which
    :data:`FRESH` are new each time in place of the oldest.
    """
    rng = np.random.default_rng(seed)
    cells = trunk.shape[2], trunk.shape[3]
    pool: deque[tuple[torch.Tensor, Targets]] = deque(maxlen=POOL)
    while True:
        for _ in range(FRESH if len(pool) >= batch else batch):
            image, instances = augmented(samples[int(rng.integers(len(samples)))], trunk.spec.input, rng, view)
            pool.append((trunk([image]).half(), targets(instances, cells)))
        drawn = [pool[int(i)] for i in rng.choice(len(pool), batch, replace=False)]
        features = torch.cat([features for features, _ in drawn]).float()
        yield features, Targets(*(torch.cat(maps) for maps in zip(*(truth for _, truth in drawn), strict=True)))
