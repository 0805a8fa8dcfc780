"""The network inside a deployed ONNX, as a checkpoint that training can start from or imitate.

Export folds every batch norm into the convolution before it. Here each gets statistics again, measured on pictures,
and the scale and shift that undo them: the network computes what the ONNX computes, and can learn on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from drivenet.convert.checkpoint import write_checkpoint
from drivenet.data.pictures import folder_pictures, synthetic_pictures
from drivenet.engine.onnxruntime.file import read_spec
from drivenet.errors import UsageError
from drivenet.export.int8_nodes import THINGS
from drivenet.export.simplify import name_constants_directly, unsplit_expansions
from drivenet.files import sha256_of
from drivenet.frame import Image
from drivenet.models import create
from drivenet.models.deployed import normalise
from drivenet.modelspec import ModelSpec
from drivenet.onnx_graph import Graph, Node
from drivenet.prepare import prepare

_PREFIX = "/network/"
#: What of the spec a checkpoint keeps.
_RECORD = {"mean", "std", "trained_on", "data_licence", "recipe", "training", "val_miou"}


def restore_checkpoint(
    file: Path, out: Path, options: dict[str, Any] | None = None, pictures: Path | None = None
) -> None:  # fmt: skip
    """Write the network of a float ONNX as a checkpoint, without its head for single things.

    Args:
        file: an fp32 ONNX that :func:`~drivenet.export.onnx.export_onnx` wrote.
        out: ``*.pt``.
        options: of its network, as the ``model`` of its training settings has them; None for those in its record.
        pictures: a folder to measure the statistics on; frames of the synthetic drive if None.

    Raises:
        UsageError: for another suffix, an ONNX that is not fp32 or whose network is another one, or no pictures.
        ModelSpecError, EngineError: for a file that is not ours or cannot be read.
        SinkError: if nothing can be written there.
    """
    if out.suffix != ".pt":
        raise UsageError(f"output {out}", "a file that ends in .pt")
    spec = read_spec(file)
    if spec.precision != "fp32":
        raise UsageError(f"{file} is {spec.precision}", "an fp32 ONNX, which holds the weights as they were trained")
    options = _without_things(_options(spec, file) if options is None else options)
    network = create(spec.architecture, len(spec.labels.classes), options).eval()
    shown = synthetic_pictures(spec.input) if pictures is None else folder_pictures(pictures)
    restore(network, file, spec, shown)
    model = {"architecture": spec.architecture, "options": options}
    settings = {"name": spec.recipe, "model": model, "input": list(spec.input)}
    record = {**spec.model_dump(mode="json", include=_RECORD), "source_sha256": sha256_of(file)}
    record["training"] = _without_things(record["training"])
    if "options" in record["training"]:
        record["training"]["options"] = options
    write_checkpoint(network, settings, spec.labels, record, out)


def _without_things(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "things"}


def _options(spec: ModelSpec, file: Path) -> dict[str, Any]:
    if "options" not in spec.training:
        raise UsageError(f"{file} does not tell the options of its network", "those of its training settings",
                         "name the settings with --config")  # fmt: skip
    return dict(spec.training["options"])


def restore(network: nn.Module, file: Path, spec: ModelSpec, pictures: Sequence[Image]) -> None:
    """Give a network in eval mode the weights of an ONNX, in place; auxiliary heads keep what they have.

    Raises:
        UsageError: if the network is not the one that was exported.
    """
    graph = Graph(onnx.load(file).graph)
    name_constants_directly(graph)
    unsplit_expansions(graph)
    norms = _norms_after(network, spec)
    modules = dict(network.named_modules())
    convolutions = {_module_of(n): n for n in graph.nodes if n.op_type == "Conv" and not n.name.startswith(THINGS)}
    wanted = {name for name, m in modules.items() if isinstance(m, nn.Conv2d) and not name.startswith("auxiliary")}
    if convolutions.keys() != wanted:
        other = sorted(convolutions.keys() ^ wanted)[0]
        raise UsageError(f"{file} is another network: {other} is in one of the two alone", "its own training settings")
    with torch.no_grad():
        for name, node in convolutions.items():
            _fill(modules[name], norms.get(name), _weights(graph, node, spec), _bias(graph, node), f"{file}: {name}")
        for node in graph.nodes:
            if node.op_type == "BatchNormalization":
                _fill_norm(modules[_module_of(node)], [graph.constant(n) for n in node.input[1:]])
        _measure(network, list(norms.values()), spec, pictures)


def _module_of(node: Node) -> str:
    """``head.0.0`` of ``/network/head/head.0/head.0.0/Conv``: members of a sequence repeat its name."""
    parts = node.name.removeprefix(_PREFIX).split("/")[:-1]
    path: list[str] = []
    for before, part in zip(["", *parts], parts, strict=False):
        path.append(part.removeprefix(f"{before}.") if before and part.startswith(f"{before}.") else part)
    return ".".join(path)


def _norms_after(network: nn.Module, spec: ModelSpec) -> dict[str, nn.BatchNorm2d]:
    """By the name of a convolution, the batch norm that reads it."""
    made: dict[int, str] = {}
    found: dict[str, nn.BatchNorm2d] = {}
    alive: list[torch.Tensor] = []  # so that no tensor takes the place of another

    def conv(name: str) -> Any:
        def hook(_: nn.Module, __: Any, out: torch.Tensor) -> None:
            alive.append(out)
            made[id(out)] = name

        return hook

    def norm(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if id(inputs[0]) in made:
            found[made[id(inputs[0])]] = module  # type: ignore[assignment]

    hooks = [m.register_forward_hook(conv(n)) for n, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    hooks += [m.register_forward_pre_hook(norm) for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        network(torch.zeros(1, 3, *spec.input))
    for hook in hooks:
        hook.remove()
    return found


def _weights(graph: Graph, node: Node, spec: ModelSpec) -> npt.NDArray[np.float32]:
    """Weights for normalised RGB, also of the convolutions that took the picture's scale and order upon them."""
    weights = np.array(graph.constant(node.input[1]), np.float32)
    before = graph.maker(node.input[0])
    if before is not None and before.op_type == "Transpose":  # on the picture
        deviation = np.array(spec.std[::-1], np.float32).reshape(1, 3, 1, 1)  # of B, G, R
        weights = np.ascontiguousarray((weights * (255 * deviation))[:, ::-1])
    return weights


