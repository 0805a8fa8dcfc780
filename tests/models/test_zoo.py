"""What every architecture has in common: logits at its stride, trainable, exportable tails, one size rule."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tensorrt_real import MISSING, compiled

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from drivenet.errors import UsageError  # noqa: E402
from drivenet.export.int8 import quantise  # noqa: E402
from drivenet.export.onnx import export_onnx  # noqa: E402
from drivenet.labels import CAMVID, LabelSet  # noqa: E402
from drivenet.models import ARCHITECTURES, create  # noqa: E402
from drivenet.models.deployed import Deployed  # noqa: E402
from drivenet.modelspec import TAILS, LabelsSpec  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from drivenet.training.loss import SegmentationLoss  # noqa: E402

FIVE = LabelSet("five", CAMVID.classes[:5], CAMVID.palette[:5], {c: CAMVID.groups[c] for c in CAMVID.classes[:5]})

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "bisenetv1": ("bisenetv1", {"width": 0.25, "head": 16}),
    "bisenetv2": ("bisenetv2", {"width": 0.25, "semantic": 0.5, "head": 16}),
    "bisenetv2 as coincheung": ("bisenetv2", {"width": 0.25, "semantic": 0.5, "head": 16, "variant": "coincheung"}),
    "deeplabv3": ("deeplabv3plus_mobilenetv3", {"width": 16, "decoder": False}),
    "deeplabv3plus": ("deeplabv3plus_mobilenetv3", {"width": 16}),
    "efficientnet_fpn": ("efficientnet_fpn", {"width": 16, "head": 16, "auxiliary": True}),
    "lraspp": ("lraspp_mobilenetv3", {"width": 16}),
}


@pytest.fixture(params=SMALL, scope="module")
def network(request: pytest.FixtureRequest) -> torch.nn.Module:
    if request.param in ("deeplabv3", "deeplabv3plus", "lraspp") and find_spec("torchvision") is None:
        pytest.skip("torchvision (extra [train]) is not installed")
    torch.manual_seed(0)
    return create(SMALL[request.param][0], 5, SMALL[request.param][1])


def test_every_architecture_is_tried() -> None:
    assert {a for a, _ in SMALL.values()} == set(ARCHITECTURES)


def test_logits_lie_at_the_stride(network: torch.nn.Module) -> None:
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 3, 64, 96)).shape == (1, 5, 64 // network.stride, 96 // network.stride)


def test_every_tail_has_its_size(network: torch.nn.Module) -> None:
    frame = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    for tail, share in TAILS.items():
        with torch.no_grad():
            ids = Deployed(network, tail).eval()(frame)
        assert (tuple(ids.shape), ids.dtype) == ((1, 64 // share, 96 // share), torch.uint8)


def test_tensorrt_compiles_every_tail_of_it_and_its_int8(network: torch.nn.Module, tmp_path: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason=MISSING)
    spec = {"architecture": "of the zoo", "labels": LabelsSpec.of(FIVE)}
    for tail, argmax in (("full", "topk"), ("eighth", "select"), ("half", "select")):
        file = tmp_path / f"{tail}.onnx"
        export_onnx(network.eval(), {**spec, "name": tail}, file, (64, 96), tail)
        product, plan = compiled(trt, file, "fp16", argmax, tmp_path)
        assert product.recorded["argmax"] == argmax
        assert plan
    pictures = [SyntheticDrive(96, 64, seed=5).render(60 * i)[0] for i in range(2)]
    quantise(file, tmp_path / "half-int8.onnx", pictures)
    assert compiled(trt, tmp_path / "half-int8.onnx", "int8", argmax, tmp_path)[1]


def test_every_parameter_learns(network: torch.nn.Module) -> None:
    ids = torch.randint(0, 5, (2, 64, 96), dtype=torch.uint8)
    loss = SegmentationLoss(torch.ones(5), 0.5, 0.4)(network.train()(torch.randn(2, 3, 64, 96)), ids)
    network.zero_grad()
    loss.backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


def test_other_sizes_are_refused(network: torch.nn.Module) -> None:
    with pytest.raises(UsageError, match="use 96x64"):
        network.eval()(torch.zeros(1, 3, 60, 100))


def test_a_variant_is_chosen_by_name() -> None:
    with pytest.raises(UsageError, match="did you mean coincheung"):
        create("bisenetv2", 5, {"variant": "coincheun"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"auxiliary": "no"}, r"options\.auxiliary: 'no'; expected true or false"),
        ({"things": "32"}, r"options\.things: '32'; expected a value such as 0"),
        ({"width": 96.5}, r"options \{'width': 96.5\} for efficientnet_fpn: "),
        ({"things": -1}, r"options \{'things': -1\} for efficientnet_fpn: "),
        ({"thing": 32}, "unexpected keyword argument 'thing'"),
    ],
)
def test_options_that_make_no_network_are_told(options: dict[str, Any], said: str) -> None:
    """``no`` is a text in YAML, and would be true."""
    with pytest.raises(UsageError, match=said):
        create("efficientnet_fpn", 5, options)
