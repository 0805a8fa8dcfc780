"""What a build is asked for: pictures, precisions and places, and what cannot be built."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from onnx_models import SIZE, palette_graph, palette_model, palette_spec, write_onnx

from drivenet.build.build import build
from drivenet.build.plan import attempts
from drivenet.build.request import BuildRequest
from drivenet.cli.build import build as command
from drivenet.data.pictures import folder_pictures, synthetic_pictures
from drivenet.engine import open_engine
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine
from drivenet.engine.parity import compare
from drivenet.errors import EngineError, SourceError, UsageError
from drivenet.host.cpu_features import native_precisions
from drivenet.labels import CAMVID


def test_what_was_named_is_not_changed(onnx: Path) -> None:
    spec = palette_spec(precision="int8")
    request = BuildRequest(onnx, "openvino")
    usual, exact = attempts(request, spec)
    assert (usual.request, usual.flag) == (request, "")
    assert (exact.request.options, exact.flag) == ({"floats": "fp32"}, "--floats fp32")
    assert exact.is_like("int8", {"floats": "fp32"})  # where the processor has no bf16, that is the usual one
    assert not exact.is_like("int8", {"floats": "bf16"})
    for named in ({"options": {"floats": "bf16"}}, {"accept_parity": True}):
        assert len(attempts(BuildRequest(onnx, "openvino", **named), spec)) == 1
    assert len(attempts(BuildRequest(onnx, "tensorrt", "fp16"), palette_spec())) == 1
    assert [a.precision for a in attempts(BuildRequest(onnx, "tensorrt"), palette_spec())] == ["fp16", "fp32"]


def test_the_gate_names_the_class_that_suffers(onnx: Path, tmp_path: Path) -> None:
    swapped = [*CAMVID.palette]
    swapped[2], swapped[7] = (1, 1, 1), swapped[2]
    other = write_onnx(tmp_path / "other.onnx", palette_graph(swapped), palette_spec(name="other"))
    pictures = [CAMVID.bgr_table[np.arange(32 * 48).reshape(32, 48) % 11]]
    parity = compare(OnnxRuntimeEngine(onnx), OnnxRuntimeEngine(other), pictures, "stripes")
    assert parity.worst_class in ("Pole", "Fence")
    assert parity.worst_iou == 0
    assert not parity.passed


def test_calibration_pictures_take_the_place_of_the_synthetic_drive(openvino: None, onnx: Path) -> None:
    folder = onnx.parent / "pictures"
    folder.mkdir()
    with pytest.raises(UsageError, match="holds no pictures"):
        build(BuildRequest(onnx, "openvino", "fp32", calibration=folder))
    for i, picture in enumerate(synthetic_pictures((48, 64))[:3]):
        cv2.imwrite(str(folder / f"{i}.png"), picture)
    built = build(BuildRequest(onnx, "openvino", "fp32", calibration=folder, out=onnx.parent / "out"))
    assert built.file.parent == onnx.parent / "out"
    assert built.passport.parity is not None
    assert (built.passport.parity.images, built.passport.parity.pictures) == (3, str(folder))
    assert f"--calibration {folder}" in built.passport.rebuild(onnx.parent)
    (folder / "torn.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"torn\.png is damaged or no picture"):
        folder_pictures(folder)


def test_an_int8_build_needs_an_int8_onnx_and_its_fp32_reference(onnx: Path) -> None:
    with pytest.raises(UsageError, match=r"precision int8 from .* which is fp32; .*drivenet export --precision int8"):
        build(BuildRequest(onnx, "openvino", "int8"))
    int8 = palette_model(onnx.parent, "small", precision="int8")
    with pytest.raises(UsageError, match="name it with --reference"):
        build(BuildRequest(int8, "openvino"))
    with pytest.raises(UsageError, match=r"precision fp16 from .* which is int8"):
        build(BuildRequest(int8, "openvino", "fp16"))
    with pytest.raises(UsageError, match="is int8; expected an fp32 ONNX"):
        build(BuildRequest(int8, "openvino", reference=int8))


def test_what_cannot_be_compared_is_told_before_the_build(onnx: Path, tmp_path: Path) -> None:
    """It may take minutes; so nothing was being built yet."""
    told: list[str] = []
    (tmp_path / "other").mkdir()
    other = palette_model(tmp_path / "other", "other", size=(64, 96))
    with pytest.raises(EngineError, match=rf"{onnx.name} gives .* from \(32, 48\); expected .* as .*other\.onnx"):
        build(BuildRequest(onnx, "openvino", "fp32", reference=other), told.append)
    (tmp_path / "empty").mkdir()
    for folder, error, message in (("gone", SourceError, "no folder"), ("empty", UsageError, "holds no pictures")):
        with pytest.raises(error, match=message):
            build(BuildRequest(onnx, "openvino", "fp32", calibration=tmp_path / folder), told.append)
    assert told == []


def test_wrong_requests_say_what_is_possible(onnx: Path) -> None:
    with pytest.raises(UsageError, match="did you mean openvino"):
        build(BuildRequest(onnx, "openvinos"))
    with pytest.raises(UsageError, match=r"size 64x64 .* expected 48x32"):
        build(BuildRequest(onnx, "openvino", size=(64, 64)))
    with pytest.raises(UsageError, match="no precision 'fp8'"):
        build(BuildRequest(onnx, "openvino", "fp8"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(onnx: Path) -> None:
    onnx.parent.chmod(0o500)
    with pytest.raises(UsageError, match="cannot write to"):
        build(BuildRequest(onnx, "openvino", "fp32"))


def conv_model(folder: Path, name: str, quantised: bool) -> Path:
    """Two convolutions over the whole contract, in float or in symmetric QDQ with weights per channel."""
    rng = np.random.default_rng(0)
    kernels = [rng.normal(0, 0.3, (16, 3, 3, 3)), rng.normal(0, 0.3, (11, 16, 1, 1))]
    constants: dict[str, Any] = {"zero": np.int8(0), "scale": np.float32(1 / 100), "divisor": np.float32(255)}
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "divisor"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["x0"], perm=[0, 3, 1, 2]),
    ]
    for i, kernel in enumerate(kernels):
        steps = np.abs(kernel).max(axis=(1, 2, 3)).astype(np.float32) / 127
        whole = np.round(kernel / steps[:, None, None, None]).astype(np.int8)
        constants |= {f"w{i}": (whole * steps[:, None, None, None]).astype(np.float32)}
        source, weights = f"x{i}", f"w{i}"
        if quantised:
            constants |= {f"q{i}": whole, f"s{i}": steps, f"z{i}": np.zeros(len(steps), np.int8)}
            nodes += [
                helper.make_node("QuantizeLinear", [source, "scale", "zero"], [f"xq{i}"]),
                helper.make_node("DequantizeLinear", [f"xq{i}", "scale", "zero"], [f"xd{i}"]),
                helper.make_node("DequantizeLinear", [f"q{i}", f"s{i}", f"z{i}"], [f"wd{i}"], axis=0),
            ]
            source, weights = f"xd{i}", f"wd{i}"
        pads = [1, 1, 1, 1] if i == 0 else [0, 0, 0, 0]
        nodes += [
            helper.make_node("Conv", [source, weights], [f"y{i}"], strides=[2 - i, 2 - i], pads=pads),
            helper.make_node("Relu", [f"y{i}"], [f"x{i + 1}"]),
        ]
    nodes += [
        helper.make_node("ArgMax", ["y1"], ["best"], axis=1, keepdims=0),
        helper.make_node("Cast", ["best"], ["classes"], to=TensorProto.UINT8),
    ]
    h, w = SIZE
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, h, w, 3])],
        [helper.make_tensor_value_info("classes", TensorProto.UINT8, [1, h // 2, w // 2])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )  # fmt: skip
    spec = palette_spec(name=name, precision="int8" if quantised else "fp32", source_sha256="ab" * 32)
    return write_onnx(folder / f"{name}.onnx", graph, spec)


@pytest.mark.skipif("int8" not in native_precisions(), reason="this processor lacks VNNI")
def test_an_int8_build_is_held_against_the_float_network_of_its_checkpoint(openvino: None, tmp_path: Path) -> None:
    conv_model(tmp_path, "net", quantised=False)
    onnx = conv_model(tmp_path, "net-int8", quantised=True)
    built = build(BuildRequest(onnx, "openvino", accept_parity=True))
    assert built.file.name == "net-int8-int8.xml"
    assert built.passport.parity is not None
    assert built.passport.parity.reference == "net.onnx"
    assert built.passport.options["floats"] == ("bf16" if "bf16" in native_precisions() else "fp32")
    engine = open_engine(built.file)
    assert engine.describe()["precision"] == "int8"
    plain = build(
        BuildRequest(onnx, "openvino", accept_parity=True, out=tmp_path / "plain", options={"floats": "fp32"})
    )
    assert open_engine(plain.file).describe()["floats"] == "fp32"
    assert "--floats fp32" in plain.passport.rebuild(tmp_path)


def test_the_command_builds_and_tells(openvino: None, onnx: Path) -> None:
    done = CliRunner().invoke(command, [str(onnx), "--backend", "openvino", "--precision", "fp32", "--json", "-"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["file"] == str(onnx.with_name("palette-fp32.xml"))
    assert report["passport"]["parity"]["agreement"] == 1
    wrong = CliRunner().invoke(command, [str(onnx), "--backend", "openvino", "--size", "64x64"])
    assert isinstance(wrong.exception, UsageError)
    assert "expected 48x32, width x height; drivenet export --size 64x64 writes" in str(wrong.exception)
