"""Panoptic figures of an engine with centres, on pictures whose things are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from onnx_models import SIZE, paint, palette_model, sure_things_model

from drivenet.cli.eval import evaluate as command
from drivenet.data.base import Dataset, Sample
from drivenet.data.panoptic_files import write_instance_ids
from drivenet.engine import open_engine
from drivenet.errors import DrivenetError, UsageError
from drivenet.evaluation import Report, evaluate
from drivenet.labels import CAMVID, CITYSCAPES

CAR, ROAD, SIGN = (CAMVID.id_of(name) for name in ("Car", "Road", "SignSymbol"))
#: Classes that are none of Cityscapes', and their groups.
OWN = ("way", "road"), ("truck or bus", "vehicle")
CELLS = (SIZE[0] // 2, SIZE[1] // 2)


def two_cars() -> tuple[np.ndarray, np.ndarray]:
    """Class ids and instances of SIZE: two cars that touch."""
    ids, instances = np.full(SIZE, ROAD, np.uint8), np.zeros(SIZE, np.uint16)
    ids[8:24, 8:40] = CAR
    instances[8:24, 8:24], instances[8:24, 24:40] = 300, 301
    return ids, instances


def maps(*columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres in row 8 of these columns of the cells, and offsets that lead to the nearest of them."""
    centres, offsets = np.zeros(CELLS, np.uint8), np.full((2, *CELLS), 128, np.uint8)
    rows, places = np.mgrid[: CELLS[0], : CELLS[1]]
    for column in columns:
        centres[8, column] = 200
    nearest = np.array(columns)[np.abs(places[..., None] - np.array(columns)).argmin(-1)]
    offsets[0], offsets[1] = 128 + 8 - rows, 128 + nearest - places
    return centres, offsets


class Cars(Dataset):
    """One picture of two cars."""

    name, split, labels = "cars", "val", CAMVID

    def __init__(self, instances: np.ndarray | None) -> None:
        self.instances = instances

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        ids, _ = two_cars()
        return Sample(paint(ids), ids, "two cars", self.instances)


def scored(folder: Path, *columns: int, instances: np.ndarray | None = None) -> Report:
    engine = open_engine(sure_things_model(folder, *maps(*columns)), "onnxruntime")
    return evaluate(engine, Cars(two_cars()[1] if instances is None else instances))


def test_cars_that_are_parted_are_all_found(tmp_path: Path) -> None:
    found = scored(tmp_path, 7, 15).to_dict()["panoptic"]
    perfect = {"pq": 1.0, "sq": 1.0, "rq": 1.0}
    assert found["all"] == found["things"] == found["stuff"] == perfect
    assert (found["precision"], found["recall"]) == (1.0, 1.0)
    assert set(found["by_class"]) == {"Road", "Car"}


def test_one_thing_for_two_cars_is_neither(tmp_path: Path) -> None:
    """Its IoU with each is a half, which is not enough."""
    found = scored(tmp_path, 11).to_dict()["panoptic"]
    assert found["things"]["pq"] == 0.0
    assert (found["precision"], found["recall"]) == (0.0, 0.0)
    assert found["stuff"]["pq"] == 1.0


def test_where_nobody_knows_the_thing_nothing_is_counted(tmp_path: Path) -> None:
    unsure = np.where(two_cars()[1] == 300, 255, np.where(two_cars()[1] > 0, 1, 0)).astype(np.uint8)
    found = scored(tmp_path, 7, 15, instances=unsure).to_dict()["panoptic"]
    assert (found["precision"], found["recall"], found["things"]["pq"]) == (1.0, 1.0, 1.0)


