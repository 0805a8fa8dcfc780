"""Copy-paste: things stand at their proper size for their distance, with ids of their own, behind what is nearer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from tiny_runs import TINY, losses, tiny  # noqa: E402

from drivenet.data.base import Sample  # noqa: E402
from drivenet.data.panoptic_files import write_instance_ids  # noqa: E402
from drivenet.labels import CITYSCAPES  # noqa: E402
from drivenet.things import UNSURE  # noqa: E402
from drivenet.training.instances import numbered  # noqa: E402
from drivenet.training.paste import SCALES, Paste  # noqa: E402
from drivenet.training.samples import Source  # noqa: E402
from drivenet.training.sets import SetCodes  # noqa: E402
from drivenet.training.settings import PasteSettings  # noqa: E402
from drivenet.training.sources import load  # noqa: E402

CODES = SetCodes(CITYSCAPES)
SKY, ROAD, VERGE, PERSON, RIDER, BIKE, CAR, POLE, SIGN = (
    CITYSCAPES.id_of(n)
    for n in ("sky", "road", "terrain", "person", "rider", "bicycle", "car", "pole", "traffic sign")
)  # fmt: skip
SIZE, HORIZON = (160, 240), 64
COLOURS = {SKY: 200, ROAD: 100, VERGE: 90, CAR: (200, 30, 30), PERSON: (30, 30, 220), RIDER: (30, 200, 30),
           BIKE: (200, 30, 200), POLE: 60, SIGN: (20, 220, 220)}  # fmt: skip


def sample(ids: Any, instances: Any = None) -> Sample:
    image = np.zeros((*SIZE, 3), np.uint8)
    for code, colour in COLOURS.items():
        image[ids == code] = colour
    return Sample(image, ids, "x", instances)


def empty() -> tuple[Any, Any]:
    ids = np.full(SIZE, ROAD, np.uint8)
    ids[:HORIZON], ids[HORIZON:, 200:] = SKY, VERGE
    return ids, np.zeros(SIZE, np.uint8)


def people() -> Sample:
    """A person, a rider on a bicycle and a car, each on the road and complete, and a sign on its pole on the verge."""
    ids, things = empty()
    for number, code, rows, columns in (
        (1, PERSON, (60, 110), (30, 44)), (2, BIKE, (92, 112), (90, 120)), (3, RIDER, (66, 92), (98, 112)),
        (4, CAR, (80, 115), (140, 190)),
    ):  # fmt: skip
        ids[slice(*rows), slice(*columns)], things[slice(*rows), slice(*columns)] = code, number
    ids[40:52, 214:226], ids[52:104, 219:222] = SIGN, POLE
    return sample(ids, things)


def paste(*classes: str, target: Sample, most: int = 1) -> Paste:
    settings = PasteSettings(share=1, most=most, classes=classes)
    return Paste(settings, [Source([people()], 1), Source([target], 1)], CODES)


def test_cutouts_are_what_stands_complete_on_the_ground() -> None:
    found = paste(target=sample(*empty())).cutouts
    assert {code: len(some) for code, some in found.items()} == {PERSON: 1, RIDER: 1, CAR: 1, SIGN: 1}
    rider = found[RIDER][0]
    assert {tuple(np.unique(rider.ids[rider.parts == n])) for n in (1, 2)} == {(RIDER,), (BIKE,)}
    sign = found[SIGN][0]
    assert set(np.unique(sign.ids[sign.mask])) == {SIGN, POLE}
    assert not sign.parts.any()
    assert set(paste("person", target=sample(*empty())).cutouts) == {PERSON}


def test_what_is_too_short_for_its_distance_is_left_out() -> None:
    """Half a person would be pasted as a dwarf."""
    low = people()
    low.ids[60:90, 30:44], low.instances[60:90, 30:44] = ROAD, 0  # type: ignore[index]
    whole = [people() for _ in range(4)]
    made = Paste(PasteSettings(share=1, classes=("person",)), [Source([*whole, low], 1)], CODES)
    assert [len(one.mask) for one in made.cutouts[PERSON]] == [50] * 4


def test_a_picture_whose_things_nobody_told_apart_gives_none() -> None:
    bare = Sample(people().image, people().ids, "x")
    assert Paste(PasteSettings(share=1), [Source([bare], 1)], CODES).cutouts == {}


@pytest.mark.parametrize(("name", "code"), [("person", PERSON), ("car", CAR), ("traffic sign", SIGN)])
def test_a_thing_is_as_large_as_its_distance_wants(name: str, code: int) -> None:
    """Its height goes with how far its foot is below the horizon; and it stands on the ground."""
    target = sample(*empty())
    maker, original = paste(name, target=target), paste(name, target=target).cutouts[code][0]
    heights = []
    for seed in range(12):
        made = maker(target, 1, np.random.default_rng(seed))
        new = made.ids != target.ids
        if not new.any():
            continue
        rows = np.flatnonzero(new.any(1))
        height, depth = rows[-1] + 1 - rows[0], rows[-1] + 1 - HORIZON
        wanted = original.mask.shape[0] / (original.depth * SIZE[0])
        assert height / depth == pytest.approx(wanted, rel=0.2)
        assert SCALES[0] - 0.1 < height / original.mask.shape[0] < SCALES[1] + 0.1
        assert {ROAD, VERGE} & set(np.unique(target.ids[rows[-1]][new[rows[-1]]]))
        heights.append(int(height))
        inner = cv2.erode((made.ids == code).astype(np.uint8), np.ones((3, 3))) > 0
        assert np.abs(made.image[inner].astype(int) - COLOURS[code]).mean() < 60
    assert len(set(heights)) > 3


def test_where_no_number_is_left_nothing_is_pasted() -> None:
    target = sample(*empty())
    target.instances[0, 0] = 254  # type: ignore[index]
    maker = paste("person", target=target)
    assert all((maker(target, 1, np.random.default_rng(seed)).ids == target.ids).all() for seed in range(8))


@pytest.mark.parametrize("kind", [np.uint8, np.int32])
def test_instances_stay_exact(kind: type) -> None:
    target = sample(empty()[0], empty()[1].astype(kind))
    target.instances[100:110, 10:20], target.ids[100:110, 10:20] = 7, PERSON  # type: ignore[index]
    maker, before = paste("rider", "bicycle", target=target, most=2), target.ids.copy()
    seen = 0
    for seed in range(10):
        made = maker(target, 1, np.random.default_rng(seed))
        assert made.instances is not None
        assert made.instances.dtype == kind
        for number in np.unique(made.instances[made.instances > 7]):
            assert len(np.unique(made.ids[made.instances == number])) == 1
            seen += 1
        np.testing.assert_array_equal(made.instances > 7, np.isin(made.ids, (RIDER, BIKE)))
        np.testing.assert_array_equal(made.instances == 7, made.ids == PERSON)
    assert seen >= 4
    np.testing.assert_array_equal(target.ids, before)  # the given sample is as it was


def test_what_is_nearer_stays_in_front_with_instances_or_without() -> None:
    ids, things = empty()
    ids[70:156, 20:180], things[70:156, 20:180] = CAR, 9
    for target in (sample(ids, things), sample(ids), sample(ids, np.where(things > 0, 255, 0).astype(np.uint8))):
        maker, pasted = paste("person", target=target), 0
        for seed in range(12):
            made = maker(target, 1, np.random.default_rng(seed))
            assert (made.ids[ids == CAR] == CAR).all()
            pasted += int((made.ids == PERSON).any())
        assert pasted


def write(root: Path) -> dict[str, Any]:
    """The people and an empty road as a data set with thing ids; the source's settings."""
    ids, things = empty()
    ids[90:100, 20:30], things[90:100, 20:30] = PERSON, 255
    for split in ("train", "val"):
        for number, one in enumerate((people(), sample(ids, things))):
            for part, picture in (("images", one.image), ("labels", one.ids), ("things", one.instances)):
                (root / split / part).mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(root / split / part / f"{number}.png"), np.asarray(picture, np.uint8))
    return {"dataset": "folder", "labels": "cityscapes", "root": str(root), "instances": "{split}/things"}


