"""What a build is asked for, and what a backend's builder hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class BuildRequest:
    """One build, as ``drivenet build`` is told.

    Args:
        onnx: the deployed model.
        backend: tensorrt or openvino.
        precision: ``auto`` takes int8 for an int8 ONNX, else fp16 (tensorrt), or bf16 where the processor has it.
        size: height and width that the ONNX must have; None takes what it has.
        out: where the artefact goes; None = beside the ONNX.
        calibration: pictures to compare on; None = the synthetic drive.
        reference: the FP32 ONNX to compare with; None = the ONNX itself, or the one of the same checkpoint beside it.
        accept_parity: keep an artefact that falls short.
        floats: openvino: what an int8 network's float layers compute in; None = bf16 where the processor has it.
        workspace: tensorrt: scratch memory while building, MiB; None leaves it to TensorRT.
        timing_cache: tensorrt: kernel timings, read and written; None keeps none.
        dla: tensorrt: the core of a Jetson's deep-learning accelerator to build for; None = the GPU.
        gpu_fallback: tensorrt: whether the GPU takes the layers that the DLA cannot.
        argmax: tensorrt: how the class with the highest score is found, ``auto`` times both ways.
    """

    onnx: Path
    backend: str
    precision: str = "auto"
    size: tuple[int, int] | None = None
    out: Path | None = None
    calibration: Path | None = None
    reference: Path | None = None
    accept_parity: bool = False
    floats: str | None = None
    workspace: int | None = None
    timing_cache: Path | None = None
    dla: int | None = None
    gpu_fallback: bool = True
    argmax: str = "auto"

    @property
    def folder(self) -> Path:
        """Where the artefact goes."""
        return self.out or self.onnx.parent


@dataclass(frozen=True)
class Product:
    """What a builder has written.

    Args:
        files: all of the artefact, the one that is named to an engine first.
        machine: what must be the same where it runs.
        recorded: versions and figures for people.
        options: flags of ``drivenet build`` that would make it again.
    """

    files: tuple[Path, ...]
    machine: dict[str, str]
    recorded: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