def _bias(graph: Graph, node: Node) -> npt.NDArray[np.float32] | None:
    return np.asarray(graph.constant(node.input[2]), np.float32) if len(node.input) > 2 else None


def _fill(
    conv: nn.Module, norm: nn.BatchNorm2d | None, weights: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32] | None, where: str,
) -> None:  # fmt: skip
    """Weights into the convolution; the bias into it, or into a batch norm that does nothing else."""
    assert isinstance(conv, nn.Conv2d)
    if conv.weight.shape != weights.shape:
        got = "x".join(map(str, weights.shape))
        raise UsageError(f"{where} is {got}", "x".join(map(str, conv.weight.shape)), "name its own training settings")
    conv.weight.copy_(torch.from_numpy(weights))
    if norm is not None:
        shift = np.zeros(len(weights), np.float32) if bias is None else bias
        one = np.ones(len(weights), np.float32)
        _fill_norm(norm, [one, shift, 0 * one, one * np.float32(1 - norm.eps)])
    elif conv.bias is not None and bias is not None:
        conv.bias.copy_(torch.from_numpy(bias.copy()))


def _fill_norm(norm: nn.Module, values: Sequence[npt.NDArray[Any]]) -> None:
    """Scale, shift, mean and variance."""
    assert isinstance(norm, nn.BatchNorm2d)
    for target, value in zip((norm.weight, norm.bias, norm.running_mean, norm.running_var), values, strict=True):
        assert target is not None
        target.copy_(torch.from_numpy(np.array(value, np.float32)))


def _measure(
    network: nn.Module, norms: Sequence[nn.BatchNorm2d], spec: ModelSpec, pictures: Sequence[Image]
) -> None:  # fmt: skip
    """Statistics on the pictures into batch norms that have none yet, and the scale and shift that undo them."""
    means: dict[nn.Module, list[torch.Tensor]] = {norm: [] for norm in norms}  # of x and x squared, by picture

    def add(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        x = inputs[0].double()
        means[norm].append(torch.stack([x.mean((0, 2, 3)), (x**2).mean((0, 2, 3))]))

    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    for picture in pictures:
        image = torch.from_numpy(prepare(picture, spec.input))[None].permute(0, 3, 1, 2)
        network(normalise(image, spec.mean, spec.std))
    for hook in hooks:
        hook.remove()
    for norm in norms:
        mean, squares = torch.stack(means[norm]).mean(0)
        variance = (squares - mean**2).clamp_min(0)
        _fill_norm(norm, [v.numpy() for v in ((variance + norm.eps).sqrt(), norm.bias.double() + mean, mean, variance)])
