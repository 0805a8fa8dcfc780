"""Images in Python: from an array or file to class ids, the scene and an overlay."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import SupportsIndex, overload

import numpy as np

from drivenet.at_work import AT_WORK
from drivenet.classmap import ClassMap, Ids
from drivenet.decoding import read_picture
from drivenet.engine import open_engine
from drivenet.engine.laned import in_lanes
from drivenet.errors import SourceError, UsageError
from drivenet.frame import Frame, Image
from drivenet.inference import checked_ids
from drivenet.latency import Timeline, now_ns
from drivenet.prepare import crop_bars, prepare_for
from drivenet.record import CLASSMAP, SCENE, Record
from drivenet.scene import analyse
from drivenet.stages import default_stages, run_stages
from drivenet.stages.lanes import Lanes

#: What is segmented: an image, its file, or a frame.
One = Image | Frame | str | Path
#: What was found in one picture.
Segmentation = Record


class Segmenter:
    """Segments images with one engine, through the same stages as ``drivenet run``.

    Use it in a ``with`` statement, or call :meth:`close`. Threads may share it: one image is segmented at a time.

    Args:
        engine: a file, or a name that ``drivenet models`` lists; None for the default.
        backend: ``auto`` or one of :data:`drivenet.engine.BACKENDS`.
        precision: ``auto`` for the precision of the file.
        threads: CPU threads; None for one per physical core.
        lanes: how many images :meth:`segment_many` has at the engine at a time; each has its part of the threads, at
            least one, so more of them are segmented per second, but one takes longer. For CPUs.

    Raises:
        UsageError: for an unknown backend or precision, or one that the file does not have.
        EngineError: for a file that is missing, or that cannot be loaded or run.

    >>> import numpy as np
    >>> from drivenet import Segmenter
    >>> with Segmenter(backend="null") as segmenter:  # a pattern of all classes instead of a network
    ...     found = segmenter.segment(np.zeros((540, 960, 3), np.uint8))
    >>> found.ids.shape, found.classmap.ids.shape
    ((540, 960), (144, 256))
    >>> found.labels.classes[found.ids[0, 0]]
    'Sky'
    >>> found.overlay(alpha=0.3).shape
    (540, 960, 3)
    """

    def __init__(
        self,
        engine: str | Path | None = None,
        backend: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        lanes: int = 1,
    ) -> None:
        if not (isinstance(lanes, SupportsIndex) and lanes.__index__() >= 1):
            raise UsageError(f"{lanes!r} lanes", "a whole number of at least 1")
        several = lanes.__index__()
        self.engine = in_lanes(open_engine(engine, backend, precision, threads, several), several)
        self.labels = self.engine.spec.label_set
        self._stages = default_stages(self.engine)
        self._count = 0
        self._one_at_a_time = threading.Lock()

    @overload
    def segment(self, picture: One) -> Segmentation: ...
    @overload
    def segment(self, picture: list[One] | tuple[One, ...]) -> list[Segmentation]: ...
    def segment(self, picture: One | list[One] | tuple[One, ...]) -> Segmentation | list[Segmentation]:
        """Segment an image, or several of them.

        Args:
            picture: (H, W, 3) uint8 BGR, as ``cv2.imread`` gives it; a path of an image file; a frame, which keeps its
                index and time; a list of these; or a batch, (N, H, W, 3) uint8 BGR, which is a list to type checkers
                as ``list(batch)``.

        Returns:
            What was found; a list for a list or a batch.

        Raises:
            UsageError: for anything else.
            SourceError: for a file that is no image.
            EngineError: for a failed inference, or if the segmenter is closed.
        """
        if isinstance(picture, (list, tuple)) or (isinstance(picture, np.ndarray) and picture.ndim == 4):
            return [self._segment_one(one) for one in picture]
        return self._segment_one(picture)

    def _segment_one(self, picture: One) -> Segmentation:
        with self._one_at_a_time, AT_WORK.on(self.engine.file or "the engine"):
            return self._found(picture)

    def _found(self, picture: One) -> Segmentation:
        return run_stages(self._record(picture), self._stages)

    def segment_many(self, pictures: Iterable[One]) -> Iterator[Segmentation]:
        """Segment a stream of images for throughput, with several in flight: as many as there are lanes, or if the
        engine can and parts no things.

        Exhaust or close the iterator before you use the segmenter otherwise. ``infer`` in ``stages_ms`` is the time
        from the prepared image to its ids, during which other images are in flight too.

        Args:
            pictures: as for :meth:`segment`; read when they are needed.

        Raises:
            UsageError, SourceError, EngineError: as :meth:`segment`, while iterating; UsageError for a path, or for one
                image or frame.
        """
        _check_many(pictures)
        with self._one_at_a_time:
            engine = self.engine
            ids_alone = engine.spec.things is None and engine.contexts > engine.lanes
            yield from self._in_flight(pictures) if ids_alone else self._in_lanes(pictures)

    def _in_lanes(self, pictures: Iterable[One]) -> Iterator[Segmentation]:
        records, errors = (self._record(picture) for picture in pictures), list[Exception]()

        def take() -> Record | None:
            try:
                return next(records, None)
            except Exception as error:  # noqa: BLE001 - raised when all before it are given
                errors.append(error)
            return None

        lanes = Lanes(self._stages, self.engine.lanes, take)
        try:
            lanes.begin()
            while lanes.busy:
                yield lanes.finish()
                lanes.begin()
        finally:
            lanes.end()
            for thread in lanes.threads:
                thread.join()
        if errors:
            raise errors[0]

    def _record(self, picture: One) -> Record:
        frame = self._frame(picture)
        return Record(frame, self.labels, Timeline(frame.captured_ns))

    def _in_flight(self, pictures: Iterable[One]) -> Iterator[Segmentation]:
        waiting: deque[tuple[Frame, int, int]] = deque()

        def prepared() -> Iterator[Image]:
            for picture in pictures:
                frame, start = self._frame(picture), now_ns()
                image = prepare_for(frame, self.engine.spec)
                waiting.append((frame, start, now_ns()))
                yield image

        for ids in self.engine.infer_many(prepared()):
            checked = checked_ids(ids, self.engine.spec, self.engine.file)
            yield self._describe(checked, *waiting.popleft())

    def _describe(self, ids: Ids, frame: Frame, start: int, ready: int) -> Segmentation:
        """What ids of ``infer_many`` say about their frame."""
        inferred = now_ns()
        classmap = ClassMap(crop_bars(ids, self.engine.spec, frame.size), frame.index, frame.captured_ns)
        scene = analyse(classmap, self.labels, frame.size)
        timeline = Timeline(frame.captured_ns).then("prepare", start, ready).then("infer", ready, inferred)
        layers = {CLASSMAP: classmap, SCENE: scene}
        return Record(frame, self.labels, timeline.then("postprocess", inferred), layers)

    def _frame(self, picture: One) -> Frame:
        """A frame as it is, anything else as one with the next number."""
        if isinstance(picture, Frame):
            return picture
        index, self._count = self._count, self._count + 1
        return _as_frame(read_picture(Path(picture)) if isinstance(picture, (str, Path)) else picture, index)

    def close(self) -> None:
        """Release the engine."""
        with self._one_at_a_time:
            for stage in self._stages:
                stage.close()
            self.engine.close()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _check_many(pictures: object) -> None:
    """UsageError for what is one picture, or none at all, instead of many."""
    cure = "segment(...) for one picture"
    if isinstance(pictures, (str, Path)):
        one, cure = f"the path {pictures}", f"{cure}, open_source({str(pictures)!r}) for a folder or a video"
    elif isinstance(pictures, np.ndarray) and pictures.ndim < 4:
        one = f"one array of {pictures.dtype} {pictures.shape}"
    elif not isinstance(pictures, Iterable):
        one = f"one {type(pictures).__name__}"
    else:
        return
    raise UsageError(f"{one} as many pictures", "an iterable of pictures", cure)


def _as_frame(picture: Image, index: int) -> Frame:
    """A picture captured now; its rows may lie anywhere in memory."""
    image = np.ascontiguousarray(picture) if isinstance(picture, np.ndarray) else picture
    try:
        return Frame(image, index, now_ns())
    except SourceError as error:
        unread = "cv2.imread gives None for a file that it cannot read" if picture is None else ""
        raise UsageError(error.received.replace("frame", "picture", 1), error.expected, unread) from error
