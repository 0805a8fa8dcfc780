"""A published checkpoint as a drivenet checkpoint, or straight as a deployable ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from drivenet.convert.publishers import PUBLISHERS, import_checkpoint
from drivenet.errors import SinkError, UsageError
from drivenet.export.onnx import export_onnx
from drivenet.files import sha256_of
from drivenet.models import checkpoint as checkpoint_file
from drivenet.models.blocks import check_size
from drivenet.modelspec import LabelsSpec, Tail

#: Height and width that an import is deployed at unless told otherwise.
INPUT = (512, 1024)


def write_import(
    checkpoint: Path, publisher: str, out: Path, size: tuple[int, int] = INPUT, tail: Tail = "half"
) -> None:
    """Map a published checkpoint onto the zoo and write it.

    Args:
        checkpoint: the publisher's file.
        publisher: one of :data:`~drivenet.convert.publishers.PUBLISHERS`.
        out: ``*.onnx``, with its JSON beside it; or ``*.pt``, a checkpoint with ``network``, ``settings``,
            ``labels`` and, under ``spec``, the mean, std and origin that belong to it.
        size: (height, width) of the input.
        tail: where the argmax happens, for ONNX.

    Raises:
        UsageError: for another suffix, a size that cannot be, or a file that is not the publisher's.
        SinkError: if nothing can be written there.
    """
    if out.suffix not in (".onnx", ".pt"):
        raise UsageError(f"output {out}", "a file that ends in .onnx or .pt")
    check_size(*size)
    network, spec = import_checkpoint(checkpoint, publisher)
    spec = {**spec, "source_sha256": sha256_of(checkpoint)}
    if out.suffix == ".onnx":
        export_onnx(network, {**spec, "name": out.stem}, out, size, tail)
        return
    known = PUBLISHERS[publisher]
    model = {"architecture": known.architecture, "options": dict(known.options)}
    settings = {"name": publisher, "model": model, "input": list(size)}
    write_checkpoint(
        network, settings, LabelsSpec.of(known.labels), {k: v for k, v in spec.items() if k != "labels"}, out
    )


def write_checkpoint(
    network: nn.Module, settings: dict[str, Any], labels: LabelsSpec, spec: dict[str, Any], out: Path
) -> None:  # fmt: skip
    """Write a network that was not trained here as a checkpoint that export and training take.

    Args:
        network: in any mode.
        settings: ``name``, ``model`` and ``input``, as training settings have them.
        labels: its label set.
        spec: what is known of it, for the record of an export.
        out: ``*.pt``.

    Raises:
        SinkError: if nothing can be written there.
    """
    state = {"network": network.state_dict(), "settings": settings, "labels": labels.name, "spec": spec}
    state["label_set"] = labels.model_dump(mode="json")
    try:
        checkpoint_file.save(out, state)
    except OSError as error:
        raise SinkError(f"cannot write {out}: {error.strerror or error}", "a file in a writable folder") from error
