"""A batch from plan to manifest; one code path, wherever the segments are done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from drivenet.artefacts.catalog import files_read
from drivenet.batch.cluster import in_cluster
from drivenet.batch.plan import SEGMENT_FRAMES, Segment, plan
from drivenet.batch.pool import in_pool, in_process
from drivenet.batch.work import Job, check_same, clean, facts_of, is_done
from drivenet.errors import SinkError, UsageError
from drivenet.files import digest_of, write_atomic
from drivenet.sinks.recording.disk import sole_writer
from drivenet.sinks.target import cannot_write

#: One line a segment that is done, in the order of the plan.
MANIFEST = "manifest.jsonl"

#: Does segments, and gives each as it is done.
Executor = Callable[[Sequence[Segment], dict[str, Any], Job], Iterator[Segment]]


def run(files: Sequence[Path], opener: dict[str, Any], job: Job, executor: Executor,
        progress: Callable[[int, int], None] = lambda *_: None, least: int = SEGMENT_FRAMES) -> int:  # fmt: skip
    """Do what is not done yet.

    Args:
        files: videos.
        opener: the arguments of :func:`~drivenet.engine.open_engine`.
        job: what is done with each segment.
        executor: who does it.
        progress: called with (done, all) segments.
        least: frames of a segment before the next key frame begins another.

    Returns:
        How many segments were done now.

    Raises:
        UsageError: if the folder holds outputs of other files, another cut or another engine at the same places.
        SinkError: if it cannot be made, or another command writes into it.
        DrivenetError: as it comes; what was done stays done.
    """
    if not files:
        raise UsageError("no video files", "at least one")
    segments, job = plan(files, least), replace(job, asked=_asked(opener))
    for segment in segments:
        if is_done(segment, job.out):
            check_same(segment, job)
    try:
        job.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(job.out, error) from error
    with sole_writer(job.out):
        return _do(segments, opener, job, executor, progress)


def _do(segments: Sequence[Segment], opener: dict[str, Any], job: Job, executor: Executor,
        progress: Callable[[int, int], None]) -> int:  # fmt: skip
    """Do what is missing, in a folder that no other command writes into; returns how many segments."""
    clean(job.out)
    left = [segment for segment in segments if not is_done(segment, job.out)]
    before = len(segments) - len(left)
    progress(before, len(segments))
    try:
        for done, _ in enumerate(executor(left, opener, job) if left else (), 1):
            progress(before + done, len(segments))
    finally:
        clean(job.out)
        write_manifest(segments, job.out)
    return len(left)


def _asked(opener: dict[str, Any]) -> dict[str, Any]:
    """What of an engine is the same for all workers and all runs that may share a folder."""
    backend, precision = opener.get("backend") or "auto", opener.get("precision") or "auto"
    file = next(iter(files_read(opener.get("engine"), backend)), None)
    return {"model": digest_of(file) if file else None, "backend": backend, "precision": precision}


def write_manifest(segments: Sequence[Segment], out: Path) -> None:
    """List what is done, each segment once; the folders say what is, so that a kill loses no line."""
    lines = [facts_of(segment, out) for segment in segments if is_done(segment, out)]
    try:
        write_atomic(out / MANIFEST, "".join(json.dumps(line) + "\n" for line in lines))
    except OSError as error:
        raise SinkError(f"cannot write {out / MANIFEST}: {error.strerror or error}", "a writable folder") from error


def executor(workers: int | None, address: str | None = None) -> Executor:
    """In this process for one worker, else in a pool, or in a Ray cluster where there is an address.

    Args:
        workers: how many; None for one, or as many as the cluster has room for.
        address: of the cluster, see :func:`~drivenet.batch.cluster.in_cluster`.
    """
    if address is not None:
        return lambda segments, opener, job: in_cluster(segments, address, workers, opener, job)
    if workers is None or workers == 1:
        return in_process
    return lambda segments, opener, job: in_pool(segments, workers, opener, job)
