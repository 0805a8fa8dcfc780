"""torchvision's backbones, also on a PyTorch whose build differs from torchvision's."""

from __future__ import annotations

import sys

import torch
from torch import nn

from drivenet.errors import UsageError

#: Keeps operator definitions alive for as long as the process.
_DEFINED: list[torch.library.Library] = []


def mobilenet_v3_large() -> nn.Sequential:
    """The 17 feature blocks of MobileNetV3-Large, dilated to an output stride of 16, freshly initialised.

    Block 3 ends at 1/4 of the input (24 channels), 6 at 1/8 (40), 16 at 1/16 (960).

    Raises:
        UsageError: without torchvision.
    """
    try:
        import_torchvision()
        from torchvision.models import mobilenet_v3_large as build
    except ModuleNotFoundError as error:
        raise UsageError(f"this architecture needs {error.name}", cure="pip install torchvision") from error
    features: nn.Sequential = build(weights=None, dilated=True).features
    return features


def import_torchvision() -> None:
    """Import torchvision; ModuleNotFoundError if there is none.

    PyPI's torchvision is built against PyPI's CUDA torch. Beside a CPU-only torch its compiled library does not
    load, and the import stops at the first operator it describes. Networks use none of those operators, so they
    are declared (not defined), and the import is tried again.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(schema)  # type: ignore[no-untyped-call]
        _DEFINED.append(library)
        import torchvision  # noqa: F401
