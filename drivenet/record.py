"""What one frame carries through a node: the picture, what was found in it, and its times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from drivenet.at_work import AT_WORK
from drivenet.classmap import ClassMap, Confidence, Ids
from drivenet.errors import UsageError
from drivenet.frame import Frame, Image
from drivenet.labels import IGNORE_ID, LabelSet, id_without_class
from drivenet.latency import Timeline
from drivenet.overlay import Painter
from drivenet.prepare import resize_ids
from drivenet.scene import Scene
from drivenet.wall_clock import WALL

#: Names of the layers that the default stages make.
INPUT, CLASSMAP, CONFIDENCE, SCENE, THING_MAPS = "input", "classmap", "confidence", "scene", "thing_maps"
#: What a frame's line of the stats file has of its own.
_FIELDS = {
    "type", "frame", "source_id", "file", "captured_ns", "unix_ns", "media_time_s", "stages_ms", "end_to_end_ms",
    "classes", "groups", "things",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Record:
    """One frame and all that is known of it. Nobody writes to it: a stage gives a new one.

    ``Result`` is its name at sinks, ``Segmentation`` at :class:`~drivenet.segmenter.Segmenter`.

    Args:
        frame: the picture; as captured, unless a stage has replaced it (privacy).
        labels: what class ids mean.
        timeline: its stages so far.
        layers: what stages found, by name: ``classmap`` (:class:`~drivenet.classmap.ClassMap`), ``scene``
            (:class:`~drivenet.scene.Scene`), ``confidence`` (uint8, of the ids' size), ``thing_maps``
            (:class:`~drivenet.classmap.ThingMaps` and the spec of them, where the engine parts things), and whatever
            other stages add. One with a ``to_dict`` is written to the stats file under its name.
        view: (H, W, 3) uint8 BGR picture as ``--visualize`` asks for; the frame's own size, twice as wide for
            side-by-side. None where no sink asks for pictures.
        source_id: which source of the node it comes from; empty where there is one.
    """

    frame: Frame
    labels: LabelSet
    timeline: Timeline
    layers: Mapping[str, Any] = field(default_factory=dict)
    view: Image | None = None
    source_id: str = ""

    @property
    def classmap(self) -> ClassMap:
        """Class ids at engine size."""
        return cast("ClassMap", self._layer(CLASSMAP))

    @property
    def scene(self) -> Scene:
        """Fractions by class and group, and regions with boxes in pixels of the picture."""
        return cast("Scene", self._layer(SCENE))

    @property
    def confidence(self) -> Confidence | None:
        """How sure the engine is of each id; None where it offers nothing, or no stage asked for it."""
        return self.layers.get(CONFIDENCE)

    @cached_property
    def ids(self) -> Ids:
        """(H, W) uint8 class ids at the size of the picture: those of ``classmap``, resized by nearest neighbour."""
        return resize_ids(self.classmap.ids, self.frame.size)

    @property
    def stages_ms(self) -> dict[str, float]:
        """Milliseconds by stage."""
        return self.timeline.stages_ms()

    def with_layers(self, **layers: Any) -> Record:
        """This record with layers added or replaced.

        Raises:
            UsageError: for one called ``ids``, see :meth:`with_ids`, or that would replace a field of the stats file.
        """
        if "ids" in layers:
            raise UsageError("a layer called ids", "another name", "with_ids(ids) replaces the class ids")
        if taken := [name for name, layer in layers.items() if name in _FIELDS and hasattr(layer, "to_dict")]:
            raise UsageError(f"a layer called {taken[0]}, as a field of the stats file is", "another name")
        return self._with({**self.layers, **layers}, self.timeline)

    def with_ids(self, ids: Ids) -> Record:
        """This record with other class ids in place of those that it has.

        Args:
            ids: (H', W') uint8 as ``classmap.ids``; 255 where there is no class.

        Raises:
            UsageError: for another size or type, or an id that no class has.
        """
        before, n = self.classmap, len(self.labels.classes)
        if (ids.shape, ids.dtype) != (before.ids.shape, before.ids.dtype):
            cure = "with_ids takes ids of the size of classmap.ids; those of record.ids have the picture's"
            raise UsageError(f"class ids {ids.dtype} {ids.shape}", f"{before.ids.dtype} {before.ids.shape}", cure)
        if (odd := id_without_class(ids, n)) is not None:
            raise UsageError(f"class id {odd}", f"0..{n - 1} of {self.labels.name}, or {IGNORE_ID} for no class")
        return self.with_layers(**{CLASSMAP: ClassMap(ids, before.index, before.captured_ns)})

    def with_only(self, layers: Mapping[str, Any]) -> Record:
        """This record with these layers in place of its own."""
        return self._with(layers, self.timeline)

    def with_timeline(self, timeline: Timeline) -> Record:
        """This record with another timeline."""
        return self._with(self.layers, timeline)

    def with_image(self, image: Image) -> Record:
        """This record with another picture in place of the captured one: what all sinks get, and nothing else.

        Args:
            image: (H, W, 3) uint8 BGR, C-contiguous, of the same size.
        """
        if image.shape != (*self.frame.size, 3):
            raise UsageError(f"a picture of {image.shape} in place of one of {(*self.frame.size, 3)}", "the same size")
        return replace(self, frame=replace(self.frame, image=image))

    def overlay(self, alpha: float = 0.5) -> Image:
        """The picture under the class colours, with the boxes of regions.

        Args:
            alpha: opacity of the class colours, 0 to 1.

        Returns:
            (H, W, 3) uint8 BGR, a new array.

        Raises:
            UsageError: for an alpha outside of 0 to 1.
        """
        with AT_WORK.on("an overlay"):
            return Painter(self.labels, alpha=alpha).paint(self.frame, self.classmap, self.scene)

    def to_dict(self) -> dict[str, Any]:
        """One ``frame`` line of the stats file."""
        others = {n: layer.to_dict() for n, layer in self.layers.items() if n != SCENE and hasattr(layer, "to_dict")}
        return {
            "type": "frame",
            "frame": self.frame.index,
            **({"source_id": self.source_id} if self.source_id else {}),
            **({"file": self.frame.file} if self.frame.file else {}),
            "captured_ns": self.frame.captured_ns,
            "unix_ns": WALL.at(self.frame.captured_ns),
            **({} if self.frame.media_ns is None else {"media_time_s": round(self.frame.media_ns / 1e9, 6)}),
            "stages_ms": {name: round(ms, 3) for name, ms in self.timeline.stages_ms().items()},
            "end_to_end_ms": round(self.timeline.end_to_end_ms(), 3),
            **self.scene.to_dict(),
            **others,
        }

    def _with(self, layers: Mapping[str, Any], timeline: Timeline) -> Record:
        """As ``dataclasses.replace``, which takes three times as long and is called for every stage of every frame."""
        return Record(self.frame, self.labels, timeline, layers, self.view, self.source_id)

    def _layer(self, name: str) -> Any:
        if name not in self.layers:
            raise UsageError(
                f"frame {self.frame.index} has no layer {name}", f"the stage that makes it, before: {name}"
            )
        return self.layers[name]

    def __repr__(self) -> str:
        h, w = self.frame.size
        found = f": {', '.join(self.scene.classes)}" if SCENE in self.layers else ""
        return f"Record(index={self.frame.index}, {w}x{h}, layers {', '.join(self.layers) or 'none'}{found})"
