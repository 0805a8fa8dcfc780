"""Gives a deployed ONNX a head for single things, on the features that its class logits are made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper

from drivenet.errors import UsageError
from drivenet.export.int8_nodes import THINGS
from drivenet.export.stored import check_target, load, store
from drivenet.export.trace import traced
from drivenet.labels import COUNTABLE_GROUPS
from drivenet.models import checkpoint as checkpoints
from drivenet.models.things_head import ThingsHead, ThingsTail, head_of
from drivenet.models.trunk import features_of, origin_of
from drivenet.modelspec import ModelSpec, ThingsSpec
from drivenet.things.components import MIN_AREA

#: What is written into the spec where the checkpoint of the head says nothing else.
RULE: Mapping[str, Any] = MappingProxyType({"scale": 0.5, "centre": 80, "reach": 4.0, "min_area": MIN_AREA})


def add_things(source: Path, head: Path, out: Path) -> ModelSpec:
    """Write a float ONNX with ``centres`` and ``offsets`` beside what it gives. The ids stay what they were.

    Args:
        source: an ONNX that drivenet wrote.
        head: a checkpoint of :mod:`drivenet.training.things`, trained on this model or the same at another size.
        out: ``*.onnx``; the spec goes inside and beside it as ``*.json``.

    Raises:
        UsageError: for another suffix, an int8 model, one that parts things already, a label set without countable
            groups, or a head of another model.
        ModelSpecError: if the model holds no spec.
        SinkError: if nothing can be written there.
    """
    check_target(out)
    model, spec = load(source)
    if spec.things is not None or spec.precision != "fp32":
        got = f"{source}, which is {spec.precision}" + (" and parts things already" if spec.things else "")
        raise UsageError(got, "a float ONNX without a head", "make it int8 afterwards")
    _check_counts(spec, str(source))
    state = checkpoints.load(head)
    trained = head_of(state, head)
    if state["settings"]["trunk"] != origin_of(spec, source):
        raise UsageError(f"{head} was trained on another model than {source}", state["settings"]["trunk_name"])
    rule = {**RULE, **state["settings"].get("rule", {})}
    spec = with_head(model, spec.model_copy(update={"name": out.stem}), trained, state["progress"], rule)
    store(model, spec, out)
    return spec


def with_head(
    model: onnx.ModelProto, spec: ModelSpec, head: ThingsHead, record: Mapping[str, Any],
    rule: Mapping[str, Any] = RULE,
) -> ModelSpec:  # fmt: skip
    """Add a head to a graph in place.

    Args:
        model: a float one that drivenet wrote.
        spec: of it, without things.
        head: trained on its features.
        record: of the head's training.
        rule: how its maps become things, without ``cells``.

    Returns:
        the spec with things.

    Raises:
        UsageError: for a label set without countable groups.
    """
    _check_counts(spec, spec.name)
    features, shape = features_of(model, spec.name)
    things = ThingsSpec(cells=(shape[2], shape[3]), **rule)
    append_head(model, head.eval(), features, shape, things)
    more = {"parameters": sum(p.numel() for p in head.parameters()), **record}
    return spec.model_copy(update={"things": things, "training": {**spec.training, "things": more}})


def _check_counts(spec: ModelSpec, model: str) -> None:
    if not spec.label_set.countable_table.any():
        raise UsageError(f"{model}, whose label set {spec.labels.name} counts nothing",
                         f"classes of the groups {', '.join(COUNTABLE_GROUPS)}")  # fmt: skip


def append_head(
    model: onnx.ModelProto, head: ThingsHead, features: str, shape: tuple[int, int, int, int], things: ThingsSpec
) -> None:
    """Add the head to a graph in place, reading the tensor ``features``."""
    tail = traced(ThingsTail(head, things.scale).eval(), torch.zeros(shape), "features", ["centres", "offsets"]).graph
    names = {features_input.name: features for features_input in tail.input}
    for output in tail.output:
        names[output.name] = output.name
    for node in tail.node:
        node.name = THINGS + node.name
        for field in (node.input, node.output):
            for i, name in enumerate(field):
                field[i] = names.get(name, THINGS + name if name else "")
    for tensor in tail.initializer:
        tensor.name = THINGS + tensor.name
    model.graph.node.extend(tail.node)
    model.graph.initializer.extend(tail.initializer)
    rows, columns = things.cells
    for name, dims in (("centres", [1, rows, columns]), ("offsets", [1, 2, rows, columns])):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.UINT8, dims))
