"""The parity check of a model with confidence: equal ids are not enough, and what it is compared with has one too."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from onnx_models import SIZE, palette_model, sure_model

from drivenet.artefacts.passport import Parity, read_passport
from drivenet.build.build import build
from drivenet.build.plan import find_reference
from drivenet.build.request import BuildRequest
from drivenet.classmap import Confidence, Ids
from drivenet.data.pictures import synthetic_pictures
from drivenet.engine import open_engine
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine
from drivenet.engine.parity import ConfidenceAgreement, compare
from drivenet.errors import EngineError, UsageError
from drivenet.export.confidence import add_confidence
from drivenet.export.int8_search import loss
from drivenet.frame import Image


class Altered(OnnxRuntimeEngine):
    """The same ids, and another confidence."""

    alter = staticmethod(lambda sure: sure)

    def infer_confident(self, image: Image) -> tuple[Ids, Confidence | None]:
        ids, sure = super().infer_confident(image)
        return ids, self.alter(sure)


def parity(file: Path, alter: object = lambda sure: sure, other: Path | None = None) -> Parity:
    with closing(OnnxRuntimeEngine(file)) as exact, closing(Altered(other or file)) as ours:
        ours.alter = alter  # type: ignore[assignment,method-assign]
        return compare(exact, ours, synthetic_pictures(SIZE), "the drive")


def test_a_build_is_held_against_the_confidence_of_its_reference(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    built = build(BuildRequest(sure_model(tmp_path), "openvino", "fp32"))
    found = read_passport(built.file).parity
    assert found is not None
    assert (found.confidence, found.min_confidence) == (1.0, 0.99)
    assert "100.0% of unsure pixels as sure (at least 99%)" in str(found)


@pytest.mark.parametrize(
    "alter",
    [
        lambda sure: np.full_like(sure, 255),
        lambda sure: 255 - sure,
        lambda sure: np.roll(sure, 1, 1),
        lambda sure: np.uint8(np.square(sure / 255) * 255),
    ],
    ids=["always sure", "upside down", "a pixel aside", "squared"],
)
def test_equal_ids_with_another_confidence_fall_short(tmp_path: Path, alter: object) -> None:
    found = parity(sure_model(tmp_path), alter)
    assert (found.agreement, found.passed) == (1.0, False)
    assert found.confidence is not None
    assert found.confidence < 0.7  # the least that int8 may have
    assert loss(found) > 1


def test_the_same_and_almost_the_same_confidence_pass(tmp_path: Path) -> None:
    file = sure_model(tmp_path)
    for alter in (lambda sure: sure, lambda sure: np.maximum(sure, 24) - 24):
        found = parity(file, alter)
        assert (found.confidence, found.passed) == (1.0, True)
        assert loss(found) == 0


def test_pixels_that_both_are_sure_of_are_not_counted() -> None:
    """They are most of a picture: an engine that is always sure would pass."""
    agreement = ConfidenceAgreement()
    agreement.add(np.full((4, 5), 255, np.uint8), np.full((4, 5), 231, np.uint8))
    assert (agreement.counted, agreement.share) == (0, 1.0)
    agreement.add(np.full((4, 5), 255, np.uint8), np.full((4, 5), 200, np.uint8))
    assert (agreement.counted, agreement.share) == (20, 0.0)


def test_a_model_without_it_is_not_asked_for_it(tmp_path: Path) -> None:
    found = parity(palette_model(tmp_path))
    assert found.confidence is None
    assert found.passed
    assert "confidence" not in found.model_dump_json()


def test_what_is_compared_has_confidence_on_both_sides(tmp_path: Path) -> None:
    sure, plain = sure_model(tmp_path), tmp_path / "sure-plain.onnx"
    with pytest.raises(EngineError, match=r"sure\.onnx gives a confidence; expected none as .*sure-plain\.onnx"):
        parity(plain, other=sure)
    with pytest.raises(EngineError, match=r"sure-plain\.onnx gives no confidence; expected one as .*sure\.onnx"):
        parity(sure, other=plain)
    with pytest.raises(EngineError, match=r"gives no confidence in onnxruntime; expected that of its model"):
        parity(sure, lambda sure: None)


def test_the_reference_of_int8_with_confidence_has_one_too(tmp_path: Path) -> None:
    """Of two float ONNX files of its checkpoint, and not the first by name."""
    palette_model(tmp_path, "a", source_sha256="ab" * 32)
    int8 = palette_model(tmp_path, "int8", precision="int8", source_sha256="ab" * 32)
    spec = add_confidence(int8, tmp_path / "int8-sure.onnx")
    request = BuildRequest(tmp_path / "int8-sure.onnx", "openvino")
    with pytest.raises(UsageError, match="no fp32 ONNX of the same checkpoint and outputs is beside it"):
        find_reference(request, spec)
    add_confidence(tmp_path / "a.onnx", tmp_path / "b.onnx")
    assert find_reference(request, spec) == tmp_path / "b.onnx"
    with closing(open_engine(int8, "onnxruntime")) as engine:
        assert find_reference(BuildRequest(int8, "openvino"), engine.spec) == tmp_path / "a.onnx"
