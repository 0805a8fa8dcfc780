"""What is done with one segment, and that it is there as a whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from drivenet.batch.plan import Segment, frames_of
from drivenet.classmap import Ids
from drivenet.data.predictions.base import Prediction
from drivenet.data.predictions.coco import CocoInstances
from drivenet.engine.base import Engine
from drivenet.errors import SinkError, SourceError, UsageError
from drivenet.files import read_kept
from drivenet.frame import Image
from drivenet.labels import GROUPS
from drivenet.latency import Timeline
from drivenet.panoptic import thing_classes
from drivenet.prepare import resize_ids
from drivenet.record import Record
from drivenet.stages import default_stages, run_stages
from drivenet.things.measure import of_one_class

#: What every segment's folder holds; overlays if they were asked for.
CLASSES, SCENES, OVERLAY, FACTS = "classes.mkv", "scenes.parquet", "overlay.mkv", "segment.json"
THINGS = "instances.json"
#: Which frames a segment is; its file may be seen from another folder now and then.
_FRAMES = "first_frame", "start", "end", "bytes"


@dataclass(frozen=True)
class Job:
    """What is done with each segment.

    Args:
        out: the output folder.
        overlay: whether overlays are written too.
        asked: what else the outputs depend on, by name: model, backend and precision.
    """

    out: Path
    overlay: bool = False
    asked: Mapping[str, Any] = field(default_factory=dict)


def is_done(segment: Segment, out: Path) -> bool:
    """Whether the outputs of a segment are there."""
    return (out / segment.folder / FACTS).is_file()


def is_output(file: Path) -> bool:
    """Whether a file is one of a segment that is done."""
    return file.name in (CLASSES, SCENES, OVERLAY, FACTS, THINGS) and (file.parent / FACTS).is_file()


def facts_of(segment: Segment, out: Path) -> dict[str, Any]:
    """What its folder says of a segment that is done."""
    folder = out / segment.folder
    return read_kept(folder / FACTS, f"delete the folder {folder}, which is then done again")


def check_same(segment: Segment, job: Job) -> None:
    """UsageError if the outputs of a segment that is done are of other frames, or were asked for in another way.

    Facts that an earlier version did not keep are not compared.
    """
    facts = facts_of(segment, job.out)
    asked, now = facts.get("asked", {}), _asked(job)
    other = [f"another {name}" for name in asked if asked[name] != now.get(name)]
    if any(facts[name] != getattr(segment, name) for name in _FRAMES if name in facts):
        other.insert(0, "another video or cut")
    if other:
        what = f"{job.out / segment.folder} was made of or with {' and '.join(other)}"
        raise UsageError(what, "the same videos and options", "or name another --out")


def _asked(job: Job) -> dict[str, Any]:
    return {**job.asked, "overlay": job.overlay}


def do(segment: Segment, engine: Engine, job: Job) -> None:
    """Segment a segment's frames and put its folder in place, with the state of the node begun afresh.

    Raises:
        SourceError, EngineError, SinkError: for what cannot be read, inferred or written.
    """
    target = job.out / segment.folder
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        scratch.mkdir(parents=True)
        _write(segment, engine, job, scratch)
        _sync(scratch)
        os.rename(scratch, target)
    except OSError as error:
        if not is_done(segment, job.out):  # another worker was quicker
            raise SinkError(f"cannot write {target}: {error.strerror or error}", "a writable folder") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def clean(out: Path) -> None:
    """Remove what work that was killed has left."""
    for scratch in out.rglob(".[0-9][0-9][0-9][0-9][0-9].*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _write(segment: Segment, engine: Engine, job: Job, folder: Path) -> None:
    labels = engine.spec.label_set
    things = CocoInstances(folder, labels, thing_classes(labels))
    classes = LosslessVideo(folder / CLASSES, "gray")
    overlay = LosslessVideo(folder / OVERLAY, "bgr0") if job.overlay else None
    rows: list[dict[str, Any]] = []
    for result in _results(segment, engine):
        rows.append(_row(segment, result))
        ids = result.classmap.ids
        classes.add(ids)
        instances = result.scene.instances
        if instances is not None:
            name, parted = f"{result.frame.index:06d}", of_one_class(ids, instances)
            things.add(Prediction(name, segment.output, segment.output, ids, instances, parted))
        if overlay is not None:
            overlay.add(_blend(result.frame.image, resize_ids(ids, result.frame.size), labels.bgr_table))
    if not rows:
        raise SourceError(f"segment {segment.number} of {segment.file} holds no frames", "the file that was planned")
    for video in filter(None, (classes, overlay)):
        video.close()
    things.close()
    (folder / SCENES).write_bytes(_parquet(rows))
    facts = {**segment.to_dict(), "frames": len(rows), "engine": engine.describe(), "asked": _asked(job)}
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _results(segment: Segment, engine: Engine) -> Iterator[Record]:
    labels, stages = engine.spec.label_set, default_stages(engine, track=True)
    return (run_stages(Record(f, labels, Timeline(f.captured_ns)), stages) for f in frames_of(segment))


def _row(segment: Segment, result: Record) -> dict[str, Any]:
    scene = result.scene.to_dict()
    return {
        "file": segment.file.encode(errors="backslashreplace").decode(),  # a name may be no UTF-8
        "frame": result.frame.index, "media_ns": result.frame.media_ns or 0,
        "classes": json.dumps(scene["classes"]), "things": json.dumps(scene["things"]),
        **{f"group_{name}": float(result.scene.groups.get(name, 0.0)) for name in GROUPS},
    }  # fmt: skip


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    """Rows as Parquet; pyarrow comes with the extra [batch]."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = sorted(rows[0])  # the same in every segment: readers take a folder's from the first file
    table = pa.table({name: [row[name] for row in rows] for name in columns})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


class LosslessVideo:
    """FFV1 in Matroska, the same bytes for the same images.

    Args:
        file: to be written.
        form: ``gray`` for class ids, ``bgr0`` for images.
    """

    def __init__(self, file: Path, form: str) -> None:
        self._form = form
        self._container = av.open(str(file), "w", options={"fflags": "+bitexact"})
        self._stream: Any = None

    def add(self, image: Image | Ids) -> None:
        """The next frame; all are as large as the first."""
        if self._stream is None:
            self._stream = self._container.add_stream("ffv1", rate=25, options={"flags": "+bitexact", "level": "3"})
            self._stream.height, self._stream.width = image.shape[:2]
            self._stream.pix_fmt, self._stream.thread_count = self._form, 1
        shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "gray" if self._form == "gray" else "bgr24")
        for packet in self._stream.encode(shown.reformat(format=self._form)):
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the file."""
        if self._stream is not None:
            for packet in self._stream.encode():
                self._container.mux(packet)
        self._container.close()


def _blend(image: Image, ids: Ids, colours: np.ndarray) -> Image:
    return np.asarray(cv2.addWeighted(image, 0.5, np.asarray(colours[ids]), 0.5, 0), np.uint8)


def _sync(folder: Path) -> None:
    for file in folder.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
