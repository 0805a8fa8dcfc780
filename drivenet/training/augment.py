"""One varied training sample from one labelled picture; every draw comes from the given generator."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.frame import Image
from drivenet.labels import IGNORE_ID
from drivenet.things import UNSURE
from drivenet.training import recolour
from drivenet.training.conditions import Conditions
from drivenet.training.instances import Instances
from drivenet.training.sets import SetCodes
from drivenet.training.settings import AugmentSettings

Label = TypeVar("Label", bound=np.integer)


class Augment:
    """Geometry, recolouring by label, light and weather, photometry and sensor faults, in this order.

    Args:
        settings: probabilities and ranges.
        codes: tells which codes are sky, vegetation, road and vehicles.
    """

    def __init__(self, settings: AugmentSettings, codes: SetCodes) -> None:
        self.settings = settings
        self._conditions = Conditions(settings, codes)
        labels = codes.labels
        self._sky, self._tree = recolour.sky_and_tree(labels)
        self._skies, self._trees = codes.within([self._sky]), codes.holding(self._tree)
        self._road, self._vehicle = (codes.within(labels.ids_of_group(group)) for group in ("road", "vehicle"))

    def __call__(
        self, image: Image, ids: Ids, deployed: tuple[int, int], rng: np.random.Generator, drawn: bool = False,
        focus: tuple[int, int] | None = None,
    ) -> tuple[Image, Ids]:  # fmt: skip
        """A sample of ``settings.crop`` size: picture and codes.

        Args:
            image: (H, W, 3) uint8 BGR.
            ids: (H, W) uint8 codes, 255 is ignored.
            deployed: (height, width) that a whole picture has at the network's input.
            rng: the only source of chance.
            drawn: of the synthetic drive, whose light and colours vary by themselves: hills, no recolouring, half the
                jitter.
            focus: a pixel (row, column) that the sample has to show.
        """
        warp = self._warp((ids.shape[0], ids.shape[1]), deployed, rng, focus)
        ids = self._cropped(ids, warp, IGNORE_ID)
        return self._varied(self._shown(image, warp), ids, rng, drawn), ids

    def parted(
        self, image: Image, ids: Ids, instances: Instances, deployed: tuple[int, int], rng: np.random.Generator,
        drawn: bool = False, focus: tuple[int, int] | None = None,
    ) -> tuple[Image, Ids, Instances]:  # fmt: skip
        """The same sample with its single things; a thing that something else covers afterwards ends there.

        Args:
            instances: (H, W) uint8 or uint16, 0 no thing, :data:`~drivenet.things.UNSURE` not known.
            image, ids, deployed, rng, drawn, focus: as of a call without.
        """
        warp = self._warp((ids.shape[0], ids.shape[1]), deployed, rng, focus)
        before, instances = self._cropped(ids, warp, IGNORE_ID), self._cropped(instances, warp, UNSURE)
        ids = before.copy()
        image = self._varied(self._shown(image, warp), ids, rng, drawn)
        instances[ids != before] = 0
        instances[ids == IGNORE_ID] = UNSURE
        return image, ids, instances

    def _varied(self, image: Image, ids: Ids, rng: np.random.Generator, drawn: bool) -> Image:
        """Recoloured, in another light, as another camera sees it; codes are written to."""
        pixels = image.astype(np.float32)
        if rng.random() < self.settings.hills:
            recolour.hills(pixels, ids, self._sky, self._tree, rng)
        if not drawn:
            self._recolour(pixels, ids, rng)
            if not self._conditions.scene(pixels, ids, rng):
                self._light(pixels, ids, rng)
        self._conditions.camera(pixels, ids, rng)
        if rng.random() < self.settings.jitter * (0.5 if drawn else 1.0):
            pixels = _jitter(pixels, rng)
        return self._sensor(np.clip(pixels, 0, 255).astype(np.uint8), rng)

    def _warp(
        self, size: tuple[int, int], deployed: tuple[int, int], rng: np.random.Generator,
        focus: tuple[int, int] | None,
    ) -> npt.NDArray[np.float64]:  # fmt: skip
        """Scale, stretch, flip and crop of a picture of a size (height, width), (2, 3)."""
        s = self.settings
        (h, w), (ch, cw) = size, s.crop
        scale = float(np.exp(rng.uniform(*np.log(s.scale))))
        stretch = float(np.exp(rng.uniform(*np.log(s.aspect))))
        sx, sy = scale * stretch * deployed[1] / w, scale * deployed[0] / h
        oy, ox = (
            _offset(side * factor, crop, None if focus is None else (focus[axis] + 0.5) * factor, rng)
            for axis, (side, factor, crop) in enumerate(((h, sy, ch), (w, sx, cw)))
        )
        warp = np.array([[sx, 0, -ox], [0, sy, -oy]], np.float64)
        if rng.random() < s.flip:
            warp = np.array([[-sx, 0, cw - 1 + ox], [0, sy, -oy]], np.float64)
        return warp

    def _shown(self, image: Image, warp: npt.NDArray[np.float64]) -> Image:
        """A picture after a warp; what lies outside is black."""
        scale = min(abs(warp[0, 0]), warp[1, 1])
        picture = image if scale > 0.67 else cv2.GaussianBlur(image, (0, 0), 0.35 / scale)
        return np.asarray(cv2.warpAffine(picture, warp, self.settings.crop[::-1], flags=cv2.INTER_LINEAR), np.uint8)

    def _cropped(self, labels: npt.NDArray[Label], warp: npt.NDArray[np.float64], outside: int) -> npt.NDArray[Label]:
        """Codes or instances after a warp, with a value for what lies outside."""
        size = self.settings.crop[::-1]
        found = cv2.warpAffine(labels, warp, size, flags=cv2.INTER_NEAREST, borderValue=outside)
        return np.asarray(found, labels.dtype)

    def _recolour(self, pixels: recolour.Float, ids: Ids, rng: np.random.Generator) -> None:
        s = self.settings
        if rng.random() < s.dry:
            recolour.dry(pixels, self._trees[ids], rng)
        if rng.random() < s.recolour_road:
            recolour.road(pixels, self._road[ids], rng)
        if rng.random() < s.recolour_cars:
            recolour.paint(pixels, self._vehicle[ids], rng)

    def _light(self, pixels: recolour.Float, ids: Ids, rng: np.random.Generator) -> None:
        """Dusk, night, or a sky of another colour."""
        s, draw = self.settings, rng.random()
        look = "night" if draw < s.night else "dusk" if draw < s.night + s.dusk else ""
        if look:
            recolour.dim(pixels, look, rng)
            recolour.sky(pixels, self._skies[ids], look, rng)
        elif rng.random() < s.recolour_sky:
            recolour.sky(pixels, self._skies[ids], "blue" if rng.random() < 0.75 else "grey", rng)

    def _sensor(self, image: Image, rng: np.random.Generator) -> Image:
        s = self.settings
        out = image
        if rng.random() < s.blur:
            out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 1.4))), np.uint8)
        if rng.random() < s.noise:
            grain = rng.normal(0, rng.uniform(2, 12), out.shape).astype(np.int16)
            out = np.asarray(cv2.add(out, grain, dtype=cv2.CV_8U), np.uint8)
        if rng.random() < s.jpeg:
            _, code = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 85))])
            out = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
        return out


def _offset(side: float, crop: int, shown: float | None, rng: np.random.Generator) -> float:
    """Where a crop of a scaled side begins; what is ``shown`` lies within it."""
    draw, slack = rng.uniform(0, 1), side - crop
    if slack <= 0:
        return slack * draw
    if shown is None:
        return slack * draw
    low, high = max(0.0, shown - crop), min(slack, shown)
    return low + (high - low) * draw


def _jitter(pixels: recolour.Float, rng: np.random.Generator) -> recolour.Float:
    """Brightness, contrast, gamma, gains by channel, saturation and hue."""
    grey = recolour.luminance(pixels)[..., None]
    pixels = grey + (pixels - grey) * np.float32(rng.uniform(0.5, 1.6))
    mean = float(grey.mean())
    pixels = mean + (pixels - mean) * np.float32(rng.uniform(0.65, 1.4))
    pixels = pixels * (rng.uniform(0.65, 1.4) * rng.uniform(0.88, 1.12, 3)).astype(np.float32)
    unit = np.clip(pixels / 255, 0, 1) ** np.float32(np.exp(rng.uniform(-0.4, 0.4)))
    pixels = np.asarray(unit * 255, np.float32)
    if rng.random() < 0.3:
        hsv = cv2.cvtColor(pixels.astype(np.uint8), cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(rng.integers(-9, 10))) % 180
        pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR).astype(np.float32)
    return pixels
