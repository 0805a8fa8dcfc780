"""Reads and writes a deployed ONNX together with its spec."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import onnx

from drivenet.errors import ModelSpecError, SinkError, UsageError
from drivenet.files import write_atomic
from drivenet.modelspec import METADATA_KEY, ModelSpec, spec_path, with_digest
from drivenet.sinks.target import check_writable


def load(source: Path) -> tuple[onnx.ModelProto, ModelSpec]:
    """A model that drivenet wrote and the spec inside it.

    Raises:
        UsageError: for a file that is not there or no ONNX.
        ModelSpecError: if it holds no spec.
    """
    try:
        model = onnx.load(source)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"cannot read {source}: {reason}", "an ONNX that drivenet export wrote") from error
    text = next((p.value for p in model.metadata_props if p.key == METADATA_KEY), None)
    if text is None:
        raise ModelSpecError(f"{source} is an ONNX of another program", "one that drivenet wrote",
                             f"import it first: drivenet import {source} --from onnx --out mine.onnx")  # fmt: skip
    return model, ModelSpec.from_json(text, str(source))


def check_target(out: Path) -> None:
    """Ask before the work whether :func:`store` will be able to write.

    Raises:
        UsageError: for another suffix than ``.onnx``.
        SinkError: if nothing can be written there, or beside it.
    """
    if out.suffix != ".onnx":
        raise UsageError(f"output {out}", "a file that ends in .onnx")
    for file in (out, spec_path(out)):
        check_writable(file)


def store(model: onnx.ModelProto, spec: ModelSpec, out: Path, full_check: bool = True) -> None:
    """Put the spec into the model, check it, and write it with the spec beside it as ``*.json``.

    Args:
        model: changed in place.
        spec: goes inside and beside.
        out: ``*.onnx``.
        full_check: whether shapes are inferred and compared as well.

    Raises:
        SinkError: if nothing can be written there; what was there stays.
    """
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    model.producer_name, model.doc_string = "drivenet", ""
    onnx.checker.check_model(model, full_check=full_check)
    data = model.SerializeToString()
    beside = spec_path(out)
    try:
        before = beside.read_bytes() if beside.is_file() else None
        write_atomic(beside, with_digest(spec.to_json(), hashlib.sha256(data).hexdigest()) + "\n")
        with _undone(beside, before):
            write_atomic(out, data)
    except OSError as error:
        raise SinkError(f"cannot write {out}: {error.strerror or error}", "a file in a writable folder") from error


@contextmanager
def _undone(file: Path, before: bytes | None) -> Iterator[None]:
    """A file holds what it held, None for no file, if what goes with it cannot be written: the two belong together."""
    try:
        yield
    except OSError:
        with suppress(OSError):
            file.unlink() if before is None else write_atomic(file, before)
        raise
