"""int8 with some of a network in float: no worse than without, said, and no more than it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx (extra [import]) is not installed")

from drivenet.artefacts.passport import Parity  # noqa: E402
from drivenet.convert.declaration import preset  # noqa: E402
from drivenet.convert.onnx_model import Request, convert_onnx  # noqa: E402
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine  # noqa: E402
from drivenet.engine.parity import compare  # noqa: E402
from drivenet.export.int8 import quantise  # noqa: E402
from drivenet.export.int8_nodes import PARTS, TENTHS  # noqa: E402
from drivenet.export.int8_search import ENOUGH, _more, loss, quantise_agreeing  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.modelspec import ModelSpec  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from tests.convert.foreign_models import Net  # noqa: E402

#: Which of the network's convolutions one channel of which is a thousand times the others.
LOUD = 8


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    drive = SyntheticDrive(160, 120, seed=3)
    return [drive.render(i * 60)[0] for i in range(4)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, pictures: list[np.ndarray]) -> Path:
    """Twenty convolutions, of which the 18 in the middle hand on what they get; one between two is loud."""
    net = Net(classes=32)
    for i in range(17):
        into = np.eye(32, dtype=np.float32)
        into[0, 0] = {LOUD - 2: 1e3, LOUD - 1: 1e-3}.get(i, 1)
        net.add("Conv", into[..., None, None])
    net.add("Relu").convolution(11, 32, 1)
    folder = tmp_path_factory.mktemp("float")
    file = net.write(folder / "net.onnx")
    convert_onnx(Request(file, folder / "float.onnx", preset("smp"), CAMVID), pictures, "the test")
    return folder / "float.onnx"


def parity(source: Path, file: Path, pictures: list[np.ndarray]) -> Parity:
    return compare(OnnxRuntimeEngine(source), OnnxRuntimeEngine(file), pictures, "the test")


def in_int8(file: Path) -> list[int]:
    """How many weights of each shape are in int8, in the order of the file."""
    return [
        t.dims[0]
        for t in onnx.load(file).graph.initializer
        if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4
    ]


def test_what_loses_most_stays_float_and_no_more(source: Path, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    said: list[str] = []
    quantise(source, tmp_path / "plain.onnx", pictures, PARTS)
    spec = quantise_agreeing(source, tmp_path / "out.onnx", pictures, said.append)
    before, after = (parity(source, tmp_path / name, pictures) for name in ("plain.onnx", "out.onnx"))
    assert not before.passed
    assert after.passed
    assert after.agreement >= ENOUGH
    assert loss(after) <= 1 < loss(before)
    assert (len(in_int8(tmp_path / "plain.onnx")), len(in_int8(tmp_path / "out.onnx"))) == (18, 16)
    assert f"{before.agreement:.2%} of pixels as in float" in said[0]
    assert (spec.name, spec.precision) == ("out", "int8")
    assert ModelSpec.from_json((tmp_path / "out.json").read_text(), "out.json") == spec


def test_that_no_version_is_close_enough_is_said(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    """Every tenth of the network is loud by itself; one stays int8 all the same."""
    net = Net(classes=32)
    for tensor, loud, factor in ((0, 0, 1e6), (1, 0, 1e6), (2, (slice(None), 0), 1e-6)):
        values = onnx.numpy_helper.to_array(net.tensors[tensor]).copy()
        values[loud] *= factor
        net.tensors[tensor].CopyFrom(onnx.numpy_helper.from_array(values, net.tensors[tensor].name))
    for i in range(18):
        into = np.eye(32, dtype=np.float32)
        into[0, 0] = 1e-6 if i % 2 else 1e6
        net.add("Conv", into[..., None, None])
    net.add("Relu").convolution(11, 32, 1)
    file = net.write(tmp_path / "net.onnx")
    convert_onnx(Request(file, tmp_path / "float.onnx", preset("smp"), CAMVID), pictures, "the test")
    said: list[str] = []
    quantise_agreeing(tmp_path / "float.onnx", tmp_path / "out.onnx", pictures, said.append)
    assert in_int8(tmp_path / "out.onnx")
    assert loss(parity(tmp_path / "float.onnx", tmp_path / "out.onnx", pictures)) > 1
    assert "90% of the layers in float" in said[-2]
    assert "no version is close enough to float" in said[-1]


def test_images_that_show_one_class_only_are_said(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    said: list[str] = []
    net = Net()
    net.end = "image"  # bright pixels are of class 0, dark ones of class 1
    weights, bias = np.zeros((11, 3, 1, 1), np.float32), np.full(11, -9, np.float32)
    weights[0], bias[:2] = 1, 0
    net.add("Conv", weights, bias)
    convert_onnx(
        Request(net.write(tmp_path / "net.onnx"), tmp_path / "float.onnx", preset("smp"), CAMVID),
        pictures, "the test",
    )  # fmt: skip
    dark = [np.zeros((64, 96, 3), np.uint8)]
    quantise_agreeing(tmp_path / "float.onnx", tmp_path / "out.onnx", dark, said.append)
    assert (tmp_path / "out.onnx").exists()
    assert "not compared" in said[-1]


def test_tenths_stay_float(source: Path, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    counts = []
    for tenths in ((), range(5), range(TENTHS)):
        quantise(source, tmp_path / "out.onnx", pictures, PARTS, tenths)
        counts.append(sum(node.op_type == "QuantizeLinear" for node in onnx.load(tmp_path / "out.onnx").graph.node))
    assert counts[0] > counts[1] > counts[2] == 0


def test_one_tenth_more_and_those_that_lose_too_much_alone() -> None:
    losses = {1: 0.2, 2: 3.0, 3: 0.5, 4: 1.1}
    assert _more(frozenset({0}), losses) == {0, 2, 4}
    assert _more(frozenset({0, 2, 4}), losses) == {0, 2, 3, 4}
    assert _more(frozenset({0, 2, 3, 4}), losses) == {0, 1, 2, 3, 4}
    assert _more(frozenset(), {t: 2 + t for t in range(TENTHS)}) == set(range(1, TENTHS))
