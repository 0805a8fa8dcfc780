"""The deployed graph against the network it was exported from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
onnx = pytest.importorskip("onnx", reason="onnx (extra [train]) is not installed")

from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import SinkError, UsageError  # noqa: E402
from drivenet.export.onnx import DATA_LICENCES, export_checkpoint, export_onnx  # noqa: E402
from drivenet.export.trace import OPSET  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.models import checkpoint, create  # noqa: E402
from drivenet.models.deployed import Deployed, normalise  # noqa: E402
from drivenet.modelspec import METADATA_KEY, LabelsSpec, ModelSpec  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402

SIZE = (96, 160)
OPTIONS = {"width": 0.25, "semantic": 0.5, "head": 16}
SPEC = {"name": "tiny", "architecture": "bisenetv2", "labels": LabelsSpec.of(CAMVID)}


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return create("bisenetv2", len(CAMVID), OPTIONS).eval()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return SyntheticDrive(SIZE[1], SIZE[0], seed=1).render(0)[0]


@pytest.mark.parametrize(("tail", "share"), [("full", 1), ("half", 2), ("eighth", 8)])
def test_the_onnx_gives_the_ids_of_the_network(
    tmp_path: Path, network: torch.nn.Module, picture: np.ndarray, tail: str, share: int
) -> None:
    """Through the real engine, all but rounding ties; the spec inside equals the one beside."""
    out = tmp_path / "tiny.onnx"
    spec = export_onnx(network, SPEC, out, SIZE, tail)  # type: ignore[arg-type]
    assert spec.output == (SIZE[0] // share, SIZE[1] // share)
    with torch.no_grad():
        expected = Deployed(network, tail).eval()(torch.from_numpy(picture)[None])[0].numpy()  # type: ignore[arg-type]
    engine = open_engine(out)
    assert np.mean(engine.infer(picture) == expected) > 0.999
    model = onnx.load(out)
    assert model.opset_import[0].version == OPSET
    inside = next(p.value for p in model.metadata_props if p.key == METADATA_KEY)
    assert ModelSpec.from_json(inside, "inside") == spec
    assert json.loads(out.with_suffix(".json").read_text())["tail"] == tail


def test_normalisation_in_the_graph_is_that_of_training(network: torch.nn.Module, picture: np.ndarray) -> None:
    """The same picture through both front ends gives the same logits: no preprocessing is written down twice."""
    frame = torch.from_numpy(picture)[None]
    with torch.no_grad():
        deployed = Deployed(network, "eighth").eval().logits(frame)
        trained = network(normalise(frame.permute(0, 3, 1, 2)))
    assert torch.allclose(deployed, trained, atol=1e-4)


def test_uint8_is_only_at_the_ends(tmp_path: Path, network: torch.nn.Module) -> None:
    """TensorRT 8's own parser reads it so: uint8 to float first of all, float to uint8 last of all."""
    out = tmp_path / "tiny.onnx"
    export_onnx(network, SPEC, out, SIZE)
    graph = onnx.shape_inference.infer_shapes(onnx.load(out)).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    assert {name for name, kind in types.items() if kind == onnx.TensorProto.UINT8} == {"frame", "classes"}
    assert [node.op_type for node in graph.node if "frame" in node.input] == ["Cast"]
    (last,) = [node for node in graph.node if "classes" in node.output]
    assert (last.op_type, types[last.input[0]]) == ("Cast", onnx.TensorProto.FLOAT)


def test_ids_are_the_same_wherever_the_casts_stand(network: torch.nn.Module, picture: np.ndarray) -> None:
    """Graphs exported by earlier versions transposed uint8 and cast int64; what they compute is the same."""
    frame, deployed = torch.from_numpy(picture)[None], Deployed(network, "half").eval()
    with torch.no_grad():
        x = frame.permute(0, 3, 1, 2).float() * deployed.scale + deployed.offset
        logits = torch.nn.functional.interpolate(
            network(x.flip(1)), scale_factor=deployed.factor, mode="bilinear", align_corners=False
        )
        former = logits.argmax(1).to(torch.uint8)
        assert torch.equal(deployed(frame), former)


def test_a_checkpoint_tells_what_it_was_trained_on(tmp_path: Path, network: torch.nn.Module) -> None:
    file = tmp_path / "best.pt"
    settings = {
        "name": "tiny run", "model": {"architecture": "bisenetv2", "options": OPTIONS}, "input": list(SIZE),
        "data": [
            {"dataset": "camvid", "share": 4.0, "splits": ["train", "val"], "name": None, "labels": None},
            {"dataset": "folder", "share": 1.0, "splits": ["train"], "name": None, "labels": "iddlite"},
            {"dataset": "synthetic", "share": 0.0, "splits": ["train"], "name": None, "labels": None},
        ],
        "batch": 4, "seed": 7,
    }  # fmt: skip
    progress = {"minutes": 12.34, "iteration": 99, "best": 0.51234}
    state = {"network": network.state_dict(), "settings": settings, "labels": "camvid", "progress": progress}
    checkpoint.save(file, state)
    spec = export_checkpoint(file, tmp_path / "model.onnx", machine="a desk")
    assert (spec.input, spec.val_miou, spec.trained_on) == (
        SIZE,
        None,  # a mean of several data sets is no score on any of them
        "camvid train+val (80%) + iddlite train (20%)",
    )
    assert spec.training == {
        "minutes": 12.3, "iterations": 99, "batch": 4, "seed": 7, "machine": "a desk", "options": OPTIONS,
    }  # fmt: skip
    assert spec.data_licence == "; ".join(DATA_LICENCES[name] for name in ("camvid", "iddlite"))
    older = {**settings, "model": {**settings["model"], "start": "runs/lean/best.pt"}}
    checkpoint.save(file, {**state, "settings": older})
    found = export_checkpoint(file, tmp_path / "model.onnx").training
    assert found["start"] == {"name": "lean/best"}
    checkpoint.save(file, {**state, "settings": older, "lineage": {"teacher": {"name": "large/best"}}})
    found = export_checkpoint(file, tmp_path / "model.onnx").training
    assert found["teacher"] == {"name": "large/best"}
    assert "start" not in found
    assert spec.params == sum(p.numel() for n, p in network.named_parameters() if "auxiliary" not in n)


def test_a_checkpoint_that_is_not_what_its_settings_name(tmp_path: Path, network: torch.nn.Module) -> None:
    """Weights of another network, and a head for single things, whose settings name none."""
    for name, settings in (
        ("other.pt", {"model": {"architecture": "bisenetv2", "options": {**OPTIONS, "head": 32}}}),
        ("head.pt", {"trunk": "ab" * 32, "width": 32}),
    ):
        file = tmp_path / name
        checkpoint.save(file, {"network": network.state_dict(), "settings": settings, "labels": "camvid"})
        with pytest.raises(UsageError, match=f"{name} does not hold the weights of the network that its settings name"):
            export_checkpoint(file, tmp_path / "out.onnx")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["head.pt", "other.pt"]


def test_impossible_exports_leave_nothing_behind(tmp_path: Path, network: torch.nn.Module) -> None:
    with pytest.raises(UsageError, match="use 160x96"):
        export_onnx(network, SPEC, tmp_path / "a.onnx", (100, 160))
    with pytest.raises(UsageError, match=r"\.onnx"):
        export_onnx(network, SPEC, tmp_path / "a.pt", SIZE)
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot write"):
        export_onnx(network, SPEC, tmp_path / "file" / "a.onnx", SIZE)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
