"""int8 with the front of a network in float: no worse than without, and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx (extra [import]) is not installed")

from drivenet.convert.declaration import preset  # noqa: E402
from drivenet.convert.onnx_model import Request, convert_onnx  # noqa: E402
from drivenet.export.int8 import PARTS, quantise  # noqa: E402
from drivenet.export.int8_search import ENOUGH, _agreement, quantise_agreeing  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.modelspec import ModelSpec  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from tests.convert.foreign_models import Net  # noqa: E402


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    drive = SyntheticDrive(160, 120, seed=3)
    return [drive.render(i * 60)[0] for i in range(4)]


@pytest.fixture
def source(tmp_path: Path, pictures: list[np.ndarray]) -> Path:
    net = Net(classes=32)
    for out in (32, 32, 11):
        net.add("Relu").convolution(out, 32, 1)
    file = net.write(tmp_path / "net.onnx")
    convert_onnx(Request(file, tmp_path / "float.onnx", preset("smp"), CAMVID), pictures, "the test")
    return tmp_path / "float.onnx"


def test_it_agrees_at_least_as_well_and_says_what_it_tried(source: Path, pictures: list[np.ndarray]) -> None:
    plain, out, said = source.with_name("plain.onnx"), source.with_name("out.onnx"), []
    quantise(source, plain, pictures)
    spec = quantise_agreeing(source, out, pictures, said.append)
    before, after = (_agreement(source, file, pictures) for file in (plain, out))
    assert (spec.name, spec.precision) == ("out", "int8")
    assert ModelSpec.from_json(out.with_suffix(".json").read_text(), "out.json") == spec
    assert after >= before
    assert bool(said) == (before < ENOUGH)


def test_the_front_stays_float(source: Path, pictures: list[np.ndarray]) -> None:
    counts = []
    for front in (0.0, 0.5, 1.0):
        out = source.with_name(f"{front}.onnx")
        quantise(source, out, pictures, PARTS, front)
        counts.append(sum(node.op_type == "QuantizeLinear" for node in onnx.load(out).graph.node))
    assert counts[0] > counts[1] > counts[2] == 0
