"""Published checkpoints: the publishers' own outputs from weights that anyone can regenerate, and clear refusals.

``tests/fixtures/checkpoints`` holds CoinCheung/BiSeNet's names and shapes (``*.keys.json``, training heads
included) and every eighth logit of that repository's own networks, with weights and input made by the rules below.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from drivenet.convert.publishers import PUBLISHERS, import_checkpoint  # noqa: E402
from drivenet.errors import UsageError  # noqa: E402
from drivenet.labels import CITYSCAPES, VOC  # noqa: E402
from drivenet.models.torchvision_cpu import import_torchvision  # noqa: E402
from tests.convert.published import FIXTURES, published, weight  # noqa: E402

COINCHEUNG = ["coincheung-bisenetv1", "coincheung-bisenetv2"]
TORCHVISION = ["deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]


def logits_of(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """At the size of the input, as the publishers enlarge them."""
    with torch.no_grad():
        return torch.nn.functional.interpolate(network(x), x.shape[2:], mode="bilinear", align_corners=False)


@pytest.mark.parametrize("publisher", COINCHEUNG)
def test_coincheung_gives_the_publishers_output(tmp_path: Path, publisher: str) -> None:
    torch.save(published(publisher), tmp_path / "model.pth")
    network, spec = import_checkpoint(tmp_path / "model.pth", publisher)
    x = np.random.default_rng(0).uniform(-2, 2, (1, 3, 128, 256)).astype(np.float32)
    logits = logits_of(network, torch.from_numpy(x)).numpy()
    golden = np.load(FIXTURES / f"{publisher}.golden.npz")
    spread = float(golden["std"].mean())
    assert np.abs(logits[:, :, ::8, ::8] - golden["logits_every_8th"]).max() < 1e-4 * spread
    assert np.abs(logits.mean((0, 2, 3)) - golden["mean"]).max() < 1e-4 * spread
    assert np.abs(logits.std((0, 2, 3)) - golden["std"]).max() < 1e-4 * spread
    assert (spec["mean"], spec["std"]) == ((0.3257, 0.3690, 0.3223), (0.2112, 0.2148, 0.2115))
    assert spec["labels"].label_set() == CITYSCAPES


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_gives_its_own_output(tmp_path: Path, name: str) -> None:
    if find_spec("torchvision") is None:
        pytest.skip("torchvision (extra [train]) is not installed")
    import_torchvision()
    from torchvision.models import segmentation

    original = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21).eval()
    original.load_state_dict({k: weight(k, list(v.shape)) for k, v in original.state_dict().items()})
    torch.save(original.state_dict(), tmp_path / "model.pth")
    network, spec = import_checkpoint(tmp_path / "model.pth", f"torchvision-{name}")
    x = torch.from_numpy(np.random.default_rng(0).uniform(-2, 2, (1, 3, 96, 160)).astype(np.float32))
    with torch.no_grad():
        expected = original(x)["out"]
    assert (logits_of(network, x) - expected).abs().max() < 1e-4 * expected.std()
    assert spec["labels"].label_set() == VOC
    assert spec["mean"] == (0.485, 0.456, 0.406)


def test_wrappers_and_missing_counters_and_training_heads_are_no_matter(tmp_path: Path) -> None:
    whole = published("coincheung-bisenetv2")
    bare = {k: v for k, v in whole.items() if not k.startswith("aux") and not k.endswith("tracked")}
    torch.save({"state_dict": {f"module.{k}": v for k, v in bare.items()}}, tmp_path / "wrapped.pth")
    network, _ = import_checkpoint(tmp_path / "wrapped.pth", "coincheung-bisenetv2")
    assert torch.equal(network.state_dict()["detail.0.0.weight"], whole["detail.S1.0.conv.weight"])


def test_missing_keys_are_named(tmp_path: Path) -> None:
    state = published("coincheung-bisenetv1")
    for key in ("sp.conv2.conv.weight", "ffm.bn.bias"):
        del state[key]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(UsageError, match=r"lacks sp\.conv2\.conv\.weight, ffm\.bn\.bias; expected all"):
        import_checkpoint(tmp_path / "cut.pth", "coincheung-bisenetv1")


def test_another_publishers_file_is_refused_by_its_keys(tmp_path: Path) -> None:
    torch.save(published("coincheung-bisenetv1"), tmp_path / "v1.pth")
    with pytest.raises(UsageError, match=r"lacks detail\.S1\.0\.conv\.weight, .* and \d+ more; .*check --from"):
        import_checkpoint(tmp_path / "v1.pth", "coincheung-bisenetv2")


def test_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    state = published("coincheung-bisenetv1")
    state["conv_out.conv_out.weight"] = torch.zeros(171, 256, 1, 1)
    torch.save(state, tmp_path / "coco.pth")
    with pytest.raises(UsageError, match=r"conv_out\.conv_out\.weight \[171, 256, 1, 1\] instead of \[19, 256, 1, 1\]"):
        import_checkpoint(tmp_path / "coco.pth", "coincheung-bisenetv1")


def test_unexpected_keys_are_named(tmp_path: Path) -> None:
    torch.save({**published("coincheung-bisenetv1"), "extra.weight": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(UsageError, match=r"has unexpected extra\.weight"):
        import_checkpoint(tmp_path / "more.pth", "coincheung-bisenetv1")


@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    file = tmp_path / "model.pth"
    torch.save({"a": torch.zeros(1000)}, file)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UsageError, match=r"cannot read checkpoint .*; expected the state dict of coincheung-bisenetv1"):
        import_checkpoint(file, "coincheung-bisenetv1")


def test_publishers_are_chosen_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean coincheung-bisenetv2"):
        import_checkpoint(tmp_path / "x.pth", "coincheung-bisenetv3")
    assert set(PUBLISHERS) == {*COINCHEUNG, *(f"torchvision-{n}" for n in TORCHVISION)}