class CarAndSign(Cars):
    """Two pictures: in one a sign that is no single thing, right; in the other a car where the engine sees a sign."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        ids, instances = two_cars()
        seen = ids.copy()
        seen[8:24, 8:24] = SIGN
        if index:
            ids[8:24, 8:24], instances[8:24, 8:24] = SIGN, 0
        return Sample(paint(seen), ids, f"{index}", instances)


def test_a_class_that_the_truth_never_parts_is_stuff(tmp_path: Path) -> None:
    """No found sign could be right, but each could be wrong: PQ 0 of signs was in the mean."""
    engine = open_engine(sure_things_model(tmp_path, *maps(7, 15)), "onnxruntime")
    found = evaluate(engine, CarAndSign(None)).to_dict()["panoptic"]
    assert isinstance(found, dict)
    assert found["by_class"]["SignSymbol"] == {"pq": 0.66667, "sq": 1.0, "rq": 0.66667}
    assert found["things"]["pq"] == found["by_class"]["Car"]["pq"]
    assert (found["precision"], found["recall"]) == (1.0, 0.66667)


def test_without_centres_or_ids_there_are_no_such_figures(tmp_path: Path) -> None:
    plain = evaluate(open_engine(palette_model(tmp_path), "onnxruntime"), Cars(two_cars()[1]))
    assert "panoptic" not in plain.to_dict()
    engine = open_engine(sure_things_model(tmp_path, *maps(7, 15)), "onnxruntime")
    assert "panoptic" not in evaluate(engine, Cars(None)).to_dict()


def test_the_command_tells_and_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = sure_things_model(tmp_path, *maps(7, 15))
    monkeypatch.setattr("drivenet.cli.eval.open_dataset", lambda *_: Cars(two_cars()[1]))
    out = tmp_path / "scores.json"
    result = CliRunner().invoke(command, [str(model), "--backend", "onnxruntime", "--json", str(out)])
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    assert "PQ, SQ, RQ of all 100.00 100.00 100.00, things 100.00" in told
    assert "100.00 % of those there are found" in told
    panoptic = json.loads(out.read_text(encoding="utf-8"))["panoptic"]
    assert {"images", "all", "things", "stuff", "precision", "recall", "by_class"} == panoptic.keys()


def score(tmp_path: Path, *how: object) -> dict[str, Any]:
    """The scores of an engine that finds both cars, by the command."""
    model = sure_things_model(tmp_path, *maps(7, 15), labels=CITYSCAPES)
    out = tmp_path / "scores.json"
    asked = [str(model), "--backend", "onnxruntime", "--json", str(out), *map(str, how)]
    result = CliRunner().invoke(command, asked)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return {**found, "told": " ".join(result.output.split())}


def street(root: Path, name: str, group: bool = False) -> None:
    """The two cars in the files of Cityscapes; with ``group``, one of them is a group of cars."""
    ids, instances = two_cars()
    ids = np.where(ids == CAR, CITYSCAPES.id_of("car"), CITYSCAPES.id_of("road")).astype(np.uint8)
    instances[(instances == 301) & group] = 0
    for kind in ("leftImg8bit", "gtFine"):
        (root / kind / "val" / "aachen").mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / f"leftImg8bit/val/aachen/{name}_leftImg8bit.png"), paint(ids, CITYSCAPES))
    cv2.imwrite(str(root / f"gtFine/val/aachen/{name}_gtFine_labelTrainIds.png"), ids)
    write_instance_ids(root / f"gtFine/val/aachen/{name}_gtFine_instanceIds.png", ids, instances)


def test_the_things_of_cityscapes_are_those_of_its_files(tmp_path: Path) -> None:
    root = tmp_path / "cityscapes"
    street(root, "one")
    street(root, "two", group=True)
    found = score(tmp_path, "--dataset", "cityscapes", "--root", root)
    assert (found["images"], found["panoptic"]["images"]) == (2, 2)
    assert found["panoptic"]["all"]["pq"] == 1.0
    assert found["panoptic"]["precision"] == 1.0, "what lies in a group is no wrong thing"
    sizes = score(tmp_path, "--dataset", "cityscapes", "--root", root, "--protocol", f"{SIZE[1] * 2}x{SIZE[0] * 2}")
    assert sizes["panoptic"]["all"]["pq"] == 1.0
    (root / "gtFine/val/aachen/two_gtFine_instanceIds.png").unlink()
    part = score(tmp_path, "--dataset", "cityscapes", "--root", root)
    assert (part["images"], part["panoptic"]["images"]) == (2, 1)
    assert "are found; 1 of 2 pictures have instances" in part["told"]


def test_files_of_cityscapes_that_others_stand_in_for_are_not_read(tmp_path: Path) -> None:
    root, named = tmp_path / "cityscapes", tmp_path / "named"
    street(root, "one")
    (root / "gtFine/val/aachen/one_gtFine_instanceIds.png").write_bytes(b"damaged")
    named.mkdir()
    cv2.imwrite(str(named / "one_leftImg8bit.png"), np.minimum(two_cars()[1], 254).astype(np.uint8))
    found = score(tmp_path, "--dataset", "cityscapes", "--root", root, "--instances", named)
    assert found["panoptic"]["images"] == 1


def test_the_things_of_a_folder_are_those_of_the_files_that_are_named(tmp_path: Path) -> None:
    ids, instances = two_cars()
    ids = np.where(ids == CAR, CITYSCAPES.id_of("car"), CITYSCAPES.id_of("road")).astype(np.uint8)
    things = np.where(instances > 0, instances - 299, 0).astype(np.uint8)
    for kind, picture in (("images", paint(ids, CITYSCAPES)), ("labels", ids), ("things", things)):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "mine" / kind / "a.png"), picture)
    folder = ("--dataset", "folder", "--root", tmp_path / "mine", "--labels", "cityscapes")
    assert "panoptic" not in score(tmp_path, *folder)
    found = score(tmp_path, *folder, "--instances", tmp_path / "mine/things", "--report", tmp_path / "page")
    page = (tmp_path / "page/index.html").read_text(encoding="utf-8")
    assert "of 1 pictures with instances; at IoU 0.5 100.00 % of the found things are there" in page
    assert (found["panoptic"]["recall"], found["panoptic"]["things"]["pq"]) == (1.0, 1.0)
    suite = tmp_path / "suite.yaml"
    one = {"name": "mine", "root": str(tmp_path / "mine"), "labels": "cityscapes"}
    suite.write_text(json.dumps({"sets": [{**one, "instances": str(tmp_path / "mine/things")}]}))
    (row,) = score(tmp_path, "--suite", suite)["scores"]
    assert row["panoptic"] == found["panoptic"]


def test_instances_that_nothing_comes_of_are_refused(tmp_path: Path) -> None:
    model = palette_model(tmp_path)
    for how, told in (
        (("--instances", str(tmp_path)), "separates no single things"),
        (("--instances", str(tmp_path / "none")), "no folder"),
        (("--suite", "s.yaml", "--instances", str(tmp_path)), "--instances"),
    ):
        result = CliRunner().invoke(command, [str(model), "--backend", "onnxruntime", *how])
        assert isinstance(result.exception, DrivenetError | click.UsageError | SystemExit), result.output
        assert told in f"{result.exception} {result.output}"


def test_instances_of_classes_that_are_compared_as_groups_are_refused(tmp_path: Path) -> None:
    """They were read and nothing was said of them."""
    two = tmp_path / "two.yaml"
    rows = [{"name": name, "colour": [i, 0, 0], "group": group} for i, (name, group) in enumerate(OWN)]
    two.write_text(json.dumps({"name": "two", "classes": rows}), encoding="utf-8")
    for kind in ("images", "labels"):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "mine" / kind / "a.png"), np.zeros(SIZE, np.uint8))
    model = sure_things_model(tmp_path, *maps(7, 15), labels=CITYSCAPES)
    asked = [str(model), "--backend", "onnxruntime", "--dataset", "folder", "--root", str(tmp_path / "mine")]
    asked += ["--labels", str(two), "--instances", str(tmp_path / "mine/labels")]
    result = CliRunner().invoke(command, asked)
    assert isinstance(result.exception, UsageError), result.output
    assert "other classes; expected --mapping FILE.yaml" in str(result.exception)


def test_figures_are_not_written_over_instances(tmp_path: Path) -> None:
    root, named = tmp_path / "cityscapes", tmp_path / "named"
    street(root, "one")
    named.mkdir()
    file = named / "one_leftImg8bit.png"
    cv2.imwrite(str(file), np.minimum(two_cars()[1], 254).astype(np.uint8))
    before, model = file.read_bytes(), sure_things_model(tmp_path, *maps(7, 15), labels=CITYSCAPES)
    asked = [str(model), "--backend", "onnxruntime", "--dataset", "cityscapes", "--root", str(root)]
    result = CliRunner().invoke(command, [*asked, "--instances", str(named), "--json", str(file)])
    assert isinstance(result.exception, UsageError), result.output
    assert file.read_bytes() == before
