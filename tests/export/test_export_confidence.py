"""The second output of an exported graph: the softmax probability of the class, the ids untouched, int8 or not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
onnx = pytest.importorskip("onnx", reason="onnx (extra [train]) is not installed")

from click.testing import CliRunner  # noqa: E402
from onnx_models import palette_model, sure_model, sure_of  # noqa: E402

from drivenet.artefacts.passport import read_passport  # noqa: E402
from drivenet.build.build import build  # noqa: E402
from drivenet.build.request import BuildRequest  # noqa: E402
from drivenet.cli.export import export as command  # noqa: E402
from drivenet.convert.declaration import Declaration  # noqa: E402
from drivenet.convert.onnx_model import Request, convert_onnx  # noqa: E402
from drivenet.convert.reference import resize  # noqa: E402
from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import ModelSpecError, UsageError  # noqa: E402
from drivenet.export.confidence import add_confidence  # noqa: E402
from drivenet.export.int8 import quantise  # noqa: E402
from drivenet.export.int8_nodes import PARTS  # noqa: E402
from drivenet.export.onnx import export_onnx  # noqa: E402
from drivenet.export.trace import OPSET  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.models import checkpoint, create  # noqa: E402
from drivenet.models.deployed import Deployed  # noqa: E402
from drivenet.modelspec import METADATA_KEY, LabelsSpec, ModelSpec  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from tests.convert.foreign_models import Net  # noqa: E402

SIZE = (64, 96)
OPTIONS = {"width": 0.25, "semantic": 0.5, "head": 16}
SPEC = {"name": "tiny", "architecture": "bisenetv2", "labels": LabelsSpec.of(CAMVID), "val_miou": 0.5}
DRIVE = SyntheticDrive(96, 64, seed=5)
PICTURES = [DRIVE.render(60 * i)[0] for i in range(6)]


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """Random weights; the last ones larger, so that it is sure of some pixels and not of others."""
    torch.manual_seed(0)
    made = create("bisenetv2", len(CAMVID), OPTIONS).eval()
    with torch.no_grad():
        made.head[-1].weight *= 30
    return made


@pytest.fixture(scope="module")
def plain(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plain") / "tiny.onnx"
    export_onnx(network, SPEC, file, SIZE)
    return file


@pytest.fixture(scope="module")
def sure(plain: Path) -> Path:
    file = plain.with_name("sure.onnx")
    add_confidence(plain, file)
    return file


def confident(file: Path, image: np.ndarray, backend: str = "onnxruntime") -> tuple[np.ndarray, np.ndarray]:
    engine = open_engine(file, backend)
    ids, confidence = engine.infer_confident(image)
    engine.close()
    assert confidence is not None
    return ids, confidence


@pytest.mark.parametrize("tail", ["full", "half", "eighth"])
def test_it_is_the_softmax_of_the_networks_logits(network: torch.nn.Module, tmp_path: Path, tail: str) -> None:
    export_onnx(network, SPEC, tmp_path / "tiny.onnx", SIZE, tail)  # type: ignore[arg-type]
    add_confidence(tmp_path / "tiny.onnx", tmp_path / "sure.onnx")
    ids, confidence = confident(tmp_path / "sure.onnx", PICTURES[0])
    with torch.no_grad():
        logits = Deployed(network, tail).eval().logits(torch.from_numpy(PICTURES[0])[None])[0].double().numpy()  # type: ignore[arg-type]
    odds = np.exp(logits)
    expected = 255 * (odds / odds.sum(0)).max(0)
    assert np.abs(confidence - expected).max() < 0.6  # half of it is the rounding
    assert np.ptp(confidence) > 100
    np.testing.assert_array_equal(ids, open_engine(tmp_path / "tiny.onnx", "onnxruntime").infer(PICTURES[0]))


def test_high_scores_do_not_overflow(tmp_path: Path) -> None:
    """exp of these logits is infinite in float32."""
    file = sure_model(tmp_path, softness=1.0)
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    confidence = confident(file, image)[1]
    assert np.abs(confidence - 255 * sure_of(image, softness=1.0)).max() < 1.5
    assert confidence.max() == 255


def imported(file: Path) -> Path:
    """A file of another program, imported."""
    out = file.with_name(f"{file.stem}-ours.onnx")
    convert_onnx(Request(file, out, Declaration(), CAMVID), PICTURES, "the test")
    return out


@pytest.mark.parametrize("kind", ["Softmax", "Sigmoid"])
def test_scores_that_are_probabilities_are_taken_as_they_are(tmp_path: Path, kind: str) -> None:
    """Many exports end in a softmax: one more would make all classes look nearly alike."""
    net = Net(len(CAMVID)).add(kind, **({"axis": 1} if kind == "Softmax" else {}))
    file = net.write(tmp_path / "net.onnx")
    add_confidence(imported(file), tmp_path / "sure.onnx")
    image = PICTURES[0]
    found = confident(tmp_path / "sure.onnx", image)[1]
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    planes = (image[..., ::-1].transpose(2, 0, 1)[None] / 255).astype(np.float32)
    exact = resize(session.run(None, {"image": planes})[0][0], SIZE).max(0)
    np.testing.assert_allclose(found, 255 * exact, atol=0.6)
    assert found.max() > 200


def test_ids_that_are_resized_behind_the_argmax_have_no_confidence(tmp_path: Path) -> None:
    net = Net(len(CAMVID)).add("ArgMax", axis=1, keepdims=1).add("Cast", to=onnx.TensorProto.FLOAT)
    net.add("Resize", np.zeros(0, np.float32), np.array([1, 1, 4, 4], np.float32), mode="nearest")
    net.add("Cast", to=onnx.TensorProto.INT64)
    file = imported(net.write(tmp_path / "net.onnx", (net.end, onnx.TensorProto.INT64, 4)))
    told = r"gives ids \[1, 64, 96\] of an argmax over scores \[1, 11, 16, 24\]"
    with pytest.raises(UsageError, match=told):
        add_confidence(file, tmp_path / "sure.onnx")
    assert not (tmp_path / "sure.onnx").exists()


def test_the_spec_says_so_and_stays_the_same_otherwise(plain: Path, sure: Path) -> None:
    model = onnx.load(sure)
    inside = ModelSpec.from_json(next(p.value for p in model.metadata_props if p.key == METADATA_KEY), "inside")
    before = ModelSpec.from_json(plain.with_suffix(".json").read_text(), "before")
    assert inside == ModelSpec.from_json(sure.with_suffix(".json").read_text(), "beside")
    assert inside == before.model_copy(update={"name": "sure", "confidence": True})
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]


def test_uint8_is_only_at_the_ends(sure: Path) -> None:
    """As with the ids: float to uint8 is the last step."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(sure)).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    assert {n for n, kind in types.items() if kind == onnx.TensorProto.UINT8} == {"frame", "classes", "confidence"}
    (last,) = [node for node in graph.node if "confidence" in node.output]
    assert (last.op_type, types[last.input[0]]) == ("Cast", onnx.TensorProto.FLOAT)


