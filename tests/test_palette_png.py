"""Palette PNGs: pixels read back as ids, shown as label colours."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest

from drivenet.labels import CAMVID, CITYSCAPES, IGNORE_ID, LabelSet
from drivenet.palette_png import encode_palette_png


def all_ids(labels: LabelSet, size: tuple[int, int]) -> np.ndarray:
    ids = np.random.default_rng(1).integers(0, len(labels) + 1, size, dtype=np.uint8)
    ids[ids == len(labels)] = IGNORE_ID
    return ids


@pytest.mark.parametrize("labels", [CAMVID, CITYSCAPES], ids=lambda labels: labels.name)
@pytest.mark.parametrize("size", [(256, 512), (1, 1), (7, 3)], ids=str)
def test_another_reader_shows_the_label_colours(labels: LabelSet, size: tuple[int, int]) -> None:
    ids = all_ids(labels, size)
    data = encode_palette_png(ids, labels.rgb_table)
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert (shown == labels.bgr_table[ids]).all()


def test_another_reader_gets_every_id_exactly() -> None:
    image_module = pytest.importorskip("PIL.Image", reason="Pillow not installed")
    ids = np.arange(256, dtype=np.uint8).reshape(8, 32)
    image = image_module.open(io.BytesIO(encode_palette_png(ids, CAMVID.rgb_table)))
    assert image.mode == "P"
    assert (np.asarray(image) == ids).all()
    assert image.getpalette()[: 3 * len(CAMVID)] == [v for colour in CAMVID.palette for v in colour]
