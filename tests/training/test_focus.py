"""Focus: samples that are taken for a rare class show it, made on the host and on the device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from tiny_runs import UNVARIED, material_of, tiny  # noqa: E402

from drivenet.data.base import Sample  # noqa: E402
from drivenet.errors import UsageError  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.training.assemble import assemble  # noqa: E402
from drivenet.training.augment import Augment  # noqa: E402
from drivenet.training.focus import LEAST_PIXELS, Focus  # noqa: E402
from drivenet.training.on_device.batches import DeviceBatches  # noqa: E402
from drivenet.training.samples import Batches, BatchSource, Order, Source  # noqa: E402
from drivenet.training.sets import SetCodes  # noqa: E402

CODES = SetCodes(CAMVID)
SIGN, PEOPLE = CAMVID.id_of("SignSymbol"), CAMVID.id_of("Pedestrian")
SIZE = (96, 160)
SETTINGS = tiny(augment={**UNVARIED, "crop": [32, 64], "scale": [1, 2], "flip": 0.5}, input=SIZE, batch=8)


def pictures() -> list[Sample]:
    """Twelve roads; on one of them stand a sign and a person, each in a corner."""
    made = []
    for number in range(12):
        ids = np.zeros(SIZE, np.uint8)
        if number == 5:
            ids[2:7, 2:8], ids[-7:-2, -8:-2] = SIGN, PEOPLE
        made.append(Sample(np.zeros((*SIZE, 3), np.uint8), ids, str(number)))
    return made


def order(share: float) -> Order:
    samples = pictures()
    classes = [CODES.within([SIGN]), CODES.within([PEOPLE])]
    return Order([Source(samples, 1)], 0, Focus([(s.ids for s in samples)], classes, share))


def on_host(share: float) -> BatchSource:
    return Batches(order(share), Augment(SETTINGS.augment, CODES), SIZE, 8)


def on_device(share: float) -> BatchSource:
    return DeviceBatches(order(share), SETTINGS, CODES, torch.device("cpu"))


@pytest.mark.parametrize("source", [on_host, on_device])
def test_a_focused_sample_shows_its_class(source: Callable[[float], BatchSource]) -> None:
    shown = [set(truth.unique().tolist()) & {SIGN, PEOPLE} for i in range(4) for truth in source(1.0).at(i)[1]]
    assert all(shown)
    assert sum(SIGN in s for s in shown) > 4
    assert sum(PEOPLE in s for s in shown) > 4
    by_chance = [bool(set(t.unique().tolist()) & {SIGN, PEOPLE}) for i in range(4) for t in source(0.0).at(i)[1]]
    assert sum(by_chance) < 8


def test_a_share_of_the_samples_is_focused() -> None:
    half = order(0.5)
    shown = [half.pick(number).shown is not None for number in range(200)]
    assert 70 < sum(shown) < 130


def test_a_picture_needs_more_than_a_few_pixels_to_be_chosen() -> None:
    ids = np.zeros(SIZE, np.uint8)
    ids[0, : LEAST_PIXELS - 1] = SIGN
    focus = Focus([[ids]], [CODES.within([SIGN])], 1.0)
    assert focus.choose(0, 0, np.random.default_rng(0)) == (0, None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"focus": {"share": 0.5, "classes": ["Pedestrian", "Bicyclist"]}},
            "focus on Bicyclist; expected classes with 20",
        ),
        ({"focus": {"share": 0.5}}, "focus.share without classes"),
        ({"paste": {"share": 0.5, "classes": ["Bicyclist"]}}, "paste without a thing to cut out"),
    ],
    ids=("focus", "no classes", "paste"),
)
def test_what_is_not_there_is_told_at_the_start(changes: dict[str, object], told: str, tmp_path: Path) -> None:
    """Such runs trained without a word, and without the samples that were asked for."""
    material = material_of(CAMVID, pictures())
    with pytest.raises(UsageError, match=told):
        assemble(SETTINGS.model_validate({**SETTINGS.model_dump(), **changes}), material, tmp_path, torch.device("cpu"))
