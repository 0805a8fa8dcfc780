"""Published checkpoints onto the zoo's networks, with the preprocessing and labels that they were trained with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from drivenet.errors import UsageError, nearest
from drivenet.labels import CITYSCAPES, VOC, LabelSet
from drivenet.models import checkpoint, create
from drivenet.models.deployed import MEAN, STD
from drivenet.modelspec import LabelsSpec

Rgb = tuple[float, float, float]
State = dict[str, torch.Tensor]

#: Every rule turns the start of a key of ours into the publisher's; ``\1`` repeats what the brackets matched.
Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Publisher:
    """What is known of a published checkpoint.

    Args:
        architecture: the zoo's network it maps onto, with its ``options``.
        labels: what it was trained to tell apart.
        rules: from the keys of ours to those of the publisher, first match wins; the rest keep their names.
        trained_on, licence: of the data.
        mean, std: RGB, of values divided by 255, that it was trained with.
        extra: keys that a checkpoint may hold and an inference does without.
    """

    architecture: str
    labels: LabelSet
    rules: Rules
    trained_on: str
    licence: str
    options: Mapping[str, Any] = field(default_factory=dict)
    mean: Rgb = MEAN
    std: Rgb = STD
    extra: str = r"$^"


def _named(ours: str, theirs: str) -> Rules:
    """A convolution and its norm, which the publisher calls ``conv`` and ``bn``."""
    return (rf"{ours}\.0", rf"{theirs}.conv"), (rf"{ours}\.1", rf"{theirs}.bn")


def _resnet() -> Iterable[tuple[str, str]]:
    block, theirs = r"context\.resnet\.(layer\d\.\d)", r"cp.resnet.\1"
    for ours, conv, norm in (("body\\.0", "conv1", "bn1"), ("body\\.1", "conv2", "bn2")):
        yield rf"{block}\.{ours}\.0", f"{theirs}.{conv}"
        yield rf"{block}\.{ours}\.1", f"{theirs}.{norm}"
    yield rf"{block}\.skip", f"{theirs}.downsample"
    yield r"context\.resnet\.stem\.0\.0", "cp.resnet.conv1"
    yield r"context\.resnet\.stem\.0\.1", "cp.resnet.bn1"


BISENETV1: Rules = (
    *_resnet(),
    *_named(r"context\.refine(16|32)\.conv", r"cp.arm\1.conv"),
    (r"context\.refine(16|32)\.attention\.0", r"cp.arm\1.conv_atten"),
    (r"context\.refine(16|32)\.attention\.1", r"cp.arm\1.bn_atten"),
    *_named(r"context\.up(16|32)", r"cp.conv_head\1"),
    *_named(r"context\.whole", "cp.conv_avg"),
    *(r for i in range(3) for r in _named(rf"spatial\.{i}", f"sp.conv{i + 1}")),
    *_named(r"spatial\.3", "sp.conv_out"),
    *_named(r"fusion\.conv", "ffm.convblk"),
    (r"fusion\.attention\.0", "ffm.conv"),
    (r"fusion\.attention\.1", "ffm.bn"),
    *_named(r"head\.0", "conv_out.conv"),
    (r"head\.2", "conv_out.conv_out"),
)

_STAGE = {"stage3": "S3", "stage4": "S4", "stage5": "S5_4"}


def _gather_expand() -> Iterable[tuple[str, str]]:
    for ours, theirs in _STAGE.items():
        first, later = (rf"semantic\.{ours}\.0", f"segment.{theirs}.0"), (rf"semantic\.{ours}\.(\d)", "segment.")
        yield from _named(rf"{first[0]}\.body\.0", f"{first[1]}.conv1")
        for i, name in enumerate(("dwconv1", "dwconv2", "conv2"), 1):
            yield rf"{first[0]}\.body\.{i}", f"{first[1]}.{name}"
        yield rf"{first[0]}\.skip\.0", f"{first[1]}.shortcut"
        yield rf"{first[0]}\.skip\.1\.0", f"{first[1]}.shortcut.2"
        yield rf"{first[0]}\.skip\.1\.1", f"{first[1]}.shortcut.3"
        yield from _named(rf"{later[0]}\.body\.0", rf"segment.{theirs}.\1.conv1")
        yield rf"{later[0]}\.body\.1", rf"segment.{theirs}.\1.dwconv"
        yield rf"{later[0]}\.body\.2", rf"segment.{theirs}.\1.conv2"


_DETAIL = ("S1.0", "S1.1", "S2.0", "S2.1", "S2.2", "S3.0", "S3.1", "S3.2")

BISENETV2: Rules = (
    *(r for i, name in enumerate(_DETAIL) for r in _named(rf"detail\.{i}", f"detail.{name}")),
    *_named(r"semantic\.stem\.first", "segment.S1S2.conv"),
    *_named(r"semantic\.stem\.convs\.(\d)", r"segment.S1S2.left.\1"),
    *_named(r"semantic\.stem\.fuse", "segment.S1S2.fuse"),
    *_gather_expand(),
    (r"semantic\.context\.norm", "segment.S5_5.bn"),
    *_named(r"semantic\.context\.reduce", "segment.S5_5.conv_gap"),
    *_named(r"semantic\.context\.fuse", "segment.S5_5.conv_last"),
    (r"aggregation\.detail_keep\.0", "bga.left1"),
    (r"aggregation\.detail_keep\.1", "bga.left1.2"),
    (r"aggregation\.detail_down\.0", "bga.left2"),
    (r"aggregation\.semantic_up", "bga.right1"),
    (r"aggregation\.semantic_keep\.0", "bga.right2"),
    (r"aggregation\.semantic_keep\.1", "bga.right2.2"),
    (r"aggregation\.fuse", "bga.conv"),
    *_named(r"head\.0", "head.conv"),
    (r"head\.2", "head.conv_out.1"),
)

LRASPP: Rules = (
    (r"reduce", "classifier.cbr"),
    (r"gate", "classifier.scale.1"),
    (r"(low|high)", r"classifier.\1_classifier"),
)

DEEPLABV3: Rules = (
    (r"pyramid\.branches", "classifier.0.convs"),
    (r"pyramid\.whole\.0", "classifier.0.convs.4.1"),
    (r"pyramid\.whole\.1", "classifier.0.convs.4.2"),
    (r"pyramid\.project\.0", "classifier.0.project"),
    (r"refine\.0", "classifier.1"),
    (r"refine\.1", "classifier.2"),
    (r"classify", "classifier.4"),
)

_CITYSCAPES: dict[str, Any] = {
    "labels": CITYSCAPES, "trained_on": "cityscapes train", "licence": "Cityscapes: non-commercial research use",
    "mean": (0.3257, 0.3690, 0.3223), "std": (0.2112, 0.2148, 0.2115),
}  # fmt: skip
_COCO: dict[str, Any] = {
    "labels": VOC, "trained_on": "COCO train2017, the classes of VOC", "licence": "COCO: CC BY 4.0 annotations",
}  # fmt: skip

PUBLISHERS = {
    "coincheung-bisenetv1": Publisher("bisenetv1", rules=BISENETV1, extra=r"conv_out(16|32)\.", **_CITYSCAPES),
    "coincheung-bisenetv2": Publisher(
        "bisenetv2", rules=BISENETV2, extra=r"aux\d(_\d)?\.",
        options={"head": 1024, "variant": "coincheung"}, **_CITYSCAPES,
    ),
    "torchvision-deeplabv3_mobilenet_v3_large": Publisher(
        "deeplabv3plus_mobilenetv3", rules=DEEPLABV3, options={"decoder": False}, extra=r"aux_classifier\.", **_COCO
    ),
    "torchvision-lraspp_mobilenet_v3_large": Publisher("lraspp_mobilenetv3", rules=LRASPP, **_COCO),
}  # fmt: skip


def import_checkpoint(path: Path, publisher: str) -> tuple[nn.Module, dict[str, Any]]:
    """A published checkpoint as a network of the zoo.

    Args:
        path: the publisher's file: a state dict, bare or under ``state_dict`` or ``model``.
        publisher: one of :data:`PUBLISHERS`.

    Returns:
        The network in eval mode, and the fields of a :class:`~drivenet.modelspec.ModelSpec` that follow from where
        it came from: architecture, labels, mean, std (RGB; the deployed graph does the rest), data, licence.

    Raises:
        UsageError: for an unknown publisher, an unreadable file, missing, misshapen or unexpected keys.
    """
    if publisher not in PUBLISHERS:
        raise UsageError(f"no publisher {publisher!r}", cure=nearest(publisher, PUBLISHERS))
    known = PUBLISHERS[publisher]
    network = create(known.architecture, len(known.labels), known.options)
    network.load_state_dict(_mapped(_read(path, publisher), network.state_dict(), known, str(path)))
    fields = {
        "architecture": known.architecture, "labels": LabelsSpec.of(known.labels), "mean": known.mean,
        "std": known.std, "trained_on": known.trained_on, "data_licence": known.licence,
        "recipe": f"published by {publisher.partition('-')[0]}",
    }  # fmt: skip
    return network.eval(), fields


def publisher_key(key: str, rules: Rules) -> str:
    """What the publisher calls a key of ours."""
    for ours, theirs in rules:
        match = re.match(rf"{ours}(?=\.)", key)
        if match:
            return match.expand(theirs) + key[match.end() :]
    return key


def _read(path: Path, publisher: str) -> State:
    """The tensors of a file by key; no code in it is run."""
    content = checkpoint.read(path, f"the state dict of {publisher}")
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds {type(content).__name__}", f"the state dict of {publisher}")
    return {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, torch.Tensor)}


def _mapped(found: State, wanted: State, known: Publisher, where: str) -> State:
    """The publisher's tensors under our keys; our freshly initialised auxiliary heads stay."""
    names = {key: publisher_key(key, known.rules) for key in wanted if not key.startswith("auxiliary.")}
    counters = {ours for ours in names if ours.endswith("num_batches_tracked")}  # older files lack them
    missing = [theirs for ours, theirs in names.items() if theirs not in found and ours not in counters]
    _refuse(where, "lacks", missing, f"all {len(names) - len(counters)} tensors of {known.architecture}")
    odd = [
        f"{theirs} {list(found[theirs].shape)} instead of {list(wanted[ours].shape)}"
        for ours, theirs in names.items()
        if theirs in found and found[theirs].shape != wanted[ours].shape
    ]
    _refuse(where, "has", odd, f"{len(known.labels)} classes ({known.labels.name})")
    extra = [key for key in found if key not in names.values() and not re.match(known.extra, key)]
    _refuse(where, "has unexpected", extra, f"the network that {known.architecture} is")
    return {key: found.get(names.get(key, ""), value) for key, value in wanted.items()}


def _refuse(where: str, verb: str, keys: list[str], expected: str) -> None:
    if keys:
        more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
        raise UsageError(f"{where} {verb} {', '.join(keys[:4])}{more}", expected, "check --from and the download")
