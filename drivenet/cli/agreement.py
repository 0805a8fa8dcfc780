"""What ``drivenet eval --agreement`` does: the float engines of one model, held against each other on a clip."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from drivenet.cli.output import progress, report
from drivenet.engine import BACKENDS, open_engine
from drivenet.engine.base import Engine
from drivenet.errors import DrivenetError
from drivenet.evaluation.agreement import SAME_FLOATS, compare_engines
from drivenet.sources import open_source

REFERENCE = "onnxruntime"


def agreement(engine: str | None, uri: str, threads: int | None) -> dict[str, Any]:
    """Show all frames of a source to a model in fp32 on every backend that can be had here.

    Returns:
        ``source``, ``minimum``, ``reference``, by backend the figures in ``backends``, and in ``missing`` why others
        took no part.

    Raises:
        UsageError: for a model that is not fp32.
        EngineError: for a model that cannot be opened, or a failed inference.
        SourceError: for a source that cannot be read or is empty.
    """
    with ExitStack() as stack:
        reference = open_engine(engine, REFERENCE, "fp32", threads)
        stack.callback(reference.close)
        others, missing = _others(engine, threads)
        for other in others:
            stack.callback(other.close)
        source = open_source(uri, paced=False)
        stack.callback(source.close)
        with progress() as bar:
            task = bar.add_task("frames", total=source.frames, note="")
            found = compare_engines(reference, others, source, lambda done: bar.update(task, completed=done))
    return {
        "source": source.name, "minimum": SAME_FLOATS, "reference": reference.describe(),
        "backends": {other.backend: one.to_dict() for other, one in zip(others, found, strict=True)},
        "missing": missing,
    }  # fmt: skip


def _others(engine: str | None, threads: int | None) -> tuple[list[Engine], dict[str, str]]:
    found: list[Engine] = []
    missing: dict[str, str] = {}
    for backend in sorted(set(BACKENDS) - {REFERENCE, "null"}):
        try:
            found.append(open_engine(engine, backend, "fp32", threads))
        except DrivenetError as error:
            missing[backend] = str(error)
    return found, missing


def show_agreement(found: dict[str, Any]) -> None:
    """One line a backend."""
    for backend, one in found["backends"].items():
        things = f" and {100 * one['things']:.2f} % of the things" if "things" in one else ""
        verdict = "as it should" if one["passed"] else f"less than {100 * found['minimum']:.1f} %"
        report.print(
            f"{backend} fp32 gives {100 * one['agreement']:.4f} % of the ids{things} of {REFERENCE} fp32 on "
            f"{one['frames']} frames of {found['source']} ({verdict}); "
            f"worst {100 * one['worst']:.3f} % in frame {one['worst_frame']}"
        )
    for backend, why in found["missing"].items():
        report.print(f"{backend} fp32 not compared: {why}")