@pytest.mark.parametrize("keep", [(), PARTS])
def test_int8_keeps_it_and_computes_it_in_float(plain: Path, sure: Path, tmp_path: Path, keep: tuple[str, ...]) -> None:
    """Whether it is added before or after, and whatever else is quantised."""
    spec = quantise(sure, tmp_path / "int8.onnx", PICTURES, keep)
    assert (spec.precision, spec.confidence) == ("int8", True)
    quantise(plain, tmp_path / "bare.onnx", PICTURES, keep)
    after = add_confidence(tmp_path / "bare.onnx", tmp_path / "after.onnx")
    assert (after.precision, after.confidence) == ("int8", True)
    ids, confidence = confident(tmp_path / "int8.onnx", PICTURES[1])
    for one, two in zip((ids, confidence), confident(tmp_path / "after.onnx", PICTURES[1]), strict=True):
        np.testing.assert_array_equal(one, two)
    assert "QuantizeLinear" not in _after_the_logits(tmp_path / "int8.onnx")
    assert np.abs(confidence.astype(int) - confident(sure, PICTURES[1])[1]).mean() < 40


def _after_the_logits(file: Path) -> list[str]:
    """The operators on the way from the argmax's input to the outputs."""
    graph = onnx.load(file).graph
    reached = {node.input[0] for node in graph.node if node.op_type == "ArgMax"}
    kinds = []
    for node in graph.node:
        if reached & set(node.input):
            reached |= set(node.output)
            kinds.append(node.op_type)
    assert {"classes", "confidence"} <= reached
    return kinds


