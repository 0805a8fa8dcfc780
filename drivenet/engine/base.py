"""What the pipeline asks of a thing that turns a prepared picture into class ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.frame import Image
from drivenet.modelspec import ModelSpec


class Engine:
    """A loaded network.

    ``infer``, ``infer_confident`` and ``infer_things`` are called from as many threads at a time as it has ``lanes``.
    What they return belongs to the caller: the engine never writes to it again.
    """

    spec: ModelSpec
    #: onnxruntime, openvino, tensorrt or null.
    backend = "none"
    #: What the arithmetic really is: fp32, fp16, bf16 or int8.
    precision = "fp32"
    #: The artefact, as messages and the stats summary name it.
    file = ""
    #: The system's number of the thread that infers for whoever calls; None where that is the calling one.
    worker: int | None = None
    #: Whether the processor computes, on as many ``threads`` as :meth:`describe` says; of the class, whether it may.
    on_cpu = False
    #: From how many threads at a time it may be asked.
    lanes = 1
    #: How many pictures ``infer_many`` has in work at a time.
    contexts = 1

    def infer(self, image: Image) -> Ids:
        """Class ids of one picture.

        Args:
            image: (H, W, 3) uint8 BGR with (H, W) = ``spec.input``.

        Returns:
            (H', W') uint8 ids with (H', W') = ``spec.output``.

        Raises:
            EngineError: for an image of another shape or a failed inference; never returns zeros instead.
        """
        raise NotImplementedError

    def infer_confident(self, image: Image) -> tuple[Ids, Confidence | None]:
        """Class ids of one picture, and how sure the engine is of each; takes longer than :meth:`infer`.

        Args:
            image: (H, W, 3) uint8 BGR with (H, W) = ``spec.input``.

        Returns:
            (H', W') uint8 ids as :meth:`infer` gives them, and (H', W') uint8: 255 times the softmax probability of
            that class, rounded. None in its place where the engine offers none.

        Raises:
            EngineError: as :meth:`infer`.
        """
        return self.infer(image), None

    def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
        """Class ids of one picture, and where single things are.

        Args:
            image: (H, W, 3) uint8 BGR with (H, W) = ``spec.input``.

        Returns:
            (H', W') uint8 ids as :meth:`infer` gives them, and the maps of ``spec.things``; None in their place where
            the engine offers none.

        Raises:
            EngineError: as :meth:`infer`.
        """
        return self.infer(image), None

    def infer_many(self, images: Iterable[Image]) -> Iterator[Ids]:
        """Class ids of many pictures in their order, for throughput: a backend may have several in work at a time.

        Take all of them, or close the iterator, before anything else is inferred.

        Args:
            images: as for :meth:`infer`; one may be reused for the next picture as soon as that is asked for.

        Raises:
            EngineError: as :meth:`infer`, while iterating; what was not yielded before is lost.
        """
        return map(self.infer, images)

    def turn(self, given_up: Callable[[], bool]) -> AbstractContextManager[bool]:
        """A place at the engine, which a run takes before the frame that it is for: an engine that serves several
        sources makes them wait here, in order, and each then takes its newest frame.

        Args:
            given_up: asked now and then whether the turn is not wanted any more.

        Returns:
            Whether there is one; to leave the context is to give it back.
        """
        return nullcontext(True)

    def describe(self) -> dict[str, object]:
        """The ``engine`` member of summaries and scores."""
        return {
            "file": self.file,
            "backend": self.backend,
            "precision": self.precision,
            "input": list(self.spec.input),
            "labels": self.spec.labels.name,
            "things": "components" if self.spec.things is None else "centres",
        }

    def close(self) -> None:
        """Release the network."""
