"""Several data sets, one network: what their labels mean, teach and do not teach; runs that go on exactly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from tiny_runs import UNVARIED, losses, tiny  # noqa: E402

from drivenet.errors import SourceError, UsageError  # noqa: E402
from drivenet.labels import CAMVID, CITYSCAPES, IDDLITE, LabelSet  # noqa: E402
from drivenet.models.deployed import normalise  # noqa: E402
from drivenet.training.assemble import class_shares, prepare_run  # noqa: E402
from drivenet.training.on_device.batches import DeviceBatches  # noqa: E402
from drivenet.training.packing import write_pack  # noqa: E402
from drivenet.training.sets import SetCodes  # noqa: E402
from drivenet.training.settings import DistilSettings  # noqa: E402
from drivenet.training.sources import Material, load  # noqa: E402

SIZE = (64, 96)
GREY, RED, BLUE, GREEN = (90, 90, 90), (30, 30, 220), (220, 60, 30), (40, 200, 40)
CLASSES = ("road", "car", "truck", "bus")
ROAD, CAR, TRUCK, BUS = range(4)
#: The other data set knows vehicles, which of them it does not say.
COARSE = ("road", "vehicle", "hood")
MEMBERS = {"road": ["road"], "vehicle": ["car", "truck", "bus"], "hood": []}


def scene(rng: np.random.Generator, colours: dict[tuple[int, int, int], int]) -> tuple[Any, Any]:
    """A grey road with a square of each colour, and what each is."""
    image, ids = np.full((*SIZE, 3), GREY, np.uint8), np.zeros(SIZE, np.uint8)
    for i, (colour, cls) in enumerate(colours.items()):
        y, x = int(rng.integers(4, 30)), 4 + 30 * i + int(rng.integers(0, 4))
        image[y : y + 26, x : x + 24], ids[y : y + 26, x : x + 24] = colour, cls
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8), ids


def folder(root: Path, colours: dict[tuple[int, int, int], int], count: int) -> None:
    for split in ("train", "val"):
        for part in ("images", "labels"):
            (root / split / part).mkdir(parents=True)
        for number in range(count):
            image, ids = scene(np.random.default_rng((number, split == "val")), colours)
            assert cv2.imwrite(str(root / split / "images" / f"{number}.png"), image)
            assert cv2.imwrite(str(root / split / "labels" / f"{number}.png"), ids)


def label_set(file: Path, name: str, classes: tuple[str, ...]) -> str:
    rows = [{"name": c, "colour": [10 * i, 0, 0], "group": "road" if c == "road" else "vehicle"}
            for i, c in enumerate(classes)]  # fmt: skip
    file.write_text(yaml.safe_dump({"name": name, "classes": rows}))
    return str(file)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that tells cars (red) from trucks (blue), the same with names exchanged, and one of vehicles."""
    top = tmp_path_factory.mktemp("sources")
    label_set(top / "fine.yaml", "fine", CLASSES)
    label_set(top / "coarse.yaml", "coarse", COARSE)
    mapping = {"dataset": "coarse", "model": "fine", "members": MEMBERS}
    (top / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    folder(top / "fine", {RED: CAR, BLUE: TRUCK}, 4)
    folder(top / "exchanged", {RED: TRUCK, BLUE: CAR}, 4)
    folder(top / "vehicles", {RED: 1, BLUE: 1, GREEN: 1}, 5)
    return top


def two_sources(places: Path, fine: str = "fine", **changes: Any) -> Any:
    plain = {**UNVARIED, "crop": SIZE, "flip": 0.5, "scale": [1, 1.3], "aspect": [1, 1]}
    data = [
        {"dataset": "folder", "root": str(places / fine), "labels": str(places / "fine.yaml"), "select": 2},
        {"dataset": "folder", "root": str(places / "vehicles"), "labels": str(places / "coarse.yaml"),
         "mapping": str(places / "mapping.yaml"), "share": 2, "name": "vehicles"},
    ]  # fmt: skip
    return tiny(**{"labels": str(places / "fine.yaml"), "data": data, "augment": plain, **changes})


def test_a_label_is_the_set_of_what_it_may_be(places: Path) -> None:
    material = load(two_sources(places))
    assert material.codes.sets == [frozenset({i}) for i in range(4)] + [frozenset({CAR, TRUCK, BUS})]
    fine, vehicles = (set(np.unique(np.stack([s.ids for s in one.pictures]))) for one in material.sources)
    assert (fine, vehicles) == ({ROAD, CAR, TRUCK}, {ROAD, 4})
    assert material.codes.within([CAR, TRUCK])[:5].tolist() == [False, True, True, False, False]
    assert material.codes.holding(CAR)[:5].tolist() == [False, True, False, False, True]
    assert [(val.name, val.weight) for val in material.vals] == [("fine", 2), ("vehicles", 1)]


def test_more_sets_than_a_byte_tells_apart_are_refused() -> None:
    """The 256th was taken for "no truth" without a word, one more was a traceback."""
    colours = [(i, 0, 0) for i in range(254)]
    names = [f"c{i}" for i in range(254)]
    many = LabelSet("many", tuple(names), tuple(colours), dict.fromkeys(names, "background"))
    assert len(SetCodes(many, more=[frozenset({0, 1})]).sets) == 255
    with pytest.raises(UsageError, match=r"254 classes and 2 sets of them .*at most 255 together; merge"):
        SetCodes(many, more=[frozenset({0, 1}), frozenset({1, 2})])


def test_sets_count_evenly_for_their_members_and_sources_by_their_share(places: Path) -> None:
    shares = class_shares(load(two_sources(places)))
    square, whole = 26 * 24, 64 * 96
    third, two_thirds = 1 / 3, 2 / 3
    assert shares[BUS] == pytest.approx(two_thirds * 3 * square / whole / 3)
    assert shares[CAR] == pytest.approx(third * square / whole + shares[BUS])
    assert shares.sum() == pytest.approx(1)


def probabilities(trained: Any, colour: tuple[int, int, int]) -> list[float]:
    """Of each class, in the middle of squares of a colour."""
    image, ids = scene(np.random.default_rng(99), {colour: 1})
    with torch.no_grad():
        logits = trained.ema.average(normalise(torch.from_numpy(image).permute(2, 0, 1)[None]))
    p = torch.nn.functional.interpolate(logits.softmax(1), SIZE, mode="bilinear")[0]
    inner = torch.from_numpy(cv2.erode(ids, np.ones((13, 13))) > 0)
    return [float(v) for v in p[:, inner].mean(1)]


@pytest.mark.parametrize(("fine", "red", "blue"), [("fine", CAR, TRUCK), ("exchanged", TRUCK, CAR)])
def test_only_the_source_that_knows_teaches_which_member_it_is(
    places: Path, tmp_path: Path, fine: str, red: int, blue: int
) -> None:
    """Red and blue squares of the coarse source are vehicles; what kind of vehicle comes from the other source.

    Green squares are shown by the coarse source alone: they are vehicles, no road, whichever kind.
    """
    settings = two_sources(
        places, fine, iterations=60, validate_every=60, checkpoint_every=60, batch=4, ema=0.9,
        optimiser={"warmup": 2, "lr": 5e-3}, loss={"dice": 0},
    )  # fmt: skip
    trained, _ = losses(tmp_path, settings)
    reds, blues, greens = (probabilities(trained, colour) for colour in (RED, BLUE, GREEN))
    assert reds[red] > 0.7
    assert blues[blue] > 0.7
    assert greens[ROAD] < 0.2


@pytest.mark.parametrize("on_device", [False, True])
def test_a_run_of_several_sources_goes_on_with_the_same_losses(places: Path, tmp_path: Path, on_device: bool) -> None:
    drawn = {"dataset": "folder", "root": str(places / "exchanged"), "labels": str(places / "fine.yaml"), "select": 0}
    settings = two_sources(places, iterations=5, device_augment=on_device, focus={"share": 0.5, "classes": ["truck"]})
    settings = settings.model_copy(update={"data": (*settings.data, settings.data[0].model_validate(drawn))})
    trainer, whole = losses(tmp_path / "whole", settings)
    assert isinstance(trainer.batches, DeviceBatches) is on_device
    before = losses(tmp_path / "cut", settings, stop_after=3)[1]
    after = losses(tmp_path / "cut", settings)[1]
    assert sorted(after) == [3, 4, 5]
    assert {**before, **after} == pytest.approx(whole, rel=1e-3)


def refined(places: Path, folder_name: str) -> Material:
    settings = two_sources(places)
    row = {**settings.data[1].model_dump(), "refine": {"folder": folder_name, "classes": ["vehicle"]}}
    return load(settings.model_copy(update={"data": (settings.data[1].model_validate(row),)}))


def test_finer_labels_are_trusted_within_what_the_true_label_allows(places: Path) -> None:
    train = places / "vehicles" / "train"
    (train / "sure").mkdir()
    fine = np.full(SIZE, TRUCK, np.uint8)  # on the road too, which is not refined
    fine[:, :40], fine[:20] = ROAD, 255  # no member of the label, and not sure
    for number in range(5):
        assert cv2.imwrite(str(train / "sure" / f"{number}.png"), fine)
    for sample in refined(places, "{split}/sure").sources[0].pictures:
        truth = cv2.imread(str(train / "labels" / sample.name), cv2.IMREAD_UNCHANGED)
        use = (truth == 1) & (fine == TRUCK)
        assert use.any()
        np.testing.assert_array_equal(sample.ids, np.where(use, TRUCK, np.where(truth == 1, 4, truth)))


def test_finer_labels_of_another_size_are_refused(places: Path) -> None:
    (places / "vehicles" / "train" / "small").mkdir()
    for number in range(5):
        file = places / "vehicles" / "train" / "small" / f"{number}.png"
        assert cv2.imwrite(str(file), np.zeros((4, 4), np.uint8))
    with pytest.raises(SourceError, match=r"small: .*png is \(4, 4\); expected \(64, 96\), as its label"):
        refined(places, "{split}/small")


@pytest.mark.parametrize("name", ["{city}/fine", "fine{", "{0}", "{split}/{split.none}"])
def test_braces_in_a_folder_of_labels_that_are_not_the_split_are_its_name(places: Path, name: str) -> None:
    settings = two_sources(places)
    with pytest.raises(SourceError, match=re.escape(name.replace("{split}", "train"))):
        refined(places, name)
    row = {**settings.data[1].model_dump(), "instances": name}
    with pytest.raises(SourceError, match=r"no folder .* of instances"):
        load(settings.model_copy(update={"data": (settings.data[1].model_validate(row),)}))


def test_a_source_without_a_label_is_refused(places: Path, tmp_path: Path) -> None:
    """It trained for all its minutes, on nothing; with a teacher there is something to learn."""
    folder(tmp_path, {RED: CAR, BLUE: TRUCK}, 2)
    for label in (tmp_path / "train" / "labels").iterdir():
        assert cv2.imwrite(str(label), np.full(SIZE, 255, np.uint8))
    data = [{"dataset": "folder", "root": str(tmp_path), "labels": str(places / "fine.yaml")}]
    settings = tiny(labels=str(places / "fine.yaml"), data=data)
    with pytest.raises(UsageError, match="fine holds no label to learn from; expected pixels of classes"):
        load(settings)
    imitating = settings.model_copy(update={"distil": DistilSettings(teacher="teacher.pt")})
    assert len(load(imitating).sources) == 1


def test_mappings_that_contradict_each_other_are_refused(places: Path, tmp_path: Path) -> None:
    """The same label taught a car in one source and a truck in the other, without a word."""
    members = {name: [name] for name in CLASSES} | {"car": ["truck"], "truck": ["car"]}
    file = tmp_path / "exchanged.yaml"
    file.write_text(yaml.safe_dump({"dataset": "fine", "model": "fine", "members": members}))
    fine = {"dataset": "folder", "root": str(places / "fine"), "labels": str(places / "fine.yaml")}
    data = [fine, {**fine, "mapping": str(file), "name": "other"}]
    with pytest.raises(
        UsageError, match="car of fine as car and truck in fine and other; expected mappings that agree"
    ):
        load(tiny(labels=str(places / "fine.yaml"), data=data))


def test_one_root_is_for_one_data_set(places: Path) -> None:
    with pytest.raises(UsageError, match="--root for a run of 2 data sets; expected one; give root in each source"):
        load(two_sources(places), places)
    data = {"dataset": "folder", "root": str(places / "vehicles"), "labels": str(places / "coarse.yaml")}
    settings = tiny(labels=str(places / "fine.yaml"), data=[data])
    with pytest.raises(UsageError, match=r"no mapping from coarse to fine; expected the same classes"):
        load(settings)


def test_labels_of_another_data_set_are_refused(places: Path, tmp_path: Path) -> None:
    row = {"dataset": "iddlite", "root": str(places / "vehicles"), "labels": "camvid"}
    settings = tiny(labels="cityscapes", data=[row])
    says = "labels camvid for iddlite; expected its own, iddlite, or none; leave labels out"
    with pytest.raises(UsageError, match=says):
        load(settings)
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    with pytest.raises(UsageError, match=says):
        write_pack([tmp_path / "train.yaml"], [], tmp_path / "a.pack")
    own = load(tiny(labels="cityscapes", data=[{**row, "labels": "iddlite"}]))
    assert own.vals[0].mapping.dataset == IDDLITE


def test_drawn_pictures_have_the_classes_that_are_given() -> None:
    def theirs(**given: str) -> LabelSet:
        drawn = {"dataset": "synthetic", "frames": 4, **given}
        return load(tiny(labels="cityscapes", data=[drawn])).vals[0].mapping.dataset

    assert (theirs(), theirs(labels="camvid")) == (CITYSCAPES, CAMVID)
    with pytest.raises(UsageError, match="a synthetic drive in the classes of iddlite; expected cityscapes or camvid"):
        theirs(labels="iddlite")


def test_pictures_to_select_on_are_taken_evenly(places: Path, tmp_path: Path) -> None:
    settings = two_sources(places)
    row = {**settings.data[1].model_dump(), "select_pictures": 2}
    material = load(settings.model_copy(update={"data": (settings.data[1].model_validate(row),)}))
    assert [sample.name for sample in material.vals[0].pictures] == ["0.png", "2.png"]
    nothing = settings.data[1].model_copy(update={"select": 0})
    with pytest.raises(UsageError, match="no val pictures to select on"):
        prepare_run(settings.model_copy(update={"data": (nothing,)}), None, tmp_path, "cpu")


def test_rims_of_a_class_have_no_truth_where_they_are_ignored(places: Path) -> None:
    top = places / "rims"
    folder(top, {RED: CAR, BLUE: TRUCK}, 1)
    file = top / "train" / "labels" / "0.png"
    truth = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    rim = np.zeros(SIZE, bool)
    rim[2:60, 70:72] = True
    truth[rim] = TRUCK
    assert cv2.imwrite(str(file), truth)
    row = {"dataset": "folder", "root": str(top), "labels": str(places / "fine.yaml"), "ignore_fringes": ["truck"]}
    ids = load(tiny(labels=str(places / "fine.yaml"), data=[row])).sources[0].pictures[0].ids
    np.testing.assert_array_equal(ids, np.where(rim, 255, truth))
