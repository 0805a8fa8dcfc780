"""Passports: every kind of bad artefact is refused before it is deserialised, with the command that mends it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from onnx_models import palette_model, palette_spec

from drivenet.artefacts.admission import admit
from drivenet.artefacts.passport import Parity, Passport, passport_path, read_passport
from drivenet.errors import EngineError
from drivenet.files import sha256_of
from drivenet.labels import CITYSCAPES
from drivenet.modelspec import LabelsSpec, spec_path

MACHINE = {"gpu": "Orin", "compute_capability": "8.7", "tensorrt": "8.5.3.1"}
PARITY = Parity(
    reference="palette.onnx",
    pictures="the synthetic drive",
    images=8,
    agreement=0.999,
    worst_class="Pole",
    worst_iou=0.9,
    min_agreement=0.995,
    min_iou=0.8,
)


def issue(folder: Path, **changes: Any) -> Path:
    """A plan of arbitrary bytes with a valid passport beside the ONNX that it claims to come from."""
    onnx = palette_model(folder)
    plan = folder / "palette-fp16.plan"
    plan.write_bytes(bytes(range(256)) * 8)
    fields: dict[str, Any] = {
        "backend": "tensorrt",
        "precision": "fp16",
        "files": {plan.name: sha256_of(plan)},
        "onnx": onnx.name,
        "onnx_sha256": sha256_of(onnx),
        "spec": palette_spec(),
        "machine": MACHINE,
        "options": {"workspace": "512", "no-gpu-fallback": ""},
        "parity": PARITY,
        **changes,
    }
    passport_path(plan).write_text(Passport(**fields).sealed().to_json(), encoding="utf-8")
    return plan


def refused(plan: Path, match: str, machine: dict[str, str] = MACHINE, backend: str = "tensorrt") -> str:
    with pytest.raises(EngineError, match=match) as caught:
        admit(plan, backend, machine)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_good_artefact_is_admitted_with_the_bytes_that_were_checked(tmp_path: Path) -> None:
    plan = issue(tmp_path)
    admitted = admit(plan, "tensorrt", MACHINE)
    assert admitted.contents == {plan.name: plan.read_bytes()}
    assert admitted.passport.spec == palette_spec()
    assert Passport.model_validate_json(admitted.passport.to_json()) == admitted.passport


def test_the_cure_is_the_command_that_built_it(tmp_path: Path) -> None:
    plan = issue(tmp_path)
    told = refused(plan, "was built for tensorrt 8.5.3.1; expected tensorrt 10.3.0", {**MACHINE, "tensorrt": "10.3.0"})
    command = f"drivenet build {tmp_path}/palette.onnx --backend tensorrt --precision fp16"
    assert f"{command} --workspace 512 --no-gpu-fallback --out {tmp_path}" in told


@pytest.mark.parametrize(
    ("key", "value"), [("gpu", "RTX 4090"), ("compute_capability", "8.9"), ("tensorrt", "10.3.0"), ("driver", "535")]
)
def test_another_machine_is_named(tmp_path: Path, key: str, value: str) -> None:
    told = refused(issue(tmp_path), f"was built for {key}", {**MACHINE, key: value})
    assert value in told


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    plan = issue(tmp_path)
    whole = plan.read_bytes()
    for content in (whole[:-1], b"\x01" + whole[1:], b""):
        plan.write_bytes(content)
        assert "drivenet build" in refused(plan, "is damaged or another file")
    plan.unlink()
    refused(plan, "cannot be read")


def test_no_passport_no_entry(tmp_path: Path) -> None:
    plan = issue(tmp_path)
    passport_path(plan).unlink()
    assert "drivenet build" in refused(plan, "has no passport")


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b"\xff\xfe", b"null", b" " * (2 << 20)])
def test_a_damaged_passport_is_refused(tmp_path: Path, content: bytes) -> None:
    plan = issue(tmp_path)
    passport_path(plan).write_bytes(content)
    refused(plan, "is no passport")


def test_an_edited_passport_is_refused(tmp_path: Path) -> None:
    plan = issue(tmp_path)
    passport = json.loads(passport_path(plan).read_text(encoding="utf-8"))
    classes = passport["spec"]["labels"]["classes"]
    classes[0], classes[1] = classes[1], classes[0]
    passport_path(plan).write_text(json.dumps(passport), encoding="utf-8")
    refused(plan, "was changed after the build")


def test_the_passport_of_another_file_is_refused(tmp_path: Path) -> None:
    plan = issue(tmp_path)
    other = plan.with_name("other-fp16.plan")
    passport_path(plan).rename(passport_path(other))
    plan.rename(other)
    refused(other, "is the passport of palette-fp16.plan")


def test_a_passport_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    plan = tmp_path / "palette-fp16.plan"
    issue(tmp_path, files={plan.name: "0" * 64, "../palette.onnx": "0" * 64})
    with pytest.raises(EngineError):
        admit(plan, "tensorrt", MACHINE)


def test_another_onnx_is_refused(tmp_path: Path) -> None:
    plan = issue(tmp_path)
    palette_model(tmp_path, val_miou=0.5)
    refused(plan, "was built from another palette.onnx")


def test_another_label_set_is_refused(tmp_path: Path) -> None:
    plan = issue(tmp_path)
    other = palette_spec(name="palette").model_copy(update={"labels": LabelsSpec.of(CITYSCAPES)})
    spec_path(tmp_path / "palette.onnx").write_text(other.to_json(), encoding="utf-8")
    refused(plan, "has other labels than")


def test_another_backend_is_refused(tmp_path: Path) -> None:
    refused(issue(tmp_path), "is made for tensorrt; expected openvino", backend="openvino")


def test_parity_must_have_been_measured_and_reached(tmp_path: Path) -> None:
    refused(issue(tmp_path, parity=None), "was never compared")
    low = PARITY.model_copy(update={"agreement": 0.99})
    refused(issue(tmp_path, parity=low), r"fell short: 99\.00% of pixels")
    refused(issue(tmp_path, parity=PARITY.model_copy(update={"worst_iou": 0.7})), "worst class Pole at IoU 0.7")
    admit(issue(tmp_path, parity=low.model_copy(update={"accepted": True})), "tensorrt", MACHINE)
    admit(issue(tmp_path, parity=None), "tensorrt", MACHINE, unproven=True)


def test_reading_checks_nothing_of_the_machine(tmp_path: Path) -> None:
    plan = issue(tmp_path)
    plan.unlink()
    assert read_passport(plan).machine == MACHINE


def test_a_parity_without_things_is_written_as_before_there_were_any() -> None:
    assert not {"things", "min_things"} & PARITY.model_dump().keys()
    parted = PARITY.model_copy(update={"things": 0.9, "min_things": 0.95})
    assert {"things": 0.9, "min_things": 0.95}.items() <= parted.model_dump().items()
    assert not parted.passed
