"""A batch from plan to manifest; one code path, wherever the segments are done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from drivenet.batch.cluster import in_cluster
from drivenet.batch.plan import SEGMENT_FRAMES, Segment, plan
from drivenet.batch.pool import in_pool, in_process
from drivenet.batch.work import FACTS, Job, clean, is_done
from drivenet.errors import SinkError, UsageError
from drivenet.files import write_atomic

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
        DrivenetError: as it comes; what was done stays done.
    """
    if not files:
        raise UsageError("no video files", "at least one")
    segments = plan(files, least)
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


def write_manifest(segments: Sequence[Segment], out: Path) -> None:
    """List what is done, each segment once; the folders say what is, so that a kill loses no line."""
    lines = [json.loads((out / s.folder / FACTS).read_text(encoding="utf-8")) for s in segments if is_done(s, out)]
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