def test_a_build_for_openvino_keeps_it(sure: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    built = build(BuildRequest(sure, "openvino", "fp32", out=tmp_path, accept_parity=True)).file
    assert read_passport(built).spec.confidence
    assert built.is_relative_to(tmp_path)
    ids, confidence = confident(built, PICTURES[2], "openvino")
    expected_ids, expected = confident(sure, PICTURES[2])
    assert np.mean(ids == expected_ids) > 0.999
    assert np.abs(confidence.astype(int) - expected).max() <= 1


def test_tensorrt_refuses_it_and_says_what_to_do(sure: Path, tmp_path: Path) -> None:
    """Before it asks for a GPU, so that the answer is the same everywhere."""
    with pytest.raises(
        UsageError, match=r"gives confidence, which the backend tensorrt does not.*expected an ONNX without it"
    ) as told:
        build(BuildRequest(sure, "tensorrt", out=tmp_path))
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_impossible_requests_leave_nothing_behind(sure: Path, tmp_path: Path) -> None:
    bare = palette_model(tmp_path)
    model = onnx.load(bare)
    next(node for node in model.graph.node if node.op_type == "ArgMax").op_type = "ArgMin"
    onnx.save(model, tmp_path / "least.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    before = sorted(tmp_path.iterdir())
    for source, out, error, message in (
        (sure, "out.onnx", UsageError, "gives confidence already"),
        (bare, "out.pt", UsageError, r"ends in \.onnx"),
        (tmp_path / "missing.onnx", "out.onnx", UsageError, "cannot read"),
        (tmp_path / "least.onnx", "out.onnx", UsageError, "0 ArgMax nodes and opset 17"),
        (tmp_path / "foreign.onnx", "out.onnx", ModelSpecError, "of another program"),
    ):
        with pytest.raises(error, match=message):
            add_confidence(source, tmp_path / out)
    assert sorted(tmp_path.iterdir()) == before


def test_the_command_takes_a_checkpoint_a_float_onnx_and_int8(
    network: torch.nn.Module, plain: Path, tmp_path: Path
) -> None:
    settings = {
        "name": "tiny run", "model": {"architecture": "bisenetv2", "options": OPTIONS}, "input": list(SIZE),
        "data": {"dataset": "synthetic", "synthetic_share": 1.0}, "batch": 4, "seed": 7,
    }  # fmt: skip
    progress = {"minutes": 1.0, "iteration": 9, "best": 0.5}
    state = {"network": network.state_dict(), "settings": settings, "labels": "camvid", "progress": progress}
    checkpoint.save(tmp_path / "best.pt", state)
    (tmp_path / "road").mkdir()
    for i, picture in enumerate(PICTURES[:2]):
        assert cv2.imwrite(str(tmp_path / "road" / f"{i}.png"), picture)
    int8 = ["--precision", "int8", "--calibration", str(tmp_path / "road")]
    for name, source, options in (
        ("from-onnx", plain, []),
        ("from-checkpoint", tmp_path / "best.pt", []),
        ("from-checkpoint-int8", tmp_path / "best.pt", int8),
        ("from-onnx-int8", plain, int8),
    ):
        file = tmp_path / "out" / f"{name}.onnx"
        done = CliRunner().invoke(command, [str(source), "--out", str(file), "--confidence", *options])
        assert done.exception is None
        spec = open_engine(file, "onnxruntime").spec
        assert (spec.name, spec.confidence, spec.precision) == (name, True, "int8" if options else "fp32")
    assert len(list((tmp_path / "out").iterdir())) == 8
