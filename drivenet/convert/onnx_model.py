"""An ONNX of another program as one of drivenet's, with its declared preprocessing inside, proved on pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from drivenet.config import load_labels
from drivenet.convert import cost, graph
from drivenet.convert.bake import bake
from drivenet.convert.declaration import Declaration
from drivenet.convert.declaration import preset as named
from drivenet.convert.ports import Input, Output, choose_output, read_input, read_output
from drivenet.convert.reference import Agreement, Reference, compare
from drivenet.data.pictures import folder_pictures, synthetic_pictures
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine
from drivenet.engine.onnxruntime.file import open_session
from drivenet.errors import DrivenetError, EngineError, UsageError
from drivenet.export.stored import check_target, store
from drivenet.files import sha256_of
from drivenet.frame import Image
from drivenet.labels import LabelSet
from drivenet.modelspec import TAILS, LabelsSpec, ModelSpec, Tail
from drivenet.onnx_graph import ends_in
from drivenet.prepare import prepare_for

#: Height and width of the synthetic sample images.
_SYNTHETIC = (540, 960)


@dataclass(frozen=True)
class Imported:
    """What came of an import.

    Args:
        spec: of the file that was written.
        agreement: with the original.
    """

    spec: ModelSpec
    agreement: Agreement


@dataclass(frozen=True)
class Request:
    """What is imported and how.

    Args:
        file: the original, ``*.onnx``; external data is read from beside it.
        out: ``*.onnx``; the spec goes beside it as ``*.json``.
        declared: its preprocessing and output.
        labels: what its class ids mean.
        size: (height, width) that it is deployed at; None for its own.
        tail: at which part of the input's size scores become ids; None for the model's own size if it is the input's
            or it gives ids already, else ``full``.
        preset: name of the preset that the declaration started from, for the record.
    """

    file: Path
    out: Path
    declared: Declaration
    labels: LabelSet
    size: tuple[int, int] | None = None
    tail: Tail | None = None
    preset: str = ""


def import_onnx(
    file: str | Path,
    out: str | Path,
    labels: str | LabelSet | None = None,
    *,
    preset: str | None = None,
    size: tuple[int, int] | None = None,
    tail: Tail | None = None,
    samples: str | Path | None = None,
    **declared: Any,
) -> Imported:
    """Import the ONNX of another program: ``drivenet import --from onnx`` from Python.

    Args:
        file: the original; external data is read from beside it.
        out: ``*.onnx``; the spec goes beside it as ``*.json``.
        labels: what its class ids mean: a label set, a built-in name or a YAML file; None for those of the preset.
        preset: one of :data:`~drivenet.convert.declaration.PRESETS`.
        size: (height, width) that it is deployed at; None for its own.
        tail: size at which scores become ids, ``full``, ``half`` or ``eighth`` of the input's.
        samples: folder of images to compare with the original on; None for the synthetic drive.
        declared: fields of :class:`~drivenet.convert.declaration.Declaration` that win over the preset.

    Raises:
        UsageError, EngineError, SinkError: as :func:`convert_onnx`.
    """
    rules = named(preset).with_options(**declared)
    if declared.get("pad") is not None and rules.fit != "letterbox":
        raise UsageError(f"--pad {rules.pad} with --fit {rules.fit}", "--fit letterbox, which has bars")
    known = labels or rules.labels
    if known is None:
        raise UsageError("no labels", "the classes of its ids", "give --labels cityscapes, or a FILE.yaml")
    label_set = known if isinstance(known, LabelSet) else load_labels(known)
    pictures = synthetic_pictures(_SYNTHETIC) if samples is None else folder_pictures(Path(samples))
    source = "the synthetic drive" if samples is None else str(samples)
    return convert_onnx(Request(Path(file), Path(out), rules, label_set, size, tail, preset or ""), pictures, source)


def convert_onnx(request: Request, pictures: Sequence[Image], source: str) -> Imported:
    """Write the model with its preprocessing and argmax inside, once it gives what the original gives.

    Args:
        request: what is wanted.
        pictures: to compare on, (H, W, 3) uint8 BGR of any size.
        source: what the pictures are, for the record.

    Raises:
        UsageError: for a file that is no such model, contradicts what is declared, or pictures that prove nothing.
        EngineError: for a model whose result differs from the original's.
        SinkError: if nothing can be written there.
    """
    file, out = request.file, request.out
    check_target(out)
    original = graph.read(file)
    session = _session(file)
    taken = read_input(session, request.declared, request.size, file)
    declared = _identity_for_bytes(request.declared, taken, file)
    name = choose_output(session, declared, file)
    probable = ends_in(original, name, "Sigmoid")
    given = read_output(session, name, taken, declared, len(request.labels), probable, file)
    if declared.threshold is not None and given.kind != "sigmoid":
        told = f"--threshold {declared.threshold:g}, and the output {name} of {file} holds {given.kind}"
        raise UsageError(told, "a single channel", "leave --threshold out")
    output = _output_size(given, taken, request.tail)
    model = graph.normal_form(original, name)
    bake(model, taken, given, declared, output)
    spec = _spec(request, original, model, declared, taken, output)
    reference = Reference(session, taken, given, declared, output, len(request.labels))
    images = [prepare_for(picture, spec) for picture in pictures]
    agreement = _prove(model, spec, reference, images, source, file)
    spec = spec.model_copy(update={"training": {**spec.training, "comparison": str(agreement)}})
    store(model, spec, out, full_check=False)
    return Imported(spec, agreement)


def _session(file: Path) -> object:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return open_session(file, options)
    except DrivenetError as error:
        raise UsageError(str(error).split(";")[0], "an ONNX that ONNX Runtime runs on the processor") from error


def _identity_for_bytes(declared: Declaration, taken: Input, file: Path) -> Declaration:
    """A model that takes bytes normalises them itself."""
    if np.dtype(taken.dtype) != np.uint8:
        return declared
    if any(declared.mean) or set(declared.std) != {1.0}:
        raise UsageError(f"{file} takes uint8 and is declared with mean and std", "no --mean and --std",
                         "leave them and the preset out: the model normalises by itself")  # fmt: skip
    if declared.scale not in (1, Declaration.scale):
        raise UsageError(f"{file} takes uint8 and is declared with scale {declared.scale:g}", "bytes as they are",
                         "leave --scale out: the model normalises by itself")  # fmt: skip
    return replace(declared, scale=1.0)


def _output_size(given: Output, taken: Input, tail: Tail | None) -> tuple[int, int]:
    """(height, width) of the class map: ids stay as they come."""
    if given.kind == "ids":
        if tail is not None:
            raise UsageError(f"--tail {tail} for a model that gives ids", "scores", "leave --tail out")
        return given.size
    divisor = TAILS[tail or "full"]
    return taken.size[0] // divisor, taken.size[1] // divisor


def _spec(
    request: Request, original: onnx.ModelProto, model: onnx.ModelProto, declared: Declaration, taken: Input,
    output: tuple[int, int],
) -> ModelSpec:  # fmt: skip
    exporter = f"{original.producer_name} {original.producer_version}".strip()
    record = {"imported": request.preset or "declared", "exporter": exporter, "opset": graph.opset(original)}
    return ModelSpec(
        name=request.out.stem,
        architecture="imported ONNX",
        input=taken.size,
        output=output,
        mean=declared.normalised_mean,
        std=declared.normalised_std,
        letterbox=declared.pad if declared.fit == "letterbox" else None,
        tail=request.tail or "full",
        labels=LabelsSpec.of(request.labels),
        params=cost.parameters(model),
        gmac=round(cost.gmac(model), 3),
        recipe="drivenet import",
        training=record,
        source_sha256=sha256_of(request.file),
    )


def _prove(
    model: onnx.ModelProto, spec: ModelSpec, reference: Reference, images: Sequence[Image], source: str, file: Path
) -> Agreement:  # fmt: skip
    """Run the file as it will be deployed behind the original, whose name errors have."""
    wanted = [reference.ids(image) for image in images]
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.onnx"
        store(model, spec, trial, full_check=False)
        try:
            with closing(OnnxRuntimeEngine(trial, providers=("CPUExecutionProvider",))) as engine:
                return compare(wanted, engine.infer, images, source, spec.labels.classes)
        except EngineError as error:
            told = error.received.replace(str(trial), str(file))
            raise type(error)(told, error.expected, error.cure) from error
