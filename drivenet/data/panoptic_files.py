"""Panoptic truth and predictions in the field's files: Cityscapes ``instanceIds``, COCO panoptic, 8-bit instances."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.data.cityscapes import EVALUATED
from drivenet.data.pairs import read_label
from drivenet.decoding import decode, read_bytes
from drivenet.errors import SourceError, UsageError
from drivenet.files import write_atomic
from drivenet.labels import CITYSCAPES, IGNORE_ID, LabelSet
from drivenet.panoptic import CITYSCAPES_THINGS, SHIFT, Segments, class_of, thing_table

#: So many things of one class an ``instanceIds`` file can hold.
_MOST = 1000

Numbers = npt.NDArray[np.int32]


def read_instance_ids(path: Path) -> tuple[Ids, Numbers]:
    """Read a Cityscapes ``*_instanceIds.png``.

    Returns:
        ids (H, W) uint8 train ids, 255 for what is not evaluated, and instances (H, W) int32: from 1 on, apart by
        class; 0 for stuff, and for things of which no single one is known (a group).

    Raises:
        SourceError: for a file that is missing or holds other values.
    """
    values = _read(path).astype(np.int64)
    if values.ndim != 2:
        raise SourceError(f"{path} decodes to {values.shape}", "grey values, label id or label id x 1000 + number")
    single = values >= _MOST
    label = np.where(single, values // _MOST, values)
    if int(label.max()) > max(EVALUATED) or (label.size and int(label.min()) < 0):
        raise SourceError(f"{path} holds {int(values.max())}", "label ids 0..33, or label id x 1000 + number")
    table = np.full(max(EVALUATED) + 1, IGNORE_ID, np.uint8)
    table[list(EVALUATED)] = np.arange(len(EVALUATED))
    ids = np.asarray(table[label])
    return ids, np.where(single & (ids != IGNORE_ID), values % _MOST + 1, 0).astype(np.int32)


def read_numbered_things(path: Path) -> Numbers:
    """The things of a Cityscapes ``*_instanceIds.png``, apart over all classes.

    Returns:
        instances (H, W) int32: train id x 1000 + number from 1 on; 0 for stuff and groups.

    Raises:
        SourceError: as :func:`read_instance_ids`.
    """
    classes, numbers = read_instance_ids(path)
    return np.where(numbers > 0, numbers + classes.astype(np.int32) * _MOST, 0).astype(np.int32)


def write_instance_ids(path: Path, ids: Ids, instances: npt.NDArray[np.integer]) -> None:
    """Write a Cityscapes ``*_instanceIds.png`` (16 bits); numbers run from 0 for each class.

    Args:
        path: where it goes.
        ids: (H, W) train ids; 255 becomes ``unlabeled``.
        instances: (H, W); 0 in a thing class makes a group.

    Raises:
        UsageError: for more than 1,000 things of one class.
    """
    things = thing_table(CITYSCAPES, CITYSCAPES_THINGS)
    table = np.zeros(256, np.uint16)
    table[: len(EVALUATED)] = EVALUATED
    values = table[ids]
    single = things[ids] & (instances > 0)
    for cls in np.unique(ids[single]):
        mask = single & (ids == cls)
        numbers, of = np.unique(instances[mask], return_inverse=True)
        if len(numbers) > _MOST:
            raise UsageError(f"{len(numbers)} things of class {CITYSCAPES.classes[cls]}", f"at most {_MOST} in {path}")
        values[mask] = int(table[cls]) * _MOST + of
    write_atomic(path, _png(values))


def read_instances(path: Path) -> npt.NDArray[np.uint8]:
    """Read 8-bit instance numbers: 0 no thing, 1..254 a thing, 255 to be ignored; SourceError if it is not that."""
    return read_label(path)


@dataclass(frozen=True, eq=False)
class CocoPanoptic:
    """COCO panoptic JSON with its folder of PNG files.

    Args:
        classes: name by category id.
        things: the names with ``isthing``.
        annotations: by file name (of the PNG), the ``annotations`` members.
        folder: where the PNG files are.
    """

    classes: dict[int, str]
    things: tuple[str, ...]
    annotations: dict[str, dict[str, Any]]
    folder: Path

    def read(self, file_name: str, labels: LabelSet) -> Segments:
        """The segments of one image in classes of ``labels``, with crowds; see :func:`drivenet.panoptic.segments`.

        Raises:
            SourceError: if PNG and JSON do not fit each other or the label set.
        """
        if file_name not in self.annotations:
            raise SourceError(f"no annotation of {file_name}", f"one of {len(self.annotations)} files")
        path = self.folder / file_name
        pixels = _read(path).astype(np.int64)
        if pixels.ndim != 3:
            raise SourceError(f"{path} has one channel", "an RGB PNG whose colours are segment ids")
        keys, of = np.unique(pixels[..., 2] + 256 * pixels[..., 1] + 65536 * pixels[..., 0], return_inverse=True)
        known = self._known(self.annotations[file_name], path, labels)
        unknown = sorted(set(keys.tolist()) - set(known) - {0})
        if unknown:
            raise SourceError(f"{path} holds segment {unknown[0]}", "segments that its JSON lists")
        table = np.array([known.get(k, 0) for k in keys.tolist()], np.int64)
        return np.asarray(table[of].reshape(pixels.shape[:2]))

    def _known(self, annotation: dict[str, Any], path: Path, labels: LabelSet) -> dict[int, int]:
        try:
            infos = [(int(i["id"]), int(i["category_id"]), bool(i.get("iscrowd"))) for i in annotation["segments_info"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SourceError(f"{path}: {error}", "segments_info with id and category_id in its JSON") from error
        out, number = {}, 0
        for segment, category, crowd in infos:
            name = self.classes.get(category)
            if name not in labels.classes:
                raise SourceError(f"{path}: category {category} ({name})", f"a class of {labels.name}")
            single = name in self.things and not crowd
            number += single
            out[segment] = (labels.id_of(name) + 1 << SHIFT) + (number if single else 0)
        return out


def read_coco_panoptic(path: Path, folder: Path | None = None) -> CocoPanoptic:
    """Read a COCO panoptic JSON.

    Args:
        path: the JSON.
        folder: of its PNG files; without, the folder of the JSON's own name beside it.

    Raises:
        SourceError: for a file that is missing or is no such JSON.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        classes = {int(c["id"]): str(c["name"]) for c in found["categories"]}
        things = tuple(str(c["name"]) for c in found["categories"] if c["isthing"])
        annotations = {str(a["file_name"]): a for a in found["annotations"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: {error}", "a COCO panoptic JSON with categories and annotations") from error
    return CocoPanoptic(classes, things, annotations, folder or path.with_suffix(""))


class CocoPanopticWriter:
    """A COCO panoptic JSON and, in the folder of its name beside it, a PNG an image.

    Category ids are class ids. Segment ids are class id x 1000 + 1 + the number of the thing, so that no two are equal.

    Args:
        path: of the JSON.
        labels: the classes.
        things: which are things.
    """

    def __init__(self, path: Path, labels: LabelSet, things: Sequence[str]) -> None:
        self.path, self.labels, self.things = path, labels, tuple(things)
        self._table = thing_table(labels, self.things)
        self._entries: list[dict[str, Any]] = []
        self._files: list[dict[str, Any]] = []

    def add(self, name: str, map_: Segments) -> None:
        """Write the PNG of one image, by its name without suffix."""
        pixels, infos = _coco(map_, self._table)
        write_atomic(self.path.with_suffix("") / f"{name}.png", _png(pixels))
        self._entries.append({"image_id": name, "file_name": f"{name}.png", "segments_info": infos})
        self._files.append({"id": name, "file_name": name, "height": map_.shape[0], "width": map_.shape[1]})

    def json(self) -> str:
        """The content of the JSON."""
        categories = [
            {"id": i, "name": c, "supercategory": self.labels.groups[c], "isthing": int(c in self.things),
             "color": list(self.labels.palette[i])} for i, c in enumerate(self.labels.classes)
        ]  # fmt: skip
        return json.dumps({"images": self._files, "annotations": self._entries, "categories": categories})


def write_coco_panoptic(
    path: Path, images: Iterable[tuple[str, Segments]], labels: LabelSet, things: Sequence[str]
) -> None:
    """Write a COCO panoptic JSON with its PNGs, see :class:`CocoPanopticWriter`.

    Args:
        path: of the JSON.
        images: name without suffix, and segments.
        labels: the classes.
        things: which are things.
    """
    writer = CocoPanopticWriter(path, labels, things)
    for name, map_ in images:
        writer.add(name, map_)
    write_atomic(path, writer.json())


def _coco(map_: Segments, things: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.uint8], list[dict[str, Any]]]:
    """BGR pixels of segment ids, and their ``segments_info``."""
    keys, of = np.unique(map_, return_inverse=True)
    of = of.reshape(map_.shape)
    classes, ids, seen = class_of(keys), np.zeros(len(keys), np.int64), dict.fromkeys(range(256), 0)
    infos: list[dict[str, Any]] = []
    for i, (key, cls) in enumerate(zip(keys.tolist(), classes.tolist(), strict=True)):
        if not key:
            continue
        crowd = bool(things[cls]) and key % (1 << SHIFT) == 0
        ids[i] = cls * _MOST + 1 + seen[cls]
        seen[cls] += 1
        if seen[cls] > _MOST:
            raise UsageError(f"more than {_MOST} things of class id {cls}", f"at most {_MOST} in an image")
        x, y, w, h = cv2.boundingRect((of == i).astype(np.uint8))
        infos.append(
            {"id": int(ids[i]), "category_id": cls, "area": int(np.count_nonzero(of == i)), "bbox": [x, y, w, h],
             "iscrowd": int(crowd)}
        )  # fmt: skip
    pixels = ids[of]
    return np.stack([pixels >> 16, pixels >> 8 & 255, pixels & 255], -1).astype(np.uint8), infos


def _read(path: Path) -> npt.NDArray[np.generic]:
    """The pixels as they are stored, colours as BGR."""
    pixels = decode(read_bytes(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise SourceError(f"{path} cannot be read", "a PNG of instances")
    return pixels


def _png(pixels: npt.NDArray[Any]) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()
