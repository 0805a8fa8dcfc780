"""Reads an ONNX file: opens the session that will run it, and checks what it says of itself."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import onnxruntime as ort

from drivenet.artefacts.compiled import backend_of
from drivenet.artefacts.spec_json import parse_spec, read_spec_json
from drivenet.at_work import AT_WORK
from drivenet.errors import EngineError, ModelSpecError
from drivenet.files import sha256_of, state_of
from drivenet.modelspec import METADATA_KEY, ModelSpec, spec_path, stated_digest

CPU = ("CPUExecutionProvider",)
INPUT, OUTPUT, CONFIDENCE, CENTRES, OFFSETS = "frame", "classes", "confidence", "centres", "offsets"
_FATAL = 4
_SETTLED_NS = 2_000_000_000


def read_spec(file: Path) -> ModelSpec:
    """The spec of an ONNX file, checked against its graph and the JSON beside it; nothing is run.

    Read once as long as neither file has changed: a run asks for it once for every backend that it times.

    Raises:
        ModelSpecError: for a file that is no ONNX or none of ours, or that contradicts its spec or JSON.
        EngineError: for a file that is missing, cannot be read or is a compiled artefact.
    """
    states = state_of(file), state_of(spec_path(file))
    # files have the time of the last tick, of some milliseconds: one that was just written may be written again in it
    is_settled = all(time.time_ns() - changed_ns > _SETTLED_NS for *_, changed_ns in filter(None, states))
    return _known_spec(file, *states) if is_settled else _read_spec(file)


@functools.lru_cache(maxsize=16)
def _known_spec(file: Path, *states: tuple[int, ...]) -> ModelSpec:
    return _read_spec(file)


def _read_spec(file: Path) -> ModelSpec:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return spec_of(open_session(file, options), file)


def open_session(file: Path, options: Any, providers: tuple[str, ...] = CPU) -> Any:
    """An ``onnxruntime.InferenceSession`` on exactly the given providers, silent on the terminal.

    Args:
        file: the ONNX.
        options: ``onnxruntime.SessionOptions``; logging and format are set here.
        providers: execution providers in order of preference.

    Raises:
        EngineError: if the file cannot be read or is a compiled artefact, a provider is not there, or other providers
            were set up.
        ModelSpecError: if the file is no ONNX that ONNX Runtime can load.
    """
    _check_readable(file)
    _check_available(providers)
    options.log_severity_level = _FATAL
    # Otherwise the suffix .ort selects a format whose contents ONNX Runtime trusts.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        # Without enable_fallback=0 a failed provider is replaced by the processor, with a note on stdout.
        with AT_WORK.on(str(file)):
            session = ort.InferenceSession(_as_told(file), options, providers=_exact(providers), enable_fallback=0)
    except Exception as error:  # its exceptions share no base class of their own
        raise ModelSpecError(
            f"{file} cannot be loaded: {reason(error)}", "an ONNX from drivenet export", "export the model again"
        ) from error
    got = tuple(session.get_providers())
    if got[: len(providers)] != providers:
        raise EngineError(f"{file} runs on {', '.join(got)}", ", ".join(providers), "ask for the provider that exists")
    return session


def _as_told(file: Path) -> str | bytes:
    """The name, or the content of a file whose name is no UTF-8, which ONNX Runtime does not take."""
    return file.read_bytes() if any("\ud800" <= c <= "\udfff" for c in str(file)) else str(file)


def _exact(providers: tuple[str, ...]) -> list[Any]:
    """Providers with what makes them compute fp32 as fp32: CUDA would round products to 10 bits."""
    return [(name, {"use_tf32": "0"}) if name == "CUDAExecutionProvider" else name for name in providers]


def spec_of(session: Any, file: Path) -> ModelSpec:
    """The spec inside an open session's model, checked against its graph and the JSON beside the file.

    Raises:
        ModelSpecError: if there is none, it is invalid, or graph or JSON say otherwise.
    """
    try:
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except UnicodeDecodeError as error:
        raise ModelSpecError(f"{file} holds damaged metadata", "a whole file", "copy or export it again") from error
    if text is None:
        raise ModelSpecError(
            f"{file} is an ONNX of another program: it has no {METADATA_KEY}",
            "an ONNX that states its input, normalisation and labels",
            f"import it first: drivenet import {file} --from onnx --labels cityscapes --out mine.onnx",
        )
    spec = parse_spec(text, str(file))
    beside = spec_path(file)
    if beside.exists() and read_spec_json(beside) != spec:
        raise ModelSpecError(
            f"{beside} differs from the spec inside {file}", "equal specs", "export the model again, or delete the JSON"
        )
    _check_graph(session, spec, file)
    return spec


def reason(error: Exception) -> str:
    """The first line of an ONNX Runtime message, of bearable length."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]


def _check_readable(file: Path) -> None:
    try:
        if not file.exists():
            raise EngineError(f"no engine {file}", cure="drivenet models lists those that ship with drivenet")
        if not file.is_file():
            raise EngineError(f"{file} is no file", "an ONNX file")
        with file.open("rb") as f:
            empty = not f.read(1)
    except (OSError, ValueError) as error:
        raise EngineError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    made_for = backend_of(file)
    if made_for:
        raise EngineError(f"{file} is made for {made_for}", "an ONNX", f"run it with --backend {made_for}")
    if empty:
        raise ModelSpecError(f"{file} is empty", "an ONNX from drivenet export", "copy or export it again")
    _check_digest(file)


def _check_digest(file: Path) -> None:
    """ModelSpecError if the JSON beside a file states another SHA-256: a few flipped bytes load, and see nothing."""
    beside = spec_path(file)
    try:
        stated = stated_digest(beside.read_text(encoding="utf-8")) if beside.is_file() else ""
    except (OSError, ValueError):  # told where the spec is read
        return
    if stated and stated != sha256_of(file):
        raise ModelSpecError(
            f"{file} is not the file that {beside.name} was written for: its SHA-256 differs",
            "an undamaged file", "copy or export it again",
        )  # fmt: skip


def _check_available(providers: tuple[str, ...]) -> None:
    available = ort.get_available_providers()
    missing = [p for p in providers if p not in available]
    if missing:
        raise EngineError(f"this ONNX Runtime has no {', '.join(missing)}", f"one of {', '.join(available)}")


def _check_graph(session: Any, spec: ModelSpec, file: Path) -> None:
    """ModelSpecError unless the graph takes and gives what the spec says."""
    for kind, ports, nodes in (
        ("input", [(INPUT, [1, *spec.input, 3])], session.get_inputs()),
        ("output", spec.outputs(), session.get_outputs()),
    ):
        got = [(n.name, n.type, list(n.shape)) for n in nodes]
        wanted = [(name, "tensor(uint8)", shape) for name, shape in ports]
        if got != wanted:
            raise ModelSpecError(
                f"the {kind} of {file} is {_told(got) or 'missing'}",
                f"{_told(wanted)} as in its spec",
                "export the model again",
            )


def _told(ports: list[tuple[str, str, list[Any]]]) -> str:
    return ", ".join(f"{name} {kind} {shape}" for name, kind, shape in ports)
