"""Checkpoints: written whole or not at all, read without running code from them."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import nn

from drivenet.errors import UsageError
from drivenet.files import sha256_of, write_atomic
from drivenet.labels import LabelSet, built_in
from drivenet.models import create
from drivenet.models.deployed import MEAN, STD, Normalisation
from drivenet.modelspec import LabelsSpec

#: How PyTorch's files begin, which are archives.
_ZIP_START = b"PK"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def read(path: Path, expected: str) -> Any:
    """What a file of PyTorch holds, without running code from it; UsageError with ``expected`` if it is none."""
    try:
        _check_whole(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, LookupError) as error:  # PyTorch advises to run the code in it
        told = "no checkpoint, or one that holds more than tensors"
        raise UsageError(f"cannot read checkpoint {path}: {told}", expected) from error
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        told = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"cannot read checkpoint {path}: {told.partition('. ')[0]}", expected) from error


def _check_whole(path: Path) -> None:
    """ValueError for a file that is cut short, or has a part that is not what was written: PyTorch tells the one with
    advice on its own files, and reads the other without looking at its sums.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} in it is damaged")
        return
    with path.open("rb") as begun:
        start = begun.read(len(_ZIP_START))
    if start in (_ZIP_START, b""):
        raise ValueError("it is cut short" if start else "it is empty")


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ours without running code from it; UsageError if it is none."""
    expected = "a .pt file that drivenet train wrote"
    state = read(path, expected)
    if not isinstance(state, dict) or "network" not in state or "settings" not in state:
        raise UsageError(f"{path} is no drivenet checkpoint", expected)
    return state


def lineage(settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The checkpoints that a run of these settings builds on: ``start`` and ``teacher``, as far as it has them.

    Each with its ``name``, by folder and stem (no path of this machine), and the first 12 digits of its ``sha256``,
    if it is there.
    """
    files = {"start": settings["model"].get("start"), "teacher": (settings.get("distil") or {}).get("teacher")}
    return {role: _known(Path(file)) for role, file in files.items() if file is not None}


def _known(file: Path) -> dict[str, str]:
    name = {"name": "/".join(filter(None, (file.parent.name, file.stem)))}
    return {**name, "sha256": sha256_of(file)[:12]} if file.is_file() else name


def labels_of(state: dict[str, Any]) -> LabelSet:
    """The classes of a checkpoint's network; those of 0.1 hold the name of a built-in label set alone."""
    whole = state.get("label_set")
    return LabelsSpec.model_validate(whole).label_set() if whole else built_in(state["labels"])


def network_of(state: dict[str, Any], where: str) -> nn.Module:
    """The network of a checkpoint of ours with its weights; UsageError naming ``where`` if it holds others."""
    try:
        model = state["settings"]["model"]
        network = create(model["architecture"], len(labels_of(state)), model["options"])
        network.load_state_dict(state["network"])
    except (KeyError, RuntimeError) as error:
        told = f"{where} does not hold the weights of the network that its settings name"
        raise UsageError(told, "a .pt file that drivenet train wrote") from error
    return network


def normalisation_of(state: Mapping[str, Any]) -> Normalisation:
    """Mean and standard deviation that a checkpoint's network takes pictures with: a publisher's, else ours."""
    told = state.get("spec") or state.get("normalisation") or {}
    return tuple(told.get("mean", MEAN)), tuple(told.get("std", STD))


def check_classes(state: dict[str, Any], labels: LabelSet, where: str, cure: str = "") -> None:
    """UsageError naming ``where`` unless a checkpoint's network tells the classes of a label set, in their order."""
    if state.get("labels") != labels.name:
        raise UsageError(f"{where} of labels {state.get('labels')}", labels.name, cure)
    both = enumerate(zip_longest(labels_of(state).classes, labels.classes, fillvalue="none"))
    for i, (theirs, mine) in both:
        if theirs != mine:
            raise UsageError(f"{where} of other labels {labels.name}: class {i} is {theirs}", mine, cure)


def average(files: Sequence[Path], shares: Sequence[float] | None = None) -> dict[str, Any]:
    """The weighted mean of checkpoints of one network, one of which started from the other or all from a third.

    Weights of runs that began alike lie in one basin, where their mean often generalises better than any of them
    (Wortsman et al., "Model soups", ICML 2022).

    Args:
        files: at least two; the record is that of the last one, without its score, and names them all.
        shares: of each, in any scale; None for equal ones.

    Raises:
        UsageError: for fewer than two, shares that do not fit, or checkpoints of other networks, labels or
            normalisations.
    """
    shares = [1.0] * len(files) if shares is None else shares
    if len(files) < 2 or len(shares) != len(files) or min(shares) < 0 or sum(shares) <= 0:
        raise UsageError(f"{len(files)} checkpoints with shares {shares}", "two or more, each with a share above 0")
    states = [load(file) for file in files]
    *others, last = states
    for file, other in zip(files, others, strict=False):
        model = [(s["settings"]["model"]["architecture"], s["settings"]["model"]["options"]) for s in (other, last)]
        if model[0] != model[1]:
            raise UsageError(f"{file} is of {model[0]}", f"{model[1]}, as {files[-1]}")
        shown = [normalisation_of(state) for state in (other, last)]
        if shown[0] != shown[1]:
            told = ["less {} over {}".format(*one) for one in shown]
            raise UsageError(f"{file} is of pictures {told[0]}", f"{told[1]}, as {files[-1]}")
        check_classes(other, labels_of(last), str(file), f"average it with others than {files[-1]}")
    parts = [share / sum(shares) for share in shares]
    network = {
        name: sum(part * state["network"][name] for part, state in zip(parts, states, strict=True))
        if tensor.is_floating_point()
        else tensor
        for name, tensor in last["network"].items()
    }
    mean = [{**_known(file), "share": round(part, 4)} for file, part in zip(files, parts, strict=True)]
    progress = {**last.get("progress", {}), "best": None}  # nobody has scored the mean yet
    found = {**last, "network": network, "progress": progress, "lineage": {**last.get("lineage", {}), "mean_of": mean}}
    return {**found, "spec": _other_than(last["spec"], {"mean_of": mean})} if "spec" in last else found


def _other_than(spec: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an imported network for one that was made of it: not its score, nor the digest of its origin."""
    kept = {name: value for name, value in spec.items() if name not in ("val_miou", "source_sha256")}
    return {**kept, "training": {**spec.get("training", {}), **training}}
