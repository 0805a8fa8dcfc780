"""The synthetic drive as a dataset: held-out seeds, frames apart, always the same."""

from __future__ import annotations

import numpy as np
import pytest

from drivenet.data import open_dataset
from drivenet.data.synthetic import FIRST_SEED, SyntheticDataset
from drivenet.labels import CAMVID, CITYSCAPES, COUNTABLE_GROUPS
from drivenet.synthetic import HELD_OUT_SEED


def test_splits_share_no_seed_with_training() -> None:
    seeds = {s: {d.seed for d in open_dataset("synthetic", None, s).drives} for s in FIRST_SEED}  # type: ignore[attr-defined]
    assert all(seed < HELD_OUT_SEED for seed in seeds["train"])
    assert all(seed >= HELD_OUT_SEED for seed in seeds["val"] | seeds["test"])
    assert not seeds["val"] & seeds["test"]


def test_samples_are_many_scenes_and_always_the_same() -> None:
    dataset = SyntheticDataset("val", drives=2, frames=2, width=64, height=48)
    assert (len(dataset), dataset.labels) == (4, CAMVID)
    samples = list(dataset)
    assert len({s.name for s in samples}) == len({s.image.tobytes() for s in samples}) == 4
    for i, sample in enumerate(samples):
        assert sample.image.shape == (48, 64, 3)
        assert sample.ids.max() < len(CAMVID)
        np.testing.assert_array_equal(dataset[i].image, sample.image)
        np.testing.assert_array_equal(dataset[i].ids, sample.ids)
    with pytest.raises(IndexError):
        dataset[4]


def test_the_classes_are_those_asked_for_and_every_thing_has_an_id() -> None:
    dataset = open_dataset("synthetic", None, "val", CITYSCAPES)
    assert dataset.labels == CITYSCAPES
    sample = SyntheticDataset("val", drives=1, frames=1, width=256, height=144, labels=CITYSCAPES)[0]
    countable = np.isin(sample.ids, [i for g in COUNTABLE_GROUPS for i in CITYSCAPES.ids_of_group(g)])
    assert sample.instances is not None
    np.testing.assert_array_equal(sample.instances > 0, countable)
