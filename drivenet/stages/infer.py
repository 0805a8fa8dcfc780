"""The stages of every run: prepare, infer and postprocess."""

from __future__ import annotations

import threading
from collections.abc import Collection

from drivenet.classmap import ClassMap
from drivenet.inference import Inference, infer_layers
from drivenet.latency import Timeline, Waits
from drivenet.prepare import crop_bars, crop_maps, prepare_for
from drivenet.record import CLASSMAP, CONFIDENCE, INPUT, SCENE, THING_MAPS, Record
from drivenet.scene import analyse, tracked
from drivenet.stages.base import Stage
from drivenet.things.tracking import Tracker


class Prepare(Stage):
    """Makes ``input``, what the engine takes of the picture.

    Args:
        engine: whose spec says what that is; asked for every frame, since an engine may be exchanged.
    """

    name = "prepare"
    parallel = True

    def __init__(self, engine: Inference) -> None:
        self._engine = engine

    def __call__(self, record: Record) -> Record:
        """Resize the picture."""
        return record.with_layers(**{INPUT: prepare_for(record.frame, self._engine.spec)})


class _EachWaits(threading.local):
    """One for each thread; it is closed with its thread, or with this object."""

    def __init__(self) -> None:
        self.own = Waits()


class Infer(Stage):
    """Makes ``classmap`` of ``input``, ``thing_maps`` if the engine parts things, ``confidence`` if it is wanted.

    Args:
        engine: finds the ids.
        wanted: layers that other stages need.
    """

    name = "infer"
    parallel = True

    def __init__(self, engine: Inference, wanted: Collection[str] = ()) -> None:
        self._engine, self._wanted = engine, wanted
        self._waits = _EachWaits()

    def __call__(self, record: Record) -> Record:
        """Infer; EngineError if that fails."""
        engine, frame = self._engine, record.frame
        image, spec, worker = record.layers[INPUT], engine.spec, engine.worker
        waits = self._waits.own
        before = waits.ns(worker)
        ids, sure, maps = infer_layers(engine, image, confident=CONFIDENCE in self._wanted)
        # the worker ends where one engine takes over from another
        so_far = record.timeline
        timeline = Timeline(so_far.captured, so_far.spans, max(0, waits.ns(worker) - before))
        layers = {name: layer for name, layer in record.layers.items() if name != INPUT}
        layers[CLASSMAP] = ClassMap(crop_bars(ids, spec, frame.size), frame.index, frame.captured_ns)
        if sure is not None:
            layers[CONFIDENCE] = crop_bars(sure, spec, frame.size)
        if maps is not None:
            layers[THING_MAPS] = crop_maps(maps, spec, frame.size), spec.things
        return record.with_only(layers).with_timeline(timeline)

    def close(self) -> None:
        """Close what tells how long inference waits."""
        self._waits = _EachWaits()


class Analyse(Stage):
    """Makes ``scene`` of ``classmap``.

    Args:
        track: whether things get ids that last over the frames; not for single pictures.
    """

    name = "postprocess"

    def __init__(self, *, track: bool = False) -> None:
        self._tracker = Tracker() if track else None

    def reset(self) -> None:
        """Forget tracks."""
        if self._tracker is not None:
            self._tracker.reset()

    def __call__(self, record: Record) -> Record:
        """Measure classes and things."""
        frame, labels = record.frame, record.labels
        scene = analyse(record.classmap, labels, frame.size, heads=record.layers.get(THING_MAPS))
        if self._tracker is not None:
            at_ns = frame.captured_ns if frame.media_ns is None else frame.media_ns
            scene = tracked(scene, self._tracker, at_ns, labels, frame.size)
        return record.with_layers(**{SCENE: scene})
