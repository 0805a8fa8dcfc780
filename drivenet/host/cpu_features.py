"""Which arithmetic the processor has in silicon, read from the kernel."""

from __future__ import annotations

from pathlib import Path

from drivenet.host.cpu import PROC

#: Flags of ``/proc/cpuinfo`` that bring a precision; any of a row is enough. x86 first, then arm.
_NEEDS = {
    "bf16": ("avx512_bf16", "amx_bf16", "bf16"),
    "fp16": ("avx512_fp16", "amx_fp16", "asimdhp"),
    "int8": ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"),
}


def cpu_features(procfs: Path = PROC) -> tuple[str, ...]:
    """Those flags of this processor that matter for reduced precision, sorted."""
    known = {flag for flags in _NEEDS.values() for flag in flags}
    return tuple(sorted(known & _flags(procfs)))


def native_precisions(procfs: Path = PROC) -> tuple[str, ...]:
    """``fp32`` and what else this processor computes natively."""
    flags = _flags(procfs)
    return ("fp32", *(p for p, needs in _NEEDS.items() if flags & set(needs)))


def needed_for(precision: str) -> str:
    """What a processor needs for a precision, for messages."""
    return " or ".join(_NEEDS.get(precision, ()))


def _flags(procfs: Path) -> set[str]:
    """The flags of the first processor; empty where the kernel does not tell."""
    try:
        text = (procfs / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in ("flags", "features"):
            return set(value.split())
    return set()
