"""The floor of a latency: no engine can take less than its arithmetic and its bytes take on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from drivenet.engine.base import Engine
from drivenet.host.cpu import physical_cores

_COPY_BYTES, _MATRIX, _TRIES = 64 * 2**20, 1024, 5


def machine_limits() -> dict[str, float]:
    """Copy bandwidth in GB/s (bytes read and written) and fp32 multiply-adds in GMAC/s, the best of a few tries."""
    source, target = np.ones(_COPY_BYTES, np.uint8), np.empty(_COPY_BYTES, np.uint8)
    copy_s = min(_seconds(lambda: np.copyto(target, source)) for _ in range(_TRIES))
    a = np.ones((_MATRIX, _MATRIX), np.float32)
    product = np.empty_like(a)
    multiply_s = min(_seconds(lambda: np.matmul(a, a, out=product)) for _ in range(_TRIES))
    return {"copy_gb_s": round(2 * _COPY_BYTES / copy_s / 1e9, 2), "gmac_s": round(_MATRIX**3 / multiply_s / 1e9, 2)}


def floor_ms(engine: Engine, limits: dict[str, float], p50_ms: float) -> dict[str, Any]:
    """What an inference takes at least on this processor, and how many times that it took.

    The larger of the multiply-adds that the model states at the rate of a large fp32 matrix product, and of the bytes
    of its weights, input and output at the rate of a large copy. Arithmetic in fewer bits can be below it.
    """
    spec = engine.spec
    (height, width), (out_height, out_width) = spec.input, spec.output
    weights = Path(engine.file).stat().st_size if Path(engine.file).is_file() else 4 * spec.params
    bytes_ms = (weights + 3 * height * width + out_height * out_width) / limits["copy_gb_s"] / 1e6
    arithmetic_ms = spec.gmac / limits["gmac_s"] * 1e3
    floor = max(bytes_ms, arithmetic_ms)
    return {"bytes_ms": round(bytes_ms, 4), "arithmetic_ms": round(arithmetic_ms, 4), "floor_ms": round(floor, 4),
            "multiple": round(p50_ms / floor, 2) if floor else None, "cores": physical_cores()}  # fmt: skip


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
