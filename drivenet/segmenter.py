"""Single pictures from Python: from an array to its class ids, what was found in them, and an overlay."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np

from drivenet.classmap import ClassMap, Ids
from drivenet.engine import open_engine
from drivenet.errors import SourceError, UsageError
from drivenet.frame import Frame, Image
from drivenet.labels import LabelSet
from drivenet.latency import now_ns
from drivenet.overlay import Painter
from drivenet.prepare import resize_ids
from drivenet.scene import Scene
from drivenet.step import process

#: The stages that a single picture passes.
_STAGES = ("prepare", "infer", "postprocess")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What was found in one picture.

    Args:
        frame: the picture, not copied: whoever writes to its array changes what :meth:`overlay` draws on.
        classmap: its class ids at engine size.
        scene: fractions by class and group, and regions with boxes in pixels of the picture.
        labels: what the ids mean.
        stages_ms: milliseconds of ``prepare``, ``infer`` and ``postprocess``.
    """

    frame: Frame
    classmap: ClassMap
    scene: Scene
    labels: LabelSet
    stages_ms: dict[str, float]

    @cached_property
    def ids(self) -> Ids:
        """(H, W) uint8 class ids at the size of the picture: those of ``classmap``, resized by nearest neighbour."""
        return resize_ids(self.classmap.ids, self.frame.size)

    def overlay(self, alpha: float = 0.5) -> Image:
        """The picture under the class colours, with the boxes of regions.

        Args:
            alpha: share of the class colours, 0 to 1.

        Returns:
            (H, W, 3) uint8 BGR, a new array.

        Raises:
            UsageError: for an alpha outside of 0 to 1.
        """
        return Painter(self.labels, alpha=alpha).paint(self.frame, self.classmap, self.scene)

    def __repr__(self) -> str:
        (h, w), (map_h, map_w) = self.frame.size, self.classmap.ids.shape
        found = ", ".join(self.scene.classes)
        return f"Segmentation(index={self.frame.index}, {w}x{h}, classes at {map_w}x{map_h}: {found})"


class Segmenter:
    """An engine for pictures that come one at a time, through the step that ``drivenet run`` takes.

    A ``with`` statement closes it. Threads may share one: their pictures wait for each other.

    Args:
        engine: a file, or a name that ``drivenet models`` lists; None for the default.
        backend: ``auto`` or one of :data:`drivenet.engine.BACKENDS`.
        precision: ``auto`` for what the artefact has.
        threads: of the processor; None for one a physical core.

    Raises:
        UsageError: for an unknown backend or precision, or one that the artefact does not have.
        EngineError: for an artefact that is not there, or cannot be loaded or run.

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
    ) -> None:
        self.engine = open_engine(engine, backend, precision, threads)
        self.labels = self.engine.spec.label_set
        self._count = 0
        self._one_at_a_time = threading.Lock()

    def segment(self, picture: Image | Frame) -> Segmentation:
        """Segment one picture.

        Args:
            picture: (H, W, 3) uint8 BGR, as ``cv2.imread`` gives it; or a frame, which keeps its index and time.

        Raises:
            UsageError: for anything else.
            EngineError: for a failed inference, or if the segmenter is closed.
        """
        with self._one_at_a_time:
            frame = picture if isinstance(picture, Frame) else _as_frame(picture, self._count)
            self._count += 1
            result = process(frame, self.engine, self.labels)
        stages = result.stamps.stages_ms()
        return Segmentation(frame, result.classmap, result.scene, self.labels, {name: stages[name] for name in _STAGES})

    def close(self) -> None:
        """Release the engine."""
        with self._one_at_a_time:
            self.engine.close()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _as_frame(picture: Image, index: int) -> Frame:
    """A picture captured now; its rows may lie anywhere in memory."""
    image = np.ascontiguousarray(picture) if isinstance(picture, np.ndarray) else picture
    try:
        return Frame(image, index, now_ns())
    except SourceError as error:
        unread = "cv2.imread gives None for a file that it cannot read" if picture is None else ""
        raise UsageError(error.received.replace("frame", "picture", 1), error.expected, unread) from error
