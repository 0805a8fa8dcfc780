"""The synthetic drive: exact, repeatable, varied."""

from __future__ import annotations

import numpy as np
import pytest

from drivenet.errors import UsageError
from drivenet.labels import CAMVID, CITYSCAPES, VOC, LabelSet
from drivenet.synthetic import SyntheticDrive
from drivenet.synthetic.light import LOOK_SECONDS, Light


def test_a_frame_depends_on_seed_and_index_alone() -> None:
    """Drawn out of order, by another object, it is the same to the bit; another seed gives another street."""
    one, other = SyntheticDrive(160, 96, seed=3), SyntheticDrive(160, 96, seed=3)
    one.render(7)
    image, ids = one.render(40)
    again_image, again_ids = other.render(40)
    assert np.array_equal(image, again_image)
    assert np.array_equal(ids, again_ids)
    assert not np.array_equal(ids, SyntheticDrive(160, 96, seed=4).render(40)[1])


def test_pictures_and_ids_have_the_size_asked_for() -> None:
    image, ids = SyntheticDrive(333, 97).render(0)
    assert (image.shape, image.dtype, ids.shape, ids.dtype) == ((97, 333, 3), np.uint8, (97, 333), np.uint8)
    assert image.flags.c_contiguous


@pytest.mark.parametrize("labels", [CITYSCAPES, CAMVID], ids=lambda labels: labels.name)
def test_every_class_occurs_and_nothing_else(labels: LabelSet) -> None:
    seen: set[int] = set()
    for seed in range(24):
        for index in (0, 200, 400):
            seen |= set(np.unique(SyntheticDrive(256, 144, seed=seed, labels=labels).render(index)[1]).tolist())
    assert seen == set(range(len(labels)))


def test_camvid_is_the_same_drive_in_fewer_classes() -> None:
    """Every Cityscapes class falls into one of CamVid's, in its group where both have it, and the images are equal."""
    fine, coarse = (SyntheticDrive(256, 144, seed=1, labels=labels) for labels in (CITYSCAPES, CAMVID))
    for index in range(0, 900, 90):
        (image, ids), (same, mapped) = fine.render(index), coarse.render(index)
        assert np.array_equal(image, same)
        for cls in np.unique(ids):
            (onto,) = np.unique(mapped[ids == cls])
            groups = CITYSCAPES.groups[CITYSCAPES.classes[cls]], CAMVID.groups[CAMVID.classes[onto]]
            assert groups[0] == groups[1] or CITYSCAPES.classes[cls] in ("bicycle", "motorcycle")


def test_other_label_sets_cannot_be_drawn() -> None:
    with pytest.raises(UsageError, match="cityscapes or camvid"):
        SyntheticDrive(64, 64, labels=VOC)


def test_the_road_lies_ahead_under_the_sky() -> None:
    """In the lowest rows the middle is road, in the highest there is no road."""
    for seed in range(6):
        ids = SyntheticDrive(256, 144, seed=seed).render(30)[1]
        road = CAMVID.id_of("Road")
        assert np.mean(ids[-10:, 100:156] == road) > 0.6
        assert not np.any(ids[:20] == road)


def test_things_move_between_frames() -> None:
    drive = SyntheticDrive(256, 144, fps=10, seed=2)
    (_, first), (_, later) = drive.render(0), drive.render(5)
    assert 0.005 < np.mean(first != later) < 0.6


def test_the_light_changes_over_time() -> None:
    drive = SyntheticDrive(160, 96, fps=1, seed=5)
    brightness = [drive.render(int(i * LOOK_SECONDS))[0].mean() for i in range(6)]
    assert max(brightness) > 1.5 * min(brightness)
    looks = [Light.at(5, s) for s in (0.0, 0.1)]
    assert np.allclose(looks[0].gain, looks[1].gain, atol=0.05)


@pytest.mark.parametrize(("width", "height", "fps"), [(8, 96, 30), (160, 100_000, 30), (160, 96, 0), (160, 96, 1e6)])
def test_what_cannot_be_drawn_is_refused(width: int, height: int, fps: float) -> None:
    with pytest.raises(UsageError, match="expected"):
        SyntheticDrive(width, height, fps)
