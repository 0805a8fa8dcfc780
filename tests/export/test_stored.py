"""What is written with its spec: both or neither, and asked for before the work."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx (extra [import]) is not installed")

from onnx_models import palette_model  # noqa: E402

from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import SinkError, UsageError  # noqa: E402
from drivenet.export.confidence import add_confidence  # noqa: E402
from drivenet.export.int8_search import quantise_agreeing  # noqa: E402
from drivenet.export.stored import load, store  # noqa: E402


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process grows beyond it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def larger(file: Path) -> onnx.ModelProto:
    """The model of a file with a constant that has a hundred thousand bytes."""
    model, _ = load(file)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(100_000, np.uint8), "large"))
    return model


def test_an_engine_that_cannot_be_replaced_stays_whole(tmp_path: Path) -> None:
    """Its JSON, which comes first, is the former one again."""
    file = palette_model(tmp_path)
    store(load(file)[0], load(file)[1], file)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    model, spec = larger(file), load(file)[1]
    with files_up_to(50_000), pytest.raises(SinkError, match="cannot write"):
        store(model, spec, file)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before
    open_engine(file, "onnxruntime").close()


def test_nothing_is_left_of_what_cannot_be_written(tmp_path: Path) -> None:
    file = palette_model(tmp_path)
    with files_up_to(50_000), pytest.raises(SinkError, match="cannot write"):
        store(larger(file), load(file)[1], tmp_path / "new" / "out.onnx")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_in_the_place_of_either_is_told_before_the_work(tmp_path: Path) -> None:
    file = palette_model(tmp_path)
    for name in ("out.onnx", "out.json"):
        (tmp_path / name).mkdir()
        with pytest.raises(SinkError, match=f"{name}: it is a folder"):
            add_confidence(file, tmp_path / "out.onnx")
        assert list((tmp_path / name).iterdir()) == []
        (tmp_path / name).rmdir()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["palette.json", "palette.onnx"]


def test_int8_is_an_onnx(tmp_path: Path) -> None:
    """No pictures are looked at before that is known, and none are here."""
    file = palette_model(tmp_path)
    with pytest.raises(UsageError, match=r"out\.bin; expected a file that ends in \.onnx"):
        quantise_agreeing(file, tmp_path / "out.bin", [])
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot write"):
        quantise_agreeing(file, tmp_path / "file" / "out.onnx", [])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "palette.json", "palette.onnx"]
