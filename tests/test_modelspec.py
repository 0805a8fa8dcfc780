"""The spec that rides with every artefact: exact round trips, named errors, whole files or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_models import palette_spec
from pydantic import BaseModel

from drivenet.errors import ModelSpecError
from drivenet.labels import CAMVID, CITYSCAPES, LabelSet
from drivenet.modelspec import LabelsSpec, ModelSpec, digest_line, spec_path

SIDES = st.integers(1, 8192)
UNIT = st.floats(0, 1, allow_nan=False)


@given(
    sides=st.tuples(SIDES, SIDES, SIDES, SIDES),
    mean=st.tuples(UNIT, UNIT, UNIT),
    labels=st.sampled_from([CAMVID, CITYSCAPES]),
    text=st.text(st.characters(exclude_categories=["Cs"])),
    val_miou=st.none() | UNIT,
    training=st.dictionaries(st.sampled_from(["minutes", "seed", "machine"]), st.integers() | st.booleans() | UNIT),
)
def test_a_spec_survives_its_json_exactly(
    sides: tuple[int, int, int, int],
    mean: tuple[float, float, float],
    labels: LabelSet,
    text: str,
    val_miou: float | None,
    training: dict[str, Any],
) -> None:
    changes = {"trained_on": text, "val_miou": val_miou, "training": training}
    spec = palette_spec(labels, input=sides[:2], output=sides[2:], mean=mean, **changes)
    again = ModelSpec.from_json(spec.to_json(), "here")
    assert again == spec
    assert again.to_json() == spec.to_json()
    assert again.label_set == labels


@pytest.mark.parametrize("name", ["accurate", "accurate-int8", "fast", "fast-int8"])
def test_a_spec_without_confidence_is_written_as_before_there_was_any(name: str) -> None:
    """What ships stays as it is, byte for byte, also inside a passport that was sealed earlier."""
    text = (Path(__file__).parents[1] / "engines" / f"{name}.json").read_text(encoding="utf-8")
    spec, text = ModelSpec.from_json(text, "here"), text.replace(digest_line(text), "", 1)
    assert spec.to_json() + "\n" == text
    assert Inside(spec=spec).model_dump(mode="json") == {"spec": json.loads(text)}
    sure = spec.model_copy(update={"confidence": True})
    assert json.loads(sure.to_json()) == {**json.loads(text), "confidence": True}
    assert ModelSpec.from_json(sure.to_json(), "here") == sure != spec


class Inside(BaseModel):
    spec: ModelSpec


def test_labels_are_written_down_whole() -> None:
    assert LabelsSpec.of(CITYSCAPES).label_set() == CITYSCAPES
    assert json.loads(palette_spec().to_json())["labels"]["classes"] == list(CAMVID.classes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "here holds no valid ModelSpec: name: "),
        ({"input": [1, 2, 3]}, "input"),
        ({"input": [0, 2]}, "must be positive"),
        ({"output": [4, -2]}, "must be positive"),
        ({"mean": [0, 0]}, "mean"),
        ({"colour": "rgb"}, "colour"),
        ({"normalisation": "host"}, "normalisation"),
        ({"precision": "fp8"}, "precision"),
        ({"params": -1}, "params"),
        ({"unknown": 1}, "unknown: Extra inputs"),
        ({"format": 2}, "format"),
        ({"labels": {"name": "x"}}, r"labels\.classes"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], message: str) -> None:
    text = json.dumps({**json.loads(palette_spec().to_json()), **change})
    with pytest.raises(ModelSpecError, match=message) as caught:
        ModelSpec.from_json(text, "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "7", "\0", '"spec"'])
def test_what_is_no_spec_is_named(text: str) -> None:
    with pytest.raises(ModelSpecError, match="here holds no valid ModelSpec"):
        ModelSpec.from_json(text, "here")


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        palette_spec().name = "other"  # type: ignore[misc]


def test_the_json_lies_beside_the_artefact() -> None:
    assert spec_path(Path("engines/fast.v2.onnx")) == Path("engines/fast.v2.json")


def test_a_spec_makes_its_label_set_once_and_a_copy_with_other_labels_makes_its_own() -> None:
    spec = palette_spec()
    assert spec.label_set is spec.label_set
    other = spec.model_copy(update={"labels": LabelsSpec.of(CITYSCAPES)})
    assert other.label_set == CITYSCAPES
    assert spec.label_set == CAMVID
    assert palette_spec() == spec
