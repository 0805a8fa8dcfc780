"""A trained checkpoint as a deployable ONNX with its ModelSpec inside and beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from drivenet.export.simplify import simplify
from drivenet.export.stored import check_target, store
from drivenet.export.things import with_head
from drivenet.export.trace import traced
from drivenet.files import sha256_of
from drivenet.models import checkpoint as checkpoint_file
from drivenet.models.blocks import check_size
from drivenet.models.deployed import MEAN, STD, Deployed
from drivenet.modelspec import TAILS, LabelsSpec, ModelSpec, Tail


def export_onnx(
    network: torch.nn.Module, spec: dict[str, Any], out: Path, size: tuple[int, int], tail: Tail = "half"
) -> ModelSpec:
    """Write a network with all that surrounds it, its head for single things included, if it has one.

    Args:
        network: gives logits at 1/``network.stride`` of its input.
        spec: the :class:`~drivenet.modelspec.ModelSpec` fields that the network itself does not tell: ``name``,
            ``architecture``, ``labels``, and what is known of its training.
        out: ``*.onnx``; the spec goes beside it as ``*.json``.
        size: (height, width) of the input.
        tail: where the argmax happens.

    Raises:
        UsageError: for another suffix, a size that the network cannot take, or a head without countable classes.
        SinkError: if nothing can be written there.
    """
    check_target(out)
    check_size(*size)
    share = TAILS[tail]
    full = ModelSpec.model_validate(
        {
            "mean": MEAN, "std": STD, **spec, "input": size, "output": (size[0] // share, size[1] // share),
            "tail": tail, "params": parameters(network), "gmac": round(gmac(network, size), 3),
        }
    )  # fmt: skip
    deployed = Deployed(network, tail, full.mean, full.std).eval()
    model = traced(deployed, torch.zeros(1, *size, 3, dtype=torch.uint8), "frame", ["classes"])
    simplify(model)
    head = getattr(network, "things", None)
    if head is not None:
        full = with_head(model, full, head, {"jointly": True})
    store(model, full, out)
    return full


def export_checkpoint(
    checkpoint: Path, out: Path, size: tuple[int, int] | None = None, tail: Tail = "half", machine: str = ""
) -> ModelSpec:
    """Write what ``drivenet train`` found best as a deployable ONNX.

    Args:
        checkpoint: ``best.pt`` of a run.
        out: ``*.onnx``; the spec goes beside it as ``*.json``.
        size: (height, width) of the input; the run's own if None.
        tail: where the argmax happens.
        machine: what the run was trained on, for the record.

    Raises:
        UsageError: for a file that is no checkpoint, or a size that cannot be.
        SinkError: if nothing can be written there.
    """
    state = checkpoint_file.load(checkpoint)
    network, settings = checkpoint_file.network_of(state, f"{checkpoint}"), state["settings"]
    labels = checkpoint_file.labels_of(state)
    known = {"name": out.stem, "architecture": settings["model"]["architecture"], "labels": LabelsSpec.of(labels)}
    record = {"source_sha256": sha256_of(checkpoint), **(state.get("spec") or _record(state, machine))}
    return export_onnx(network.eval(), {**record, **known}, out, size or tuple(settings["input"]), tail)


def _record(state: dict[str, Any], machine: str) -> dict[str, Any]:
    """What is known of a training run; an imported checkpoint brings its own record instead."""
    settings, progress = state["settings"], state["progress"]
    shares = _shares(settings["data"])
    several = len(shares) > 1
    parts = [f"{name} {splits}" + (f" ({share:.0%})" if several else "") for (name, splits), share in shares.items()]
    licences = [DATA_LICENCES[name] for name in dict.fromkeys(n for n, _ in shares) if name in DATA_LICENCES]
    lineage = state["lineage"] if "lineage" in state else checkpoint_file.lineage(settings)
    return {
        **state.get("normalisation", {}),
        "trained_on": " + ".join(parts),
        "data_licence": "; ".join(licences),
        "recipe": settings["name"],
        "training": {
            "minutes": round(progress["minutes"], 1), "iterations": progress["iteration"],
            "batch": settings["batch"], "seed": settings["seed"], "machine": machine,
            "options": settings["model"]["options"], **lineage,
        },
        # the mean of several data sets' scores is no score on any of them: see eval --record
        "val_miou": None if several or progress["best"] is None else round(progress["best"], 4),
    }  # fmt: skip


def _shares(data: Any) -> dict[tuple[str, str], float]:
    """What a run learned from: shares of its samples by data set and splits."""
    if isinstance(data, dict):  # the settings of 0.1: one data set, and drawn frames
        drawn = data["synthetic_share"]
        data = [{"dataset": data["dataset"], "share": 1 - drawn}, {"dataset": "synthetic", "share": drawn}]
    total = sum(one["share"] for one in data)
    shares: dict[tuple[str, str], float] = {}
    for one in data:
        labels = one.get("labels") if one["dataset"] == "folder" else None
        key = one.get("name") or Path(labels or one["dataset"]).stem, "+".join(one.get("splits", ["train"]))
        shares[key] = shares.get(key, 0) + one["share"] / total
    return {key: share for key, share in shares.items() if share}


DATA_LICENCES = {
    "camvid": "CamVid: non-commercial research use",
    "cityscapes": "Cityscapes: non-commercial research use",
    "iddlite": "IDD-Lite: non-commercial research use",
    "synthetic": "none: drawn by drivenet",
}


def parameters(network: torch.nn.Module) -> int:
    """Parameters of what gives the logits: not those of further heads."""
    return sum(p.numel() for name, p in network.named_parameters() if name.split(".")[0] not in ("auxiliary", "things"))


def gmac(network: torch.nn.Module, size: tuple[int, int]) -> float:
    """10^9 multiply-accumulates of one inference (convolutions and matrix products, as PyTorch counts them)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, *size))
    return float(counter.get_total_flops()) / 2e9
