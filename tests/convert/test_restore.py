"""``drivenet import --from drivenet``: an ONNX becomes a checkpoint that computes the same and can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
pytest.importorskip("onnx", reason="onnx (extra [train]) is not installed")

from click.testing import CliRunner  # noqa: E402
from torch import nn  # noqa: E402

from drivenet.cli.import_ import import_  # noqa: E402
from drivenet.data.pictures import synthetic_pictures  # noqa: E402
from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import UsageError  # noqa: E402
from drivenet.export.int8 import quantise  # noqa: E402
from drivenet.export.onnx import export_checkpoint, export_onnx  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.models import checkpoint, create  # noqa: E402
from drivenet.modelspec import LabelsSpec, ModelSpec  # noqa: E402
from drivenet.prepare import prepare  # noqa: E402
from drivenet.training.assemble import prepare_run  # noqa: E402
from drivenet.training.settings import TrainSettings  # noqa: E402

SIZE = (64, 96)
OPTIONS: dict[str, Any] = {"width": 0.25, "semantic": 0.5, "head": 16}


def trained(architecture: str = "bisenetv2", options: dict[str, Any] | None = None) -> nn.Module:
    """A network whose batch norms have something to fold."""
    torch.manual_seed(0)
    network = create(architecture, len(CAMVID), OPTIONS if options is None else options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5), (module.bias, -0.3, 0.3), (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 2.0),
            ):  # fmt: skip
                nn.init.uniform_(tensor, low, high)
    return network.eval()


def exported(folder: Path, network: nn.Module, architecture: str = "bisenetv2", **training: Any) -> Path:
    known = {"name": "model", "architecture": architecture, "labels": LabelsSpec.of(CAMVID), "training": training}
    export_onnx(network, known, folder / "model.onnx", SIZE)
    return folder / "model.onnx"


def run(*arguments: object) -> None:
    CliRunner().invoke(import_, [str(a) for a in arguments], catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [("bisenetv2", OPTIONS), ("bisenetv2", {**OPTIONS, "early": 0.125, "variant": "coincheung"}), ("bisenetv1", {})],
)
def test_what_comes_back_computes_the_same(tmp_path: Path, architecture: str, options: dict[str, Any]) -> None:
    onnx = exported(tmp_path, trained(architecture, options), architecture, options=options)
    run(onnx, "--from", "drivenet", "--out", tmp_path / "back.pt")
    again = tmp_path / "again.onnx"
    export_checkpoint(tmp_path / "back.pt", again)
    one, two = open_engine(onnx, "onnxruntime"), open_engine(again, "onnxruntime")
    pictures = [prepare(p, SIZE) for p in synthetic_pictures((90, 160))]
    assert len({int(i) for p in pictures for i in np.unique(one.infer(p))}) > 1
    assert np.mean([one.infer(p) == two.infer(p) for p in pictures]) > 0.999
    assert two.spec.training == one.spec.training


def test_it_comes_back_without_a_head_for_things_that_was_trained_with_it(tmp_path: Path) -> None:
    options = {"width": 16, "head": 16}
    joint = trained("efficientnet_fpn", {**options, "things": 16})
    onnx = exported(tmp_path, joint, "efficientnet_fpn", options={**options, "things": 16})
    assert "things" in ModelSpec.from_json(onnx.with_suffix(".json").read_text(), "beside").training
    run(onnx, "--from", "drivenet", "--out", tmp_path / "back.pt")
    assert checkpoint.load(tmp_path / "back.pt")["settings"]["model"]["options"] == options
    spec = export_checkpoint(tmp_path / "back.pt", tmp_path / "again.onnx")
    assert (spec.things, spec.training["options"], "things" in spec.training) == (None, options, False)
    one, two = open_engine(onnx, "onnxruntime"), open_engine(tmp_path / "again.onnx", "onnxruntime")
    pictures = [prepare(p, SIZE) for p in synthetic_pictures((90, 160))]
    assert np.mean([one.infer(p) == two.infer(p) for p in pictures]) > 0.999


def test_its_batch_norms_know_the_pictures_again(tmp_path: Path) -> None:
    """In training mode, where batches give the statistics, the network is nearly what it is in eval mode."""
    onnx = exported(tmp_path, trained(), options=OPTIONS)
    run(onnx, "--from", "drivenet", "--out", tmp_path / "back.pt")
    network = create("bisenetv2", len(CAMVID), OPTIONS)
    network.load_state_dict(checkpoint.load(tmp_path / "back.pt")["network"])
    first = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    assert first.running_var is not None
    torch.testing.assert_close(first.weight.detach(), (first.running_var + first.eps).sqrt())
    assert (first.running_mean != 0).all()


def test_a_run_starts_from_it(tmp_path: Path) -> None:
    onnx = exported(tmp_path, trained(), options=OPTIONS)
    run(onnx, "--from", "drivenet", "--out", tmp_path / "back.pt")
    settings = TrainSettings.model_validate(
        {
            "name": "tiny", "iterations": 1, "batch": 2, "input": SIZE, "augment": {"crop": SIZE},
            "labels": "camvid", "data": [{"dataset": "synthetic", "frames": 4}],
            "model": {"architecture": "bisenetv2", "options": OPTIONS, "start": str(tmp_path / "back.pt")},
        }
    )  # fmt: skip
    trainer = prepare_run(settings, None, tmp_path / "run", "cpu")
    assert trainer.lineage["start"]["name"].endswith("/back")
    before = checkpoint.load(tmp_path / "back.pt")["network"]
    deployed = {k: v for k, v in trainer.network.state_dict().items() if not k.startswith("auxiliary")}
    torch.testing.assert_close(deployed, {k: before[k] for k in deployed})
    assert np.isfinite(trainer.run().loss)


def test_the_options_may_come_from_the_training_settings(tmp_path: Path) -> None:
    onnx = exported(tmp_path, trained())
    with pytest.raises(UsageError, match=r"does not tell the options of its network.*--config"):
        run(onnx, "--from", "drivenet", "--out", tmp_path / "back.pt")
    yaml = "name: x\nmodel: {architecture: bisenetv2, options: {width: 0.25, semantic: 0.5, head: 16}}\niterations: 1\n"
    yaml += "data: [{dataset: synthetic}]\n"
    (tmp_path / "run.yaml").write_text(yaml)
    run(onnx, "--from", "drivenet", "--config", tmp_path / "run.yaml", "--out", tmp_path / "back.pt")
    assert checkpoint.load(tmp_path / "back.pt")["settings"]["model"]["options"] == OPTIONS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**OPTIONS, "head": 24}, "head.0.0 is 16x.*expected 24x"),
        ({**OPTIONS, "width": 0.5}, "in one of the two alone"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    onnx = exported(tmp_path, trained(), options=options)
    with pytest.raises(UsageError, match=message):
        run(onnx, "--from", "drivenet", "--out", tmp_path / "back.pt")
    assert not (tmp_path / "back.pt").exists()


def test_what_cannot_be_restored_is_refused(tmp_path: Path) -> None:
    onnx = exported(tmp_path, trained(), options=OPTIONS)
    quantise(onnx, tmp_path / "int8.onnx", synthetic_pictures((90, 160))[:2])
    with pytest.raises(UsageError, match=r"int8\.onnx is int8"):
        run(tmp_path / "int8.onnx", "--from", "drivenet", "--out", tmp_path / "back.pt")
    with pytest.raises(UsageError, match=r"ends in \.pt"):
        run(onnx, "--from", "drivenet", "--out", tmp_path / "back.onnx")
    with pytest.raises(UsageError, match=r"--calibration with .*; expected --from drivenet"):
        run(onnx, "--from", "coincheung-bisenetv2", "--out", tmp_path / "x.pt", "--calibration", tmp_path)
