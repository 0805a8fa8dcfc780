"""Networks by name. Importing this package needs torch (extra ``[train]``)."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drivenet.errors import UsageError, nearest

if TYPE_CHECKING:
    from torch import nn

#: Architecture name to ``module:class``.
ARCHITECTURES = {
    "bisenetv1": "drivenet.models.bisenetv1:BiSeNetV1",
    "bisenetv2": "drivenet.models.bisenetv2:BiSeNetV2",
    "deeplabv3plus_mobilenetv3": "drivenet.models.deeplabv3plus:DeepLabV3Plus",
    "efficientnet_fpn": "drivenet.models.efficientnet_fpn:EfficientNetFPN",
    "lraspp_mobilenetv3": "drivenet.models.lraspp:LRASPP",
}


def create(architecture: str, classes: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """A freshly initialised network: normalised RGB in, logits at 1/``network.stride`` of its size out.

    In training mode it gives a list: the logits, then those of its auxiliary heads. One with a head for single things,
    which is its attribute ``things``, gives that head's :class:`~drivenet.models.things_head.Maps` last.

    Args:
        architecture: one of :data:`ARCHITECTURES`.
        classes: channels of the logits.
        options: further constructor arguments, as ``model:`` of a training YAML gives them.

    Raises:
        UsageError: for an unknown architecture or option.
    """
    if architecture not in ARCHITECTURES:
        raise UsageError(f"no architecture {architecture!r}", cure=nearest(architecture, ARCHITECTURES))
    module, cls = ARCHITECTURES[architecture].split(":")
    make, given = getattr(importlib.import_module(module), cls), dict(options or {})
    _check_texts(make, given)
    try:
        network: nn.Module = make(classes, **given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"options {given} for {architecture}: {error}") from error
    return network


def _check_texts(make: type[nn.Module], options: Mapping[str, Any]) -> None:
    """UsageError for a text in place of a number, or of true and false, as ``no``, which would be true."""
    for name, parameter in inspect.signature(make).parameters.items():
        usual = parameter.default
        if isinstance(options.get(name), str) and not isinstance(usual, str):
            expected = "true or false" if isinstance(usual, bool) else f"a value such as {usual}"
            raise UsageError(f"options.{name}: {options[name]!r}", expected)
