"""A run put together: its pictures, its batches and its trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from drivenet.errors import UsageError
from drivenet.labels import COUNTABLE_GROUPS, LabelSet
from drivenet.training.augment import Augment
from drivenet.training.conditions import ON_HOST
from drivenet.training.focus import LEAST_PIXELS, Focus
from drivenet.training.on_device.batches import DeviceBatches
from drivenet.training.paste import Paste
from drivenet.training.ranks import ALONE, Ranks
from drivenet.training.samples import Batches, BatchSource, Order, Pictures, Source, filled
from drivenet.training.settings import TrainSettings
from drivenet.training.sources import Material, load
from drivenet.training.trainer import Trainer


def prepare_run(
    settings: TrainSettings, root: Path | None, folder: Path, device: str = "auto", ranks: Ranks = ALONE
) -> Trainer:
    """Load the data and set a run up in ``folder``, going on from what lies there.

    Args:
        settings: the run.
        root: folder of the data set; the settings' own if None.
        folder: the run's.
        device: ``cpu``, ``cuda``, or ``auto`` for CUDA where there is one.
        ranks: which process of the run this is; the processes have joined.

    Raises:
        UsageError, SourceError: for missing data.
    """
    return assemble(settings, load(settings, root), folder, ranks.device(device), ranks)


def assemble(
    settings: TrainSettings, material: Material, folder: Path, device: torch.device, ranks: Ranks = ALONE
) -> Trainer:
    """Set a run up with pictures that are loaded already; UsageError as :func:`prepare_run`."""
    weights = torch.ones(len(material.labels))
    if settings.loss.weights == "log":
        weights = torch.tensor(1 / np.log(1.1 + class_shares(material)), dtype=torch.float32)
        weights = weights / weights.mean()
    batches = _batches(settings, material, device, ranks)
    return Trainer(settings, batches, material, weights, folder, device, ranks)


def _batches(settings: TrainSettings, material: Material, device: torch.device, ranks: Ranks) -> BatchSource:
    """Made on the device where that is wanted, else on the host."""
    wanted = settings.device_augment
    sources = filled(material.sources)
    fit = all(isinstance(source.pictures, list) for source in sources)
    if wanted and not fit:
        raise UsageError("device_augment with pictures that stay on disk", "data sets in memory", "set it to false")
    things = _parts_things(settings, sources, material.labels)
    on_host = [name for name in ON_HOST if getattr(settings.augment, name)] + ["paste"] * bool(settings.paste.share)
    on_host += ["a head for single things"] * things
    if wanted and on_host:
        raise UsageError(f"device_augment with {', '.join(on_host)}", "what the device can do", "set it to false")
    order = Order(sources, settings.seed, _focus(settings, material))
    if wanted or (wanted is None and fit and not on_host and device.type == "cuda"):
        return DeviceBatches(order, settings, material.codes, device, ranks)
    augment = Augment(settings.augment, material.codes)
    paste = _paste(settings, sources, material)
    return Batches(order, augment, settings.input, settings.batch, ranks, paste, things)


def _parts_things(settings: TrainSettings, sources: Sequence[Source], labels: LabelSet) -> bool:
    """Whether single things are learnt; UsageError where no source has any, or no class is of things."""
    if not settings.model.options.get("things"):
        return False
    if not labels.countable_table.any():
        told = f"options.things for {labels.name}, which counts nothing"
        raise UsageError(told, f"classes of the groups {', '.join(COUNTABLE_GROUPS)}")
    if all(source.pictures[0].instances is None for source in sources):
        raise UsageError("options.things without single things", "a source that has them", "give its instances: FOLDER")
    return True


def _focus(settings: TrainSettings, material: Material) -> Focus | None:
    wanted = settings.focus
    if not wanted.share:
        return None
    if not wanted.classes:
        raise UsageError("focus.share without classes", "focus.classes", "name some, or leave focus out")
    rare = [material.labels.id_of(name) for name in wanted.classes]
    within = material.codes.within(rare)
    codes = [material.codes.holding(i) & within for i in rare]
    ids = [(sample.ids for sample in source.pictures) for source in filled(material.sources)]
    focus = Focus(ids, codes, wanted.share)
    if focus.absent:
        told = f"focus on {', '.join(wanted.classes[i] for i in focus.absent)}"
        raise UsageError(told, f"classes with {LEAST_PIXELS} pixels in one of the labels", "leave out what is absent")
    return focus


def _paste(settings: TrainSettings, sources: Sequence[Source], material: Material) -> Paste | None:
    if not settings.paste.share:
        return None
    paste = Paste(settings.paste, sources, material.codes)
    if not paste.cutouts:
        raise UsageError("paste without a thing to cut out", "a source with instances that shows such things",
                         "give its instances: FOLDER, or leave paste out")  # fmt: skip
    return paste


def class_shares(material: Material) -> npt.NDArray[np.float64]:
    """Share of labelled pixels by class, (classes,) float64: the sources in their shares, sets split evenly."""
    members = material.codes.members.astype(np.float64)
    split = members / members.sum(1, keepdims=True)
    total = np.zeros(len(material.labels))
    for source in material.sources:
        counts = _code_counts(source.pictures)
        total += source.share * (counts @ split[:255]) / max(1, counts.sum())
    return np.asarray(total / max(total.sum(), 1e-12), np.float64)


def _code_counts(pictures: Pictures) -> npt.NDArray[np.float64]:
    """Pixels by code, (255,); of at most 500 pictures, evenly spread."""
    counts = np.zeros(256)
    for index in range(0, len(pictures), max(1, -(-len(pictures) // 500))):
        counts += np.bincount(pictures[index].ids.ravel(), minlength=256)
    return counts[:255]
