"""The picture a viewer sees: class colours over the frame, boxes, legend and figures; all colours from the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.address import display_name
from drivenet.classmap import ClassMap, Ids
from drivenet.errors import UsageError, nearest
from drivenet.frame import Frame, Image
from drivenet.hud import WHITE, Bgr, Box, Hud, Lettering, Panel, Row, caption, letters, letters_for, panel
from drivenet.labels import LabelSet
from drivenet.prepare import smooth_ids
from drivenet.scene import Scene
from drivenet.things import InstanceMap, Thing

VIEWS = ("overlay", "mask", "side-by-side", "instances")
#: What PNG files can hold besides, and what other outputs show then.
PNG_VIEWS = {"panoptic": "instances", "cutout": "overlay"}

#: How much of the run's figures a picture shows.
HUDS = ("off", "small", "full")

_NEIGHBOURS = np.ones((3, 3), np.uint8)
_DARK: Bgr = (20, 20, 20)
_RED: Bgr = (40, 40, 200)


class Painter:
    """Draws results.

    Args:
        labels: what the ids mean and which colours they have.
        visualize: one of :data:`VIEWS`: colours blended over the frame with outlines and boxes of things, colours
            alone, the frame as captured beside the overlay, or a colour for each thing over the grey frame; or one of
            :data:`PNG_VIEWS`.
        alpha: share of the class colour in the blend, 0..1.
        hud: one of :data:`HUDS`: nothing but the scene, one line with age and rate, or legend, figures and names.
        trail: whether the way of each thing in the last second is drawn.

    Raises:
        UsageError: for another view, alpha or hud.
    """

    def __init__(
        self, labels: LabelSet, visualize: str = "overlay", alpha: float = 0.5, hud: str = "full", trail: bool = False
    ) -> None:
        if hud not in HUDS:
            raise UsageError(f"no hud {hud!r}", cure=nearest(hud, HUDS))
        if not 0 <= alpha <= 1:
            raise UsageError(f"overlay alpha {alpha}", "0 (frame only) to 1 (class colours only)")
        self.labels, self.alpha, self.hud, self.trail = labels, alpha, hud, trail
        self.visualize = check_view(PNG_VIEWS.get(visualize, visualize))
        self._colours = labels.bgr_table.reshape(256, 1, 3)
        self._hud: Hud | None = None

    def draw(self, frame: Frame, classmap: ClassMap, scene: Scene, hud: Hud) -> Image:
        """A new picture of a result.

        Args:
            frame: the picture as captured, (H, W, 3).
            classmap: its class ids, at any size.
            scene: what was found in them.
            hud: the figures to show.

        Returns:
            (H, W, 3) uint8 BGR, for side-by-side (H, 2 W, 3).
        """
        self._hud = hud
        return self._view(self.visualize, frame, classmap, scene, hud)

    def redraw(self, frame: Frame, classmap: ClassMap, scene: Scene, visualize: str, age_ms: float) -> Image:
        """Another view of a result that was drawn before, with the figures of the last one drawn but its own age."""
        hud = replace(self._hud, age_ms=age_ms) if self._hud else Hud(age_ms, {}, {}, {})
        return self._view(check_view(visualize), frame, classmap, scene, hud)

    def paint(self, frame: Frame, classmap: ClassMap, scene: Scene) -> Image:
        """Colours and boxes over a frame, without legend and figures; as :meth:`draw`, (H, W, 3) whatever the view."""
        view = self._tinted(frame, classmap, scene)
        self._mark(view, scene)
        return view

    def _mark(self, view: Image, scene: Scene, taken: Sequence[Box] = ()) -> None:
        if self.trail:
            _trails(view, scene.things, self.labels)
        _boxes(view, scene.things, self.labels)
        _names(view, scene.things, self.labels, taken)

    def _tinted(self, frame: Frame, classmap: ClassMap, scene: Scene) -> Image:
        view = self._blend(frame.image, smooth_ids(classmap.ids, frame.size))
        if self.alpha:
            _outline(view, scene, self.labels)
        return view

    def _view(self, visualize: str, frame: Frame, classmap: ClassMap, scene: Scene, hud: Hud) -> Image:
        if visualize == "mask":
            view = self._colour(smooth_ids(classmap.ids, frame.size))
        elif visualize == "instances":
            view = _instances(frame.image, scene)
        else:
            view = self._tinted(frame, classmap, scene)
        panels = self._panels(view, scene, hud)
        for part in panels:
            part.shade(view)
        if visualize != "mask":
            self._mark(view, scene, [part.box for part in panels])  # no panel hides a thing, and no thing a text
        for part in panels:
            part.write(view)
        view = marked(view, hud.warning, _RED) if hud.warning else view
        return np.hstack([frame.image, view]) if visualize == "side-by-side" else view

    def _panels(self, view: Image, scene: Scene, hud: Hud) -> list[Panel]:
        """The figures that are shown, where there is room."""
        if self.hud == "off":
            return []
        if self.hud == "small":
            parts = [panel(view, [hud.short()])]
        else:
            foot = caption(view, "   ".join(t for t in (display_name(hud.source), hud.engine) if t))
            bottom = foot.box[3] if foot else 0
            parts = [
                foot,
                panel(view, self._legend(scene), right=True, bottom=bottom),
                panel(view, hud.rows(), bottom=bottom),
            ]
        return [part for part in parts if part]

    def _colour(self, ids: Ids) -> Image:
        return np.asarray(cv2.applyColorMap(ids, self._colours), np.uint8)

    def _blend(self, image: Image, ids: Ids) -> Image:
        """Colours over the picture, full colour along the borders of classes; ids without a class stay as they are."""
        colours = self._colour(ids)
        out = np.asarray(cv2.addWeighted(image, 1 - self.alpha, colours, self.alpha, 0), np.uint8)
        if self.alpha:
            cv2.copyTo(colours, cv2.morphologyEx(ids, cv2.MORPH_GRADIENT, _NEIGHBOURS), out)
        if int(ids.max()) >= len(self.labels):
            cv2.copyTo(image, (ids >= len(self.labels)).astype(np.uint8), out)
        return out

    def _legend(self, scene: Scene) -> list[Row]:
        by_area = sorted(scene.classes.items(), key=lambda item: -item[1])
        return [Row(cls, _percent(share), _bgr(self.labels, cls)) for cls, share in by_area]


def check_view(visualize: str) -> str:
    """The view's name; UsageError with the nearest one if there is none of that name."""
    if visualize not in VIEWS:
        raise UsageError(f"no view {visualize!r}", cure=nearest(visualize, VIEWS))
    return visualize


