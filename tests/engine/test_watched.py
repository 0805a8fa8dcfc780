"""Engines that fail, and that give what is no class map: tried again, opened again, and then the run's error."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from drivenet.classmap import Ids
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.engine.onnxruntime.file import read_spec
from drivenet.engine.watched import Watched
from drivenet.errors import EngineError, ModelSpecError
from drivenet.frame import Image
from drivenet.resources import engines_dir

SPEC = open_engine(None, "null", "auto").spec
IMAGE = np.zeros((*SPEC.input, 3), np.uint8)
GOOD = np.zeros(SPEC.output, np.uint8)


def scripted(*answers: Ids | Exception) -> tuple[Callable[[], Engine], list[Engine]]:
    """Opens engines that give one answer after the other, the last again and again."""
    left, opened = list(answers), list[Engine]()

    class Scripted(Engine):
        spec, file = SPEC, "scripted.onnx"
        closed = False

        def infer(self, image: Image) -> Ids:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        def close(self) -> None:
            self.closed = True

    def reopen() -> Engine:
        opened.append(Scripted())
        return opened[-1]

    return reopen, opened


def with_id(odd: int) -> Ids:
    ids = GOOD.copy()
    ids[3, 4] = odd
    return ids


@pytest.mark.parametrize(
    "bad",
    [
        RuntimeError("CUDA error"),
        EngineError("failed"),
        GOOD[:-1],
        GOOD.astype(np.int32),
        with_id(len(SPEC.labels.classes)),
    ],
    ids=["a library's", "ours", "shape", "type", "id"],
)
def test_one_failure_is_tried_again_two_open_it_again_three_are_the_runs(bad: Ids | Exception) -> None:
    reopen, opened = scripted(bad, GOOD)
    engine = Watched(reopen)
    assert engine.infer(IMAGE) is GOOD
    assert (engine.retries, engine.reopened, len(opened)) == (1, 0, 1)
    reopen, opened = scripted(bad, bad, GOOD)
    engine = Watched(reopen)
    assert engine.infer(IMAGE) is GOOD
    assert (engine.retries, engine.reopened, len(opened)) == (1, 1, 2)
    assert opened[0].closed  # type: ignore[attr-defined]
    with pytest.raises(EngineError):
        Watched(scripted(bad)[0]).infer(IMAGE)


def test_pixels_without_a_class_are_no_fault() -> None:
    engine = Watched(scripted(with_id(255))[0])
    assert engine.infer(IMAGE)[3, 4] == 255
    assert engine.retries == 0


def test_it_says_of_itself_what_the_engine_says() -> None:
    engine = Watched(lambda: open_engine(None, "null", "auto"))
    inner = open_engine(None, "null", "auto")
    assert engine.describe() == inner.describe()
    assert (engine.spec, engine.backend, engine.precision) == (inner.spec, inner.backend, inner.precision)
    assert len(list(engine.infer_many([IMAGE, IMAGE]))) == 2
    engine.close()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A model that ships, with its JSON."""
    for suffix in (".onnx", ".json"):
        shutil.copyfile(engines_dir() / f"fast{suffix}", tmp_path / f"fast{suffix}")
    return tmp_path / "fast.onnx"


def test_every_model_that_ships_has_its_digest_and_loads() -> None:
    for file in engines_dir().glob("*.onnx"):
        assert '"file_sha256"' in file.with_suffix(".json").read_text(), file
        read_spec(file)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_a_model_with_a_flipped_bit_is_refused_before_it_is_loaded(copied: Path, place: float) -> None:
    data = bytearray(copied.read_bytes())
    data[int(place * len(data))] ^= 1
    copied.write_bytes(data)
    with pytest.raises(
        ModelSpecError, match=r"its SHA-256 differs; expected an undamaged file; copy or export it again"
    ):
        open_engine(copied, "onnxruntime", "auto")


def test_a_model_without_a_stated_digest_loads_as_before(copied: Path) -> None:
    copied.with_suffix(".json").unlink()
    read_spec(copied)
