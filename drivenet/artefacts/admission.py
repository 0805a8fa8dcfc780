"""Lets a compiled artefact in, or says what differs and how to build it again; nothing is deserialised before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drivenet.artefacts.passport import NotAdmittedError, Passport, read_passport
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.errors import EngineError, ModelSpecError
from drivenet.files import sha256_of
from drivenet.modelspec import spec_path


@dataclass(frozen=True)
class Admitted:
    """An artefact that may be used: its passport and the very bytes that were checked, by file name."""

    passport: Passport
    contents: dict[str, bytes]


def admit(artefact: Path, backend: str, machine: Mapping[str, str], unproven: bool = False) -> Admitted:
    """Check everything that must hold before an artefact is deserialised.

    Args:
        artefact: the file that is named to an engine.
        backend: who asks.
        machine: what this machine is, by the keys that the backend writes into its passports.
        unproven: whether an artefact without parity figures will do; only for who is about to measure them.

    Raises:
        NotAdmittedError: for whatever differs, with the command that builds the artefact again.
        EngineError: for an artefact of another backend, or a damaged JSON of its ONNX, which no build would mend.
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
        raise NotAdmittedError(f"{artefact} was built for {built}", f"{here}, as here", cure)


def _contents(artefact: Path, passport: Passport, cure: str) -> dict[str, bytes]:
    """The bytes of every file of the artefact; NotAdmittedError unless they are those that were built."""
    contents = {}
    for name, digest in passport.files.items():
        if Path(name).name != name:
            raise NotAdmittedError(f"the passport of {artefact} names {name!r}", "files beside it", cure)
        try:
            contents[name] = artefact.with_name(name).read_bytes()
        except (OSError, ValueError) as error:
            told = getattr(error, "strerror", None) or error
            raise NotAdmittedError(f"{artefact.with_name(name)} cannot be read: {told}", cure=cure) from error
        got = hashlib.sha256(contents[name]).hexdigest()
        if got != digest:
            told = f"{artefact.with_name(name)} is damaged or another file (SHA-256 {got[:12]})"
            raise NotAdmittedError(told, f"{digest[:12]} as in its passport", cure)
    return contents


def _check_origin(artefact: Path, passport: Passport, cure: str) -> None:
    """NotAdmittedError if the ONNX beside the artefact is no longer the one that it was built from."""
    onnx = artefact.with_name(Path(passport.onnx).name)
    if not onnx.is_file():
        return
    if sha256_of(onnx) != passport.onnx_sha256:
        raise NotAdmittedError(f"{artefact} was built from another {onnx.name} than the one beside it", cure=cure)
    if not spec_path(onnx).is_file():
        return
    try:
        spec = read_spec_json(spec_path(onnx))
    except ModelSpecError as error:
        raise EngineError(f"{spec_path(onnx)} beside {artefact} is damaged", cure="export the model again") from error
    fields = ("labels", "input", "output", "colour", "source_sha256")
    differ = [f for f in fields if getattr(spec, f) != getattr(passport.spec, f)]
    if differ:
        raise NotAdmittedError(f"{artefact} has other {', '.join(differ)} than {spec_path(onnx)}", cure=cure)


def _check_parity(artefact: Path, passport: Passport, cure: str) -> None:
    parity = passport.parity
    if parity is None:
        raise NotAdmittedError(f"{artefact} was never compared with its FP32 reference", cure=cure)
    if not (parity.passed or parity.accepted):
        raise NotAdmittedError(f"{artefact} fell short: {parity}", cure=f"{cure} --accept-parity, if that will do")