def lost_view(view: Image, seconds: float, word: str = "LOST") -> Image:
    """A greyed copy of a picture with a large ``LOST n s``: nobody takes it for the road as it is now.

    Args:
        view: (H, W, 3) uint8 BGR.
        seconds: since when nothing new comes.
        word: what is wrong.
    """
    return marked(_greyed(view), f"{word} {int(seconds)} s", _RED, large=True)


def ended_view(view: Image) -> Image:
    """A greyed copy of a picture, (H, W, 3) uint8 BGR, with a large ``ENDED``: nothing new is to come."""
    return marked(_greyed(view), "ENDED", large=True)


def _greyed(view: Image) -> Image:
    grey = cv2.convertScaleAbs(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), alpha=0.6)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)


def marked(view: Image, text: str, colour: Bgr = _DARK, *, large: bool = False) -> Image:
    """A copy of a picture with a word on a coloured bar: along the lower edge, or large across the middle."""
    out = np.array(view)
    height, width = out.shape[:2]
    bar = letters(max(8, height // (6 if large else 16)))
    type_ = letters(max(8, min(bar.line, bar.line * width * 8 // (10 * bar.width(text)))))
    pad = type_.line // 4
    top = (height - type_.line) // 2 if large else height - type_.line - pad
    cv2.rectangle(out, (0, top - pad), (width - 1, top + type_.line + pad), colour, -1)
    type_.write(out, text, (width - type_.width(text)) // 2, top)
    return out


def thing_colours(things: Sequence[Thing]) -> npt.NDArray[np.uint8]:
    """A colour for each number of an instance map, (256, 3) uint8 BGR, black for 0; by id, so that it lasts.

    Hues follow the golden angle: those of neighbouring ids are far apart.
    """
    numbers = np.array([thing.id or 1000 + k for k, thing in enumerate(things)], np.int64)
    table = np.zeros((256, 1, 3), np.uint8)
    if len(numbers):
        hues = (numbers * 137.508) % 360 / 2
        wheel = np.stack([hues, np.full(len(hues), 190.0), 150 + numbers * 37 % 105], -1).astype(np.uint8)
        table[1 : len(numbers) + 1] = cv2.cvtColor(wheel[:, None], cv2.COLOR_HSV2BGR)
    return table[:, 0]


def _instances(image: Image, scene: Scene) -> Image:
    """Every thing in a colour of its own over a grey image."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    view = np.asarray(cv2.convertScaleAbs(grey, alpha=0.6), np.uint8)
    if scene.instances is not None:
        large = smooth_ids(scene.instances, (image.shape[0], image.shape[1]))
        colours = cv2.applyColorMap(large, thing_colours(scene.things).reshape(256, 1, 3))
        cv2.copyTo(cv2.addWeighted(view, 0.4, colours, 0.6, 0), (large > 0).astype(np.uint8), view)
        cv2.copyTo(colours, _edges(large), view)
    return view


def _outline(view: Image, scene: Scene, labels: LabelSet) -> None:
    """The outline of every thing in the light colour of its class."""
    if scene.instances is None or not scene.things:
        return
    large = smooth_ids(scene.instances, (view.shape[0], view.shape[1]))
    left, top, width, height = cv2.boundingRect(large)
    around = np.s_[max(0, top - 1) : top + height + 1, max(0, left - 1) : left + width + 1]  # with what is beside them
    part = np.ascontiguousarray(large[around])
    table = np.zeros((256, 1, 3), np.uint8)
    for k, thing in enumerate(scene.things, 1):
        table[k] = _light(_bgr(labels, thing.cls))
    colours = np.asarray(cv2.applyColorMap(part, table))
    view[around] = cv2.copyTo(colours, _edges(part), np.ascontiguousarray(view[around]))


def _edges(instances: InstanceMap) -> npt.NDArray[np.uint8]:
    """Pixels of things beside another thing of a smaller number, or beside none, (H, W), not 0."""
    return np.asarray(cv2.subtract(instances, cv2.erode(instances, _NEIGHBOURS)), np.uint8)


def _boxes(view: Image, things: Sequence[Thing], labels: LabelSet) -> None:
    """Frames around things."""
    stroke = max(1, round(_tag_letters(view).line / 9))
    for thing in things:
        x, y, w, h = thing.box
        cv2.rectangle(view, (x, y), (x + w - 1, y + h - 1), _light(_bgr(labels, thing.cls)), stroke)


def _names(view: Image, things: Sequence[Thing], labels: LabelSet, taken: Sequence[Box]) -> None:
    """Names on boxes: large ones first, the others where that leaves every name, and every panel, readable."""
    type_ = _tag_letters(view)
    used = list(taken)
    for thing in sorted(things, key=lambda r: -r.area):
        tag = _free(_tag_boxes(thing, type_, view), used)
        if thing.box[3] >= type_.line and tag:
            x, y, w, h = tag
            gap = type_.line // 3  # names that touch read as one
            used.append((x - gap, y, w + 2 * gap, h))
            colour = _bgr(labels, thing.cls)
            cv2.rectangle(view, (x, y), (x + w - 1, y + h - 1), colour, -1)
            type_.write(view, thing.name, x + type_.line // 4, y, _ink(colour))


def _tag_letters(view: Image) -> Lettering:
    return letters(max(10, round(0.8 * letters_for(view).line)))


def _trails(view: Image, things: Sequence[Thing], labels: LabelSet) -> None:
    """The way of each thing, in the light colour of its class."""
    stroke = max(1, round(letters_for(view).line / 9))
    for thing in things:
        if len(thing.trail) > 1:
            line = np.rint(np.array(thing.trail)).astype(np.int32)[:, None]
            cv2.polylines(view, [line], False, _light(_bgr(labels, thing.cls)), stroke, cv2.LINE_AA)


def _tag_boxes(thing: Thing, type_: Lettering, view: Image) -> list[Box]:
    """Where a thing's name can go, the best place first: above its box; a large one's also inside, or below."""
    x, y, w, h = thing.box
    height, width = view.shape[:2]
    line, wide = type_.line, type_.width(thing.name) + type_.line // 2
    rows = [y - line, y, y + h] if w >= 2 * wide and h >= 3 * line else [y - line] if y >= line else [y]
    return [(min(x, width - wide), row, wide, line) for row in rows if 0 <= row <= height - line and wide <= width]


def _free(places: Sequence[Box], used: Sequence[Box]) -> Box | None:
    """The first place that no other one overlaps."""
    return next((place for place in places if not any(_overlap(place, other) for other in used)), None)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _bgr(labels: LabelSet, cls: str) -> Bgr:
    red, green, blue = labels.palette[labels.id_of(cls)]
    return blue, green, red


def _light(colour: Bgr) -> Bgr:
    blue, green, red = (128 + c // 2 for c in colour)
    return blue, green, red


def _ink(paper: Bgr) -> Bgr:
    """Letters that stand out on a colour: white, on light colours dark."""
    blue, green, red = paper
    return _DARK if 0.114 * blue + 0.587 * green + 0.299 * red > 130 else WHITE


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "< 0.1 %"
