"""The step that every frame takes, in a run and alone: prepare, infer, describe; with a stamp after each."""

from __future__ import annotations

from drivenet.classmap import ClassMap
from drivenet.engine.base import Engine
from drivenet.frame import Frame
from drivenet.labels import LabelSet
from drivenet.latency import Stamps, now_ns, waited_ns
from drivenet.prepare import crop_bars, prepare_for
from drivenet.result import Result
from drivenet.scene import analyse, tracked
from drivenet.things.tracking import Tracker


def process(frame: Frame, engine: Engine, labels: LabelSet, tracker: Tracker | None = None) -> Result:
    """What an engine finds in a frame.

    Args:
        frame: taken for processing now.
        engine: finds its class ids.
        labels: what the ids mean: the engine's ``spec.label_set``, made once by who processes many frames.
        tracker: gives things their ids, where frames follow each other; None for single pictures.

    Returns:
        A result without a view, with stamps up to ``analysed``.

    Raises:
        EngineError: for a failed inference.
    """
    stamps = Stamps(frame.captured_ns, taken=now_ns())
    image = prepare_for(frame.image, engine.spec)
    worker = engine.worker
    before = waited_ns(worker)
    stamps.prepared = now_ns()
    ids = crop_bars(engine.infer(image), engine.spec, frame.size)
    classmap = ClassMap(ids, frame.index, frame.captured_ns)
    stamps.inferred = now_ns()
    stamps.waited = max(0, waited_ns(worker) - before)  # the worker ends where one engine takes over from another
    scene = analyse(classmap, labels, frame.size)
    if tracker is not None:
        scene = tracked(
            scene, tracker, frame.captured_ns if frame.media_ns is None else frame.media_ns, labels, frame.size
        )
    stamps.analysed = now_ns()
    return Result(frame, classmap, scene, labels, stamps)
