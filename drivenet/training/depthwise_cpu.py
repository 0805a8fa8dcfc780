"""Gradients of depth-wise convolutions in bfloat16 on CPUs, by kernels that are quick there.

oneDNN, as PyTorch 2.13 has it, has no optimised bfloat16 kernel for two of them: the input's at stride 2, and the
weights' of 5x5. Both can be had from kernels that it has. Values are PyTorch's but for rounding.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


def quick_depthwise(network: nn.Module) -> None:
    """Let the depth-wise convolutions of a network take their gradients the quick way, in place.

    That is: in training, on a CPU, in bfloat16. All else computes as before.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _covered(module):
            module.forward = partial(_forward, module)  # type: ignore[method-assign]


def _covered(module: nn.Conv2d) -> bool:
    """Whether it is depth-wise, padded to keep the size, and PyTorch's own way is slow: 5x5, or 3x3 at stride 2."""
    kernel, stride = module.kernel_size, module.stride
    return (
        1 < module.in_channels == module.out_channels == module.groups
        and (kernel, stride) in {((3, 3), (2, 2)), ((5, 5), (1, 1)), ((5, 5), (2, 2))}
        and module.padding == (kernel[0] // 2, kernel[0] // 2)
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and module.bias is None
    )


def _forward(module: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """The forward of a covered convolution."""
    bf16 = x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    even = not (x.shape[2] % 2 or x.shape[3] % 2)
    if not (module.training and torch.is_grad_enabled() and x.device.type == "cpu" and bf16 and even):
        return nn.Conv2d.forward(module, x)
    out: torch.Tensor = DepthWise.apply(  # type: ignore[no-untyped-call]
        x.bfloat16(), module.weight.bfloat16(), module.stride[0]
    )
    return out


class DepthWise(torch.autograd.Function):
    """Convolution of (N, C, H, W) with (C, 1, k, k), k odd, H and W even, padded by k // 2."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
        """Compute (N, C, H / stride, W / stride)."""
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, weight.shape[2] // 2, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        """Compute the gradients of input and weight."""
        x, weight = ctx.saved_tensors
        of_x, of_weight, _ = ctx.needs_input_grad
        dx = _of_input(grad, x, weight, ctx.stride) if of_x else None
        return dx, _of_weight(grad, x, weight, ctx.stride) if of_weight else None, None


def _of_input(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
    """At stride 2 the convolution of the gradient, with zeros between its values, with the turned kernel."""
    if stride == 1:
        return _gradient(0, grad, x, weight, 1, weight.shape[2] // 2)
    spread = torch.zeros_like(x)
    spread[:, :, ::2, ::2] = grad
    return F.conv2d(spread, weight.flip(2, 3), None, 1, weight.shape[2] // 2, 1, len(weight))


def _of_weight(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
    """Of 5x5 by its four 3x3 corners, which share the middle row and column."""
    if weight.shape[2] == 3:
        return _gradient(1, grad, x, weight, stride, 1)
    out, (h, w) = torch.empty_like(weight), x.shape[2:]
    padded = F.pad(x, (2, 2, 2, 2))
    for row in (0, 2):
        for column in (0, 2):
            part = padded[:, :, row : row + h + 2, column : column + w + 2]
            part = part.contiguous(memory_format=torch.channels_last)
            corner = out[:, :, row : row + 3, column : column + 3]
            corner.copy_(_gradient(1, grad, part, corner.contiguous(), stride, 0))
    return out


def _gradient(
    which: int, grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    """PyTorch's own: 0 of the input, 1 of the weight."""
    wanted = [which == 0, which == 1, False]
    steps, pads = [stride, stride], [padding, padding]
    gradients = torch.ops.aten.convolution_backward(
        grad, x, weight, None, steps, pads, [1, 1], False, [0, 0], len(weight), wanted
    )
    out: torch.Tensor = gradients[which]
    return out
