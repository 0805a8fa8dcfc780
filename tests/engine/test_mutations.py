"""Hundreds of random mutations of plan, passport and ONNX: each is refused in one line, or changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx_models import SIZE, palette_model, palette_spec

from drivenet.artefacts.admission import admit
from drivenet.artefacts.passport import Parity, Passport, passport_path
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine
from drivenet.errors import DrivenetError, EngineError
from drivenet.files import sha256_of

MACHINE = {"gpu": "Orin", "compute_capability": "8.7", "tensorrt": "8.5.3.1"}
ROUNDS = 200


def flip(content: bytes, rng: random.Random) -> bytes:
    i = rng.randrange(len(content))
    return content[:i] + bytes([content[i] ^ (1 << rng.randrange(8))]) + content[i + 1 :]


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def splice(content: bytes, rng: random.Random) -> bytes:
    i, j, n = rng.randrange(len(content)), rng.randrange(len(content)), rng.randrange(1, 32)
    return content[:i] + content[j : j + n] + content[i + n :]


def insert(content: bytes, rng: random.Random) -> bytes:
    i = rng.randrange(len(content) + 1)
    return content[:i] + rng.randbytes(rng.randrange(1, 16)) + content[i:]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (flip, cut, splice, insert)


def mutated(content: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    return MUTATIONS[seed % len(MUTATIONS)](content, rng)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    onnx = palette_model(tmp_path)
    plan = tmp_path / "palette-fp16.plan"
    plan.write_bytes(np.random.default_rng(0).bytes(5000))
    parity = Parity(
        reference=onnx.name, pictures="none", images=1, agreement=1, worst_class="Sky", worst_iou=1,
        min_agreement=0.995, min_iou=0.8,
    )  # fmt: skip
    passport = Passport(
        backend="tensorrt", precision="fp16", files={plan.name: sha256_of(plan)}, onnx=onnx.name,
        onnx_sha256=sha256_of(onnx), spec=palette_spec(), machine=MACHINE, parity=parity,
    )  # fmt: skip
    passport_path(plan).write_text(passport.sealed().to_json(), encoding="utf-8")
    return plan


@pytest.mark.parametrize("which", ["plan", "passport", "onnx"])
def test_a_mutated_artefact_is_never_deserialised(plan: Path, which: str) -> None:
    files = {"plan": plan, "passport": passport_path(plan), "onnx": plan.with_name("palette.onnx")}
    file = files[which]
    whole = file.read_bytes()
    refused: list[str] = []
    for seed in range(ROUNDS):
        content = mutated(whole, seed)
        file.write_bytes(content)
        try:
            admitted = admit(plan, "tensorrt", MACHINE)
        except EngineError as error:
            refused.append(str(error))
            continue
        # a mutation that puts back what was there, or only touches the blanks of the JSON
        assert admitted.contents[plan.name] == plan.read_bytes()
        assert content == whole or which == "passport"
        assert admitted.passport.intact
    assert len(refused) > ROUNDS * 0.9
    assert not [message for message in refused if "\n" in message]


def test_a_mutated_onnx_is_refused_or_computes_ids_that_have_a_class(tmp_path: Path) -> None:
    file = palette_model(tmp_path)
    whole = file.read_bytes()
    image = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)
    refused: list[str] = []
    for seed in range(ROUNDS):
        file.write_bytes(mutated(whole, seed))
        try:
            ids = OnnxRuntimeEngine(file, threads=1).infer(image)
        except DrivenetError as error:
            refused.append(str(error))
        else:
            assert (ids.dtype, ids.shape) == (np.uint8, palette_spec().output)
            assert ids.max() < len(palette_spec().labels.classes)
    assert len(refused) > ROUNDS * 0.5
    assert not [message for message in refused if "\n" in message]
