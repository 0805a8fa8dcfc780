"""Copy-paste: things of one picture stand in another, at their proper size for the distance they stand at.

A thing's height in the picture goes with how far its foot is below the horizon, whatever the lens; so a cutout that is
scaled by s stands s times as far below the horizon as it did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.data.base import Sample
from drivenet.labels import IGNORE_ID, LabelSet
from drivenet.training.cutouts import Cutout, cut, horizon_of, known
from drivenet.training.recolour import luminance
from drivenet.training.regions import Mask, Regions
from drivenet.training.samples import Source
from drivenet.training.sets import SetCodes
from drivenet.training.settings import PasteSettings

#: How much smaller or larger than in its own picture a thing may be.
SCALES = (0.35, 1.25)
#: What has to be seen of it: a share, and pixels.
LEAST_SEEN, LEAST_PIXELS = 0.5, 12
#: What is pasted unless the settings name classes, as Cityscapes and CamVid call them, in lower case.
CLASSES = (
    "person", "rider", "bicycle", "motorcycle", "car", "truck", "bus", "train", "traffic light", "traffic sign",
    "pedestrian", "bicyclist", "signsymbol",
)  # fmt: skip


class Paste:
    """Pastes things into samples; all chance comes from the given generator.

    Args:
        settings: share, number and classes.
        sources: pictures that things are cut from, where they have instance ids, and pasted into.
        codes: what the labels of the sources mean.
    """

    def __init__(self, settings: PasteSettings, sources: Sequence[Source], codes: SetCodes) -> None:
        self.settings, self._regions = settings, Regions(codes)
        wanted = set(np.flatnonzero(codes.within(_ids(settings.classes, codes.labels))).tolist())
        self._horizons = [None if s.drawn else horizon_of(s.pictures, self._regions) for s in sources]
        self.cutouts: dict[int, list[Cutout]] = {}
        for source in sources:
            for code, some in ({} if source.drawn else cut(source.pictures, self._regions, wanted)).items():
                self.cutouts.setdefault(code, []).extend(some)
        self._kinds = sorted(self.cutouts)
        # Rare kinds more often than their number has it, but not as often as all: few cutouts repeat themselves.
        roots = np.sqrt([len(self.cutouts[code]) for code in self._kinds])
        self._chances = roots / roots.sum()

    def __call__(self, sample: Sample, source: int, rng: np.random.Generator) -> Sample:
        """The sample with some things more, in picture, ids and instances; the given one is left as it is.

        Args:
            sample: labelled in codes.
            source: its number among the sources.
            rng: the only source of chance.
        """
        horizon = self._horizons[source]
        if horizon is None or not self.cutouts or rng.random() >= self.settings.share:
            return sample
        instances = None if sample.instances is None else sample.instances.copy()
        sample = replace(sample, image=sample.image.copy(), ids=sample.ids.copy(), instances=instances)
        for _ in range(int(rng.integers(1, self.settings.most + 1))):
            some = self.cutouts[int(rng.choice(self._kinds, p=self._chances))]
            self._one(sample, some[int(rng.integers(len(some)))], horizon, rng)
        return sample

    def _one(self, sample: Sample, cutout: Cutout, horizon: float, rng: np.random.Generator) -> None:
        """Paste one thing, in place, where it finds ground and is not hidden."""
        h, w = sample.ids.shape
        scale = float(np.exp(rng.uniform(*np.log(SCALES))))
        foot = round((horizon + scale * cutout.depth) * h)
        high = max(2, round(cutout.mask.shape[0] * scale * h / cutout.size[0]))
        wide = max(2, round(cutout.mask.shape[1] * scale * w / cutout.size[1]))
        if foot >= h - 1:
            return
        ground = np.flatnonzero(self._regions(_ground(cutout, self._regions), sample.ids[foot]))
        if not ground.size:
            return
        left, top = int(ground[int(rng.integers(ground.size))]) - wide // 2, foot - high
        here = np.s_[max(0, top) : foot, max(0, left) : min(w, left + wide)]
        part = np.s_[max(0, -top) :, max(0, -left) : min(wide, w - left)]
        if rng.random() < 0.5 and not self._regions.tables["sign"][cutout.code]:  # signs would be mirrored
            cutout = _mirrored(cutout)
        image, mask, ids, parts = _scaled(cutout, (high, wide))
        seen = mask[part] & ~self._before(sample, foot)[here]
        if seen.sum() < max(LEAST_PIXELS, LEAST_SEEN * mask.sum()) or not _number_left(sample, parts):
            return
        _shade(sample.image, here, foot, self._regions("ground", sample.ids))
        light = float(luminance(sample.image[::4, ::4].astype(np.float32)).mean())
        gain = np.clip(light / max(1.0, cutout.light), 0.5, 1.7) ** 0.8
        soft = (
            cv2.GaussianBlur(seen.astype(np.float32), (0, 0), 0.6)[..., None]
            * cv2.dilate(seen.astype(np.uint8), np.ones((3, 3), np.uint8))[..., None]
        )
        pixels = sample.image[here].astype(np.float32)
        sample.image[here] = np.clip(pixels + (image[part] * gain - pixels) * soft, 0, 255).astype(np.uint8)
        sample.ids[here][seen] = ids[part][seen]
        if sample.instances is not None:
            first = int(known(sample.instances).max())
            sample.instances[here][seen] = np.where(parts[part] > 0, first + parts[part].astype(int), 0)[seen]

    def _before(self, sample: Sample, foot: int) -> Mask:
        """What stands nearer than ``foot``, (H, W) bool: things that reach further down, or that nobody knows."""
        things = self._regions("thing", sample.ids)
        if sample.instances is not None:
            numbers = np.where(things, known(sample.instances), 0)
        else:
            numbers = cv2.connectedComponents(things.astype(np.uint8))[1].astype(np.int64)
        nearer = np.unique(numbers[foot:])
        return np.asarray(np.isin(numbers, nearer[nearer != 0]) | (numbers < 0), np.bool_)


def _number_left(sample: Sample, parts: npt.NDArray[np.uint8]) -> bool:
    """Whether there are numbers for these parts: 8-bit instances end at 254."""
    if sample.instances is None or sample.instances.dtype != np.uint8:
        return True
    return int(known(sample.instances).max()) + int(parts.max()) < IGNORE_ID


def _ids(names: Sequence[str], labels: LabelSet) -> list[int]:
    """Of the classes that are named; of :data:`CLASSES`, as far as the network has them, if none is."""
    if names:
        return [labels.id_of(name) for name in names]
    return [i for i, name in enumerate(labels.classes) if name.lower() in CLASSES]


def _ground(cutout: Cutout, regions: Regions) -> str:
    """Where such a thing stands: vehicles on the road, signs beside it, people and riders on both."""
    if regions.tables["vehicle"][cutout.code]:
        return "road"
    return "verge" if regions.tables["sign"][cutout.code] else "ground"


def _mirrored(cutout: Cutout) -> Cutout:
    turned = {name: getattr(cutout, name)[:, ::-1] for name in ("image", "ids", "mask", "parts")}
    return replace(cutout, **turned)


def _scaled(
    cutout: Cutout, size: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], Mask, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Picture, mask, ids and parts at another size (height, width)."""
    to = size[::-1]
    # What lies beside the thing takes its mean colour, so that no seam of its old background comes along.
    colour = cutout.image[cutout.mask].mean(0)
    filled = np.where(cutout.mask[..., None], cutout.image, colour).astype(np.float32)
    image = cv2.resize(filled, to, interpolation=cv2.INTER_AREA if size[0] < len(cutout.mask) else cv2.INTER_LINEAR)
    mask, ids, parts = (
        cv2.resize(np.ascontiguousarray(v).astype(np.uint8), to, interpolation=cv2.INTER_NEAREST_EXACT)
        for v in (cutout.mask, cutout.ids, cutout.parts)
    )
    return np.asarray(image, np.float32), mask > 0, np.asarray(ids, np.uint8), np.asarray(parts, np.uint8)


def _shade(image: npt.NDArray[np.uint8], here: tuple[slice, slice], foot: int, ground: Mask) -> None:
    """A soft shadow on the ground under a thing."""
    columns = here[1]
    wide = columns.stop - columns.start
    rows = slice(max(0, foot - max(2, wide // 8)), min(len(image), foot + max(2, wide // 10)))
    shadow = np.zeros((rows.stop - rows.start, wide), np.float32)
    centre, axes = (wide // 2, foot - rows.start), (max(1, wide // 2), max(1, (rows.stop - rows.start) // 2))
    cv2.ellipse(shadow, centre, axes, 0, 0, 360, 0.45, -1)
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(0.8, wide / 16)) * ground[rows, columns]
    image[rows, columns] = (image[rows, columns] * (1 - shadow[..., None])).astype(np.uint8)