def city(root: Path, one: Sample) -> dict[str, Any]:
    """A sample in the files of Cityscapes; the settings of a run with it."""
    for split in ("train", "val"):
        stem = f"{split}/aachen/a"
        for kind in ("leftImg8bit", "gtFine"):
            (root / kind / split / "aachen").mkdir(parents=True)
        assert cv2.imwrite(f"{root}/leftImg8bit/{stem}_leftImg8bit.png", one.image)
        assert cv2.imwrite(f"{root}/gtFine/{stem}_gtFine_labelTrainIds.png", one.ids)
        write_instance_ids(root / f"gtFine/{stem}_gtFine_instanceIds.png", one.ids, np.asarray(one.instances))
    return {**TINY, "labels": "cityscapes", "data": [{"dataset": "cityscapes", "root": str(root)}]}


def test_the_things_of_cityscapes_are_learnt_from_its_own_files_where_they_are_wanted(tmp_path: Path) -> None:
    model = city(tmp_path, people())
    (plain,) = load(tiny(**model)).sources[0].pictures
    assert plain.instances is None
    (parted,) = load(tiny(**model, paste={"share": 1.0})).sources[0].pictures
    assert parted.instances is not None
    before = np.asarray(people().instances)
    assert len(np.unique(parted.instances[before > 0])) == before.max()
    np.testing.assert_array_equal(parted.instances > 0, before > 0)


def test_groups_and_signs_of_cityscapes_neither_teach_nor_are_pasted(tmp_path: Path) -> None:
    """Nobody knows which things they are: the network was taught that none is there."""
    one = people()
    things = np.asarray(one.instances).copy()
    things[one.ids == PERSON] = 0
    model = city(tmp_path, sample(one.ids, things))
    (parted,) = load(tiny(**model, paste={"share": 1.0})).sources[0].pictures
    assert parted.instances is not None
    unsure = np.isin(one.ids, (PERSON, SIGN))
    np.testing.assert_array_equal(numbered(parted.instances) == UNSURE, unsure)
    np.testing.assert_array_equal(numbered(parted.instances) == 0, (things == 0) & ~unsure)
    assert set(Paste(PasteSettings(share=1.0), [Source([parted], 1)], CODES).cutouts) == {RIDER, CAR, SIGN}


def test_a_source_names_its_thing_ids_and_a_run_with_them_goes_on(tmp_path: Path) -> None:
    model = {**TINY, "labels": "cityscapes", "data": [write(tmp_path)], "paste": {"share": 1.0}, "iterations": 3}
    settings = tiny(**model)
    first, second = load(settings).sources[0].pictures
    assert first.instances is not None
    assert second.instances is not None
    np.testing.assert_array_equal(first.instances, people().instances)
    assert second.instances[95, 25] == 255  # nobody knows which thing it is
    trainer, whole = losses(tmp_path / "whole", settings)
    plain = losses(tmp_path / "plain", tiny(**{**model, "paste": {"share": 0.0}, "iterations": 1}))[1]
    assert plain[1] != whole[1]
    before = losses(tmp_path / "cut", settings, stop_after=2)[1]
    assert {**before, **losses(tmp_path / "cut", settings)[1]} == pytest.approx(whole, rel=1e-3)
    assert trainer.batches.at(1)[1].unique().tolist() != [ROAD]
