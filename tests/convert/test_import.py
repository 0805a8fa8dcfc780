"""``drivenet import``: the deployed ONNX applies the publisher's preprocessing and carries its labels."""

from __future__ import annotations

import json
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
pytest.importorskip("onnx", reason="onnx (extra [train]) is not installed")

from click.testing import CliRunner  # noqa: E402

from drivenet.cli.import_ import import_  # noqa: E402
from drivenet.convert.publishers import PUBLISHERS, import_checkpoint, publisher_key  # noqa: E402
from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import UsageError  # noqa: E402
from drivenet.models import checkpoint, create  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402

LRASPP = "torchvision-lraspp_mobilenet_v3_large"
V2 = "coincheung-bisenetv2"


def published(folder: Path, publisher: str) -> Path:
    """A publisher's file with random weights."""
    known = PUBLISHERS[publisher]
    torch.manual_seed(0)
    network = create(known.architecture, len(known.labels), known.options)
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value.copy_(torch.from_numpy(np.random.default_rng(zlib.crc32(key.encode())).normal(0, 0.1, value.shape)))
    state = {publisher_key(k, known.rules): v for k, v in network.state_dict().items() if "auxiliary" not in k}
    torch.save(state, folder / "model.pth")
    return folder / "model.pth"


def run(*arguments: object) -> None:
    CliRunner().invoke(import_, [str(a) for a in arguments], catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize("publisher", [V2, LRASPP])
def test_the_onnx_sees_what_the_publisher_would(tmp_path: Path, publisher: str) -> None:
    """RGB, divided by 255, less the publisher's mean, through the mapped network, enlarged, argmax."""
    if publisher == LRASPP and find_spec("torchvision") is None:
        pytest.skip("torchvision (extra [train]) is not installed")
    source = published(tmp_path, publisher)
    run(source, "--from", publisher, "--out", tmp_path / "model.onnx", "--size", "96x64", "--tail", "full")
    network, spec = import_checkpoint(source, publisher)
    picture = SyntheticDrive(96, 64, seed=1).render(0)[0]
    rgb = (picture[..., ::-1] / 255 - np.array(spec["mean"])) / np.array(spec["std"])
    x = torch.from_numpy(rgb.astype(np.float32).transpose(2, 0, 1))[None]
    with torch.no_grad():
        logits = torch.nn.functional.interpolate(network(x), (64, 96), mode="bilinear", align_corners=False)
    engine = open_engine(tmp_path / "model.onnx")
    assert np.mean(engine.infer(picture) == logits[0].argmax(0).numpy()) > 0.998
    assert engine.spec.label_set == PUBLISHERS[publisher].labels
    assert engine.spec.mean == spec["mean"]
    assert json.loads((tmp_path / "model.json").read_text())["architecture"] == PUBLISHERS[publisher].architecture


def test_a_checkpoint_holds_what_belongs_to_it(tmp_path: Path) -> None:
    run(published(tmp_path, V2), "--from", V2, "--out", tmp_path / "model.pt")
    state = checkpoint.load(tmp_path / "model.pt")
    assert state["labels"] == "cityscapes"
    assert tuple(state["spec"]["mean"]) == (0.3257, 0.3690, 0.3223)
    model = state["settings"]["model"]
    create(model["architecture"], 19, model["options"]).load_state_dict(state["network"])


@pytest.mark.parametrize(
    ("out", "size", "message"),
    [
        ("model.pth", "96x64", "ends in .onnx or .pt"),
        ("model.onnx", "96x60", "use 96x64"),
        ("model.pt", "x", "WIDTHxHEIGHT"),
        ("model.onnx", "64x96", "did you mean 96x64"),
    ],
)
def test_bad_arguments_leave_nothing(tmp_path: Path, out: str, size: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "missing.pth", "--from", V2, "--out", tmp_path / "new" / out, "--size", size)
    assert list(tmp_path.iterdir()) == []
