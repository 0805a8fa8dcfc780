"""What a build for OpenVINO marks and changes in its files."""

from __future__ import annotations

from pathlib import Path

import pytest

openvino = pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
onnx = pytest.importorskip("onnx", reason="onnx (extra [import]) is not installed")

from drivenet.build.openvino import keep_first_depthwise, round_behind_concatenations  # noqa: E402
from drivenet.convert.declaration import preset  # noqa: E402
from drivenet.convert.onnx_model import Request, convert_onnx  # noqa: E402
from drivenet.data.pictures import synthetic_pictures  # noqa: E402
from drivenet.engine import open_engine  # noqa: E402
from drivenet.engine.onnxruntime.file import read_spec  # noqa: E402
from drivenet.export.int8 import quantise  # noqa: E402
from drivenet.host.cpu_features import native_precisions  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.metrics import agreement  # noqa: E402
from drivenet.resources import engines_dir  # noqa: E402
from tests.convert.foreign_models import Net  # noqa: E402


@pytest.mark.skipif("bf16" not in native_precisions(), reason="this processor lacks bf16")
def test_bf16_keeps_the_first_depthwise_convolution_in_fp32(tmp_path: Path) -> None:
    """Of the pixels that bf16 changes it changes most."""
    source = engines_dir() / "fast.onnx"
    core = openvino.Core()
    openvino.save_model(core.read_model(source), tmp_path / "all.xml", compress_to_fp16=False)
    openvino.save_model(core.read_model(source), tmp_path / "kept.xml", compress_to_fp16=False)
    keep_first_depthwise(tmp_path / "kept.xml")
    assert (tmp_path / "kept.xml").read_text().count('name="precise"') == 1
    height, width = read_spec(source).input
    images = [picture[None, :height, :width] for picture in synthetic_pictures((height, width))[:4]]
    exact, all_, kept = (
        [compiled(image)["classes"] for image in images]
        for compiled in (
            core.compile_model(tmp_path / name, "CPU", {"INFERENCE_PRECISION_HINT": precision})
            for name, precision in (("all.xml", "f32"), ("all.xml", "bf16"), ("kept.xml", "bf16"))
        )
    )
    changed = [sum(1 - agreement(a, b) for a, b in zip(found, exact, strict=True)) for found in (all_, kept)]
    assert 0 < changed[1] < 0.7 * changed[0]


def test_a_model_without_one_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "none.xml").write_text(
        '<?xml version="1.0"?>\n<net><layers><layer id="0" type="Parameter"/></layers></net>'
    )
    before = (tmp_path / "none.xml").read_bytes()
    keep_first_depthwise(tmp_path / "none.xml")
    assert (tmp_path / "none.xml").read_bytes() == before


def test_a_convolution_of_what_was_concatenated_gives_what_onnx_runtime_does(tmp_path: Path) -> None:
    """Two layers with signs, as a U-Net has them; OpenVINO moved the rounding before both, and the sums were wrong."""
    net = Net(classes=32)
    sides = [net.end]
    net.convolution(32, 32, 1)
    sides.append(net.end)
    net.nodes.append(onnx.helper.make_node("Concat", sides, ["both"], "concat", axis=1))
    net.end = "both"
    net.convolution(64, 64, 1)
    net.add("Relu").convolution(11, 64, 1)
    pictures = synthetic_pictures((120, 160))[:3]
    request = Request(net.write(tmp_path / "net.onnx"), tmp_path / "float.onnx", preset("smp"), CAMVID)
    convert_onnx(request, pictures, "the test")
    quantise(request.out, tmp_path / "int8.onnx", pictures)
    engine = open_engine(tmp_path / "int8.onnx", "onnxruntime")
    images = [picture[: engine.spec.input[0], : engine.spec.input[1]] for picture in pictures]
    expected = [engine.infer(image).copy() for image in images]
    model = openvino.Core().read_model(tmp_path / "int8.onnx")
    round_behind_concatenations(model)
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = [compiled(image[None])[0][0] for image in images]
    assert min(agreement(a, b) for a, b in zip(found, expected, strict=True)) > 0.98
