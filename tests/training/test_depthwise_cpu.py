"""The quick gradients of depth-wise convolutions are PyTorch's."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from drivenet.training.depthwise_cpu import DepthWise, quick_depthwise  # noqa: E402

CASES = [(3, 2, (8, 12)), (5, 1, (8, 12)), (5, 2, (8, 12)), (5, 2, (2, 2)), (5, 1, (6, 4))]


def convolution(kernel: int, stride: int, channels: int = 6) -> torch.nn.Conv2d:
    torch.manual_seed(0)
    return torch.nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)


def gradients(module: torch.nn.Module, x: torch.Tensor, bf16: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    module.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        out = module(x)
    torch.manual_seed(1)
    out.float().mul(torch.randn(out.shape)).sum().backward()
    assert x.grad is not None
    return out.detach().float(), x.grad, next(module.parameters()).grad.clone()


@pytest.mark.parametrize(("kernel", "stride", "size"), CASES)
def test_in_double_precision_they_are_equal(kernel: int, stride: int, size: tuple[int, int]) -> None:
    module = convolution(kernel, stride).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    wanted = module(x)
    seed = torch.randn_like(wanted)
    expected = torch.autograd.grad(wanted, (x, module.weight), seed)
    out = DepthWise.apply(x, module.weight, stride)
    for mine, theirs in zip(torch.autograd.grad(out, (x, module.weight), seed), expected, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("kernel", "stride", "size"), CASES)
def test_in_bfloat16_they_differ_by_rounding(kernel: int, stride: int, size: tuple[int, int]) -> None:
    module, x = convolution(kernel, stride), torch.randn(2, 6, *size).contiguous(memory_format=torch.channels_last)
    expected = gradients(module, x, bf16=False)
    quick_depthwise(module)
    for mine, theirs in zip(gradients(module, x, bf16=True), expected, strict=True):
        assert (mine - theirs).norm() < 0.02 * theirs.norm()


def test_it_is_taken_in_training_in_bfloat16_on_even_sizes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = list[int]()
    apply = DepthWise.apply
    monkeypatch.setattr(DepthWise, "apply", lambda *given: taken.append(given[2]) or apply(*given))
    module, even = convolution(5, 2), torch.randn(1, 6, 8, 8)
    quick_depthwise(module)
    gradients(module, even, bf16=False)
    gradients(module, torch.randn(1, 6, 7, 8), bf16=True)
    gradients(module.eval(), even, bf16=True)
    assert taken == []
    gradients(module.train(), even, bf16=True)
    assert taken == [2]


@pytest.mark.parametrize(
    "other",
    [
        torch.nn.Conv2d(4, 4, 3, 1, 1, groups=4, bias=False), torch.nn.Conv2d(4, 4, 5, 1, 2, bias=False),
        torch.nn.Conv2d(4, 4, 5, 1, 2, groups=4), torch.nn.Conv2d(4, 8, 5, 1, 2, groups=4, bias=False),
        torch.nn.Conv2d(4, 4, 5, 1, 4, groups=4, bias=False, dilation=2),
    ],
)  # fmt: skip
def test_other_convolutions_stay_as_they_are(other: torch.nn.Conv2d) -> None:
    quick_depthwise(other)
    assert "forward" not in vars(other)
