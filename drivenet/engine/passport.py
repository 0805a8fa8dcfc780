"""The passport of a compiled artefact: what it was built from, for which machine, how well it keeps to its reference.

It lies beside the artefact as JSON and is checked before anything is deserialised.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drivenet.engine.spec_json import read_spec_json
from drivenet.errors import EngineError, ModelSpecError, UsageError
from drivenet.modelspec import ModelSpec, Precision, sha256_of, spec_path

FORMAT: Literal[1] = 1
#: Bytes; a longer file is no passport.
MAX_BYTES = 1 << 20

Backend = Literal["tensorrt", "openvino"]


class Parity(BaseModel):
    """How an artefact compares with the FP32 ONNX on sample pictures; shares are 0..1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: str = Field(description="file name of the ONNX that it was compared with")
    pictures: str = Field(description="what was shown to both")
    images: int = Field(ge=1)
    agreement: float = Field(ge=0, le=1, description="share of pixels with the same class")
    worst_class: str
    worst_iou: float = Field(ge=0, le=1, description="lowest IoU of a class that the reference finds")
    min_agreement: float = Field(ge=0, le=1)
    min_iou: float = Field(ge=0, le=1)
    accepted: bool = Field(default=False, description="used although it falls short, because --accept-parity said so")

    @property
    def passed(self) -> bool:
        """Whether both figures reach their thresholds."""
        return self.agreement >= self.min_agreement and self.worst_iou >= self.min_iou

    def __str__(self) -> str:
        return (
            f"{self.agreement:.2%} of pixels as {self.reference} (at least {self.min_agreement:.1%}), "
            f"worst class {self.worst_class} at IoU {self.worst_iou:.3f} (at least {self.min_iou:.2f}), "
            f"on {self.images} pictures of {self.pictures}"
        )


