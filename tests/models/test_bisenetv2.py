"""BiSeNetV2: sizes in and out, the work it costs, and heads that exist in training only."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from drivenet.errors import UsageError  # noqa: E402
from drivenet.models import create  # noqa: E402

SMALL = {"width": 0.25, "semantic": 0.5, "head": 16}


@pytest.fixture(scope="module")
def small() -> torch.nn.Module:
    torch.manual_seed(0)
    return create("bisenetv2", 11, SMALL)


@pytest.mark.parametrize("size", [(32, 64), (64, 96), (96, 160)])
def test_logits_lie_at_an_eighth(small: torch.nn.Module, size: tuple[int, int]) -> None:
    with torch.no_grad():
        logits = small.eval()(torch.zeros(2, 3, *size))
    assert logits.shape == (2, 11, size[0] // 8, size[1] // 8)
    assert small.stride == 8


@pytest.mark.parametrize(("size", "good"), [((100, 64), "64x96"), ((10, 10), "32x32"), ((96, 500), "512x96")])
def test_a_size_it_cannot_take_names_the_one_to_use(small: torch.nn.Module, size: tuple[int, int], good: str) -> None:
    with pytest.raises(UsageError, match=f"input size {size[1]}x{size[0]}.*multiples of 32; use {good}$"):
        small.eval()(torch.zeros(1, 3, *size))


@pytest.mark.parametrize(("head", "gmac"), [(128, 16.0), (1024, 24.55)])
def test_the_work_is_that_of_the_paper(head: int, gmac: float) -> None:
    """Counted on the meta device, where no arithmetic is done."""
    with torch.device("meta"):
        network = create("bisenetv2", 19, {"head": head}).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, 512, 1024))
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.06)


def test_early_stages_of_their_own_width() -> None:
    half, early = (create("bisenetv2", 11, {"width": 0.5, **more}) for more in ({}, {"early": 0.25}))
    convs = [m for m in early.detail.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convs] == [16] * 5 + [64] * 3
    shapes = [{n: tuple(t.shape) for n, t in m.state_dict().items()} for m in (half, early)]
    differ = {n for n in shapes[0] if shapes[0][n] != shapes[1][n]}
    assert differ
    assert all(n.startswith("detail.") for n in differ)


def test_auxiliary_heads_speak_in_training_only(small: torch.nn.Module) -> None:
    x = torch.randn(2, 3, 64, 96)
    outputs = small.train()(x)
    assert [tuple(o.shape[1:]) for o in outputs] == [
        (11, 8, 12), (11, 16, 24), (11, 8, 12), (11, 4, 6), (11, 2, 3)
    ]  # fmt: skip
    assert isinstance(small.eval()(x), torch.Tensor)


def test_misspelt_names_are_told() -> None:
    with pytest.raises(UsageError, match="did you mean bisenetv2"):
        create("bisenetv3", 11)
    with pytest.raises(UsageError, match="heads"):
        create("bisenetv2", 11, {"heads": 3})
