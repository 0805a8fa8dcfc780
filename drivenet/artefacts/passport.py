"""The passport of a compiled artefact: what it was built from, for which machine, how well it keeps to its reference.

It lies beside the artefact as JSON and is checked before anything is deserialised.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from drivenet.errors import EngineError, UsageError
from drivenet.modelspec import ModelSpec, Precision

FORMAT: Literal[1] = 1
#: Bytes; a longer file is no passport.
MAX_BYTES = 1 << 20


class NotAdmittedError(EngineError):
    """A compiled artefact that may not be used as it is; one that is built again may."""


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
    things: float | None = Field(
        default=None, ge=0, le=1, description="share of the reference's things that it has; left out without a head"
    )
    min_things: float | None = Field(default=None, ge=0, le=1)
    confidence: float | None = Field(
        default=None, ge=0, le=1, description="share of unsure pixels with about the same confidence; left out without"
    )
    min_confidence: float | None = Field(default=None, ge=0, le=1)
    accepted: bool = Field(default=False, description="used although it falls short, because --accept-parity said so")

    @property
    def passed(self) -> bool:
        """Whether all figures reach their thresholds."""
        pairs = [
            (self.agreement, self.min_agreement),
            (self.worst_iou, self.min_iou),
            (self.things, self.min_things),
            (self.confidence, self.min_confidence),
        ]
        return all(found >= least for found, least in pairs if found is not None and least is not None)

    @model_serializer(mode="wrap")
    def _leave_out_what_is_not(self, as_usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without things or confidence a parity is written as before there were any: seals stay valid."""
        fields: dict[str, Any] = as_usual(self)
        return {name: value for name, value in fields.items() if value is not None}

    def __str__(self) -> str:
        told = [
            f"{self.agreement:.2%} of pixels as {self.reference} (at least {self.min_agreement:.1%})",
            f"worst class {self.worst_class} at IoU {self.worst_iou:.3f} (at least {self.min_iou:.2f})",
        ]
        if self.things is not None and self.min_things is not None:
            told.append(f"{self.things:.1%} of its things (at least {self.min_things:.0%})")
        if self.confidence is not None and self.min_confidence is not None:
            told.append(f"{self.confidence:.1%} of unsure pixels as sure (at least {self.min_confidence:.0%})")
        return f"{', '.join(told)}, on {self.images} pictures of {self.pictures}"


class Passport(BaseModel):
    """All that must hold for a compiled artefact to be used.

    ``machine`` must be the same where it runs; ``recorded`` is for people. ``options`` are the flags of
    ``drivenet build`` that made it, without their dashes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    backend: str = Field(min_length=1)
    precision: Precision
    files: dict[str, str] = Field(min_length=1, description="SHA-256 of every file of the artefact, by its name")
    onnx: str = Field(min_length=1, description="what it was built from: a name beside the artefact, or a path")
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


def passport_path(artefact: Path) -> Path:
    """Where the passport of an artefact lies: ``fast-fp16.plan`` has ``fast-fp16.plan.json``."""
    return artefact.with_name(f"{artefact.name}.json")


def read_passport(artefact: Path) -> Passport:
    """The passport beside an artefact, intact; nothing else is read.

    Raises:
        NotAdmittedError: if there is none, or it is damaged, edited or the passport of another file.
    """
    file = passport_path(artefact)
    cure = f"build it again: drivenet build MODEL.onnx --backend BACKEND --out {shlex.quote(str(artefact.parent))}"
    try:
        if not file.is_file():
            raise NotAdmittedError(f"{artefact} has no passport", f"{file.name} beside it", cure)
        with file.open("rb") as f:
            raw = f.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise NotAdmittedError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or error}", cure=cure
        ) from error
    try:
        passport = Passport.model_validate_json(raw if len(raw) <= MAX_BYTES else b"")
        intact = passport.intact
    except (ValidationError, UsageError, ValueError) as error:
        told = f"{e['loc']}: {e['msg']}" if isinstance(error, ValidationError) and (e := error.errors()[0]) else error
        raise NotAdmittedError(f"{file} is no passport: {told}", "the JSON that drivenet build writes", cure) from error
    if artefact.name not in passport.files:
        named = ", ".join(passport.files)
        raise NotAdmittedError(f"{file} is the passport of {named}", artefact.name, passport.rebuild(artefact.parent))
    if not intact:
        raise NotAdmittedError(f"{file} was changed after the build", cure=passport.rebuild(artefact.parent))
    return passport