class Passport(BaseModel):
    """All that must hold for a compiled artefact to be used.

    ``machine`` must be the same where it runs; ``recorded`` is for people. ``options`` are the flags of
    ``drivenet build`` that made it, without their dashes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    backend: Backend
    precision: Precision
    files: dict[str, str] = Field(min_length=1, description="SHA-256 of every file of the artefact, by its name")
    onnx: str = Field(min_length=1, description="name of the ONNX that it was built from")
    onnx_sha256: str
    spec: ModelSpec
    machine: dict[str, str]
    recorded: dict[str, str] = Field(default_factory=dict)
    options: dict[str, str] = Field(default_factory=dict)
    parity: Parity | None = None
    seal: str = Field(default="", description="SHA-256 of all the rest, so that no edit goes unnoticed")

    def sealed(self) -> Passport:
        """The same with a seal that fits."""
        return self.model_copy(update={"seal": self._digest()})

    @property
    def intact(self) -> bool:
        """Whether nothing was changed since it was sealed."""
        return self.seal == self._digest()

    def to_json(self) -> str:
        """One JSON document, stable in its order."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)

    def rebuild(self, folder: Path) -> str:
        """The command that builds the artefact again, into ``folder``."""
        words = ["drivenet", "build", str(folder / self.onnx), "--backend", self.backend, "--precision", self.precision]
        for name, value in self.options.items():
            words += [f"--{name}", value] if value else [f"--{name}"]
        return shlex.join([*words, "--out", str(folder)])

    def _digest(self) -> str:
        content = self.model_dump(mode="json", exclude={"seal"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Admitted:
    """An artefact that may be used: its passport and the very bytes that were checked, by file name."""

    passport: Passport
    contents: dict[str, bytes]


def passport_path(artefact: Path) -> Path:
    """Where the passport of an artefact lies: ``fast-fp16.plan`` has ``fast-fp16.plan.json``."""
    return artefact.with_name(f"{artefact.name}.json")


def read_passport(artefact: Path) -> Passport:
    """The passport beside an artefact, intact; nothing else is read.

    Raises:
        EngineError: if there is none, or it is damaged, edited or the passport of another file.
    """
    file = passport_path(artefact)
    cure = f"build it again: drivenet build MODEL.onnx --backend BACKEND --out {shlex.quote(str(artefact.parent))}"
    try:
        if not file.is_file():
            raise EngineError(f"{artefact} has no passport", f"{file.name} beside it", cure)
        with file.open("rb") as f:
            raw = f.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise EngineError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}", cure=cure) from error
    try:
        passport = Passport.model_validate_json(raw if len(raw) <= MAX_BYTES else b"")
        intact = passport.intact
    except (ValidationError, UsageError, ValueError) as error:
        told = f"{e['loc']}: {e['msg']}" if isinstance(error, ValidationError) and (e := error.errors()[0]) else error
        raise EngineError(f"{file} is no passport: {told}", "the JSON that drivenet build writes", cure) from error
    if artefact.name not in passport.files:
        named = ", ".join(passport.files)
        raise EngineError(f"{file} is the passport of {named}", artefact.name, passport.rebuild(artefact.parent))
    if not intact:
        raise EngineError(f"{file} was changed after the build", cure=passport.rebuild(artefact.parent))
    return passport


def admit(artefact: Path, backend: str, machine: Mapping[str, str], unproven: bool = False) -> Admitted:
    """Check everything that must hold before an artefact is deserialised.

    Args:
        artefact: the file that is named to an engine.
        backend: who asks.
        machine: what this machine is, by the keys that the backend writes into its passports.
        unproven: whether an artefact without parity figures will do; only for who is about to measure them.

    Raises:
        EngineError: for whatever differs, with the command that builds the artefact again.
    """
    passport = read_passport(artefact)
    cure = f"build it again: {passport.rebuild(artefact.parent)}"
    if passport.backend != backend:
        raise EngineError(f"{artefact} is made for {passport.backend}", backend, f"use --backend {passport.backend}")
    _check_machine(artefact, passport, machine, cure)
    contents = _contents(artefact, passport, cure)
    _check_origin(artefact, passport, cure)
    if not unproven:
        _check_parity(artefact, passport, cure)
    return Admitted(passport, contents)


def _check_machine(artefact: Path, passport: Passport, machine: Mapping[str, str], cure: str) -> None:
    keys = sorted({*passport.machine, *machine})
    differ = [k for k in keys if passport.machine.get(k) != machine.get(k)]
    if differ:
        built = ", ".join(f"{k} {passport.machine.get(k, 'unknown')}" for k in differ)
        here = ", ".join(f"{k} {machine.get(k, 'unknown')}" for k in differ)
        raise EngineError(f"{artefact} was built for {built}", f"{here}, as here", cure)


def _contents(artefact: Path, passport: Passport, cure: str) -> dict[str, bytes]:
    """The bytes of every file of the artefact; EngineError unless they are those that were built."""
    contents = {}
    for name, digest in passport.files.items():
        if Path(name).name != name:
            raise EngineError(f"the passport of {artefact} names {name!r}", "files beside it", cure)
        try:
            contents[name] = artefact.with_name(name).read_bytes()
        except (OSError, ValueError) as error:
            told = getattr(error, "strerror", None) or error
            raise EngineError(f"{artefact.with_name(name)} cannot be read: {told}", cure=cure) from error
        got = hashlib.sha256(contents[name]).hexdigest()
        if got != digest:
            told = f"{artefact.with_name(name)} is damaged or another file (SHA-256 {got[:12]})"
            raise EngineError(told, f"{digest[:12]} as in its passport", cure)
    return contents


def _check_origin(artefact: Path, passport: Passport, cure: str) -> None:
    """EngineError if the ONNX beside the artefact is no longer the one that it was built from."""
    onnx = artefact.with_name(Path(passport.onnx).name)
    if not onnx.is_file():
        return
    if sha256_of(onnx) != passport.onnx_sha256:
        raise EngineError(f"{artefact} was built from another {onnx.name} than the one beside it", cure=cure)
    if not spec_path(onnx).is_file():
        return
    try:
        spec = read_spec_json(spec_path(onnx))
    except ModelSpecError as error:
        raise EngineError(f"{spec_path(onnx)} beside {artefact} is damaged", cure="export the model again") from error
    fields = ("labels", "input", "output", "colour", "source_sha256")
    differ = [f for f in fields if getattr(spec, f) != getattr(passport.spec, f)]
    if differ:
        raise EngineError(f"{artefact} has other {', '.join(differ)} than {spec_path(onnx)}", cure=cure)


def _check_parity(artefact: Path, passport: Passport, cure: str) -> None:
    parity = passport.parity
    if parity is None:
        raise EngineError(f"{artefact} was never compared with its FP32 reference", cure=cure)
    if not (parity.passed or parity.accepted):
        raise EngineError(f"{artefact} fell short: {parity}", cure=f"{cure} --accept-parity, if that will do")
