"""Predictions in the formats of others: read back by their own rules, and by official code where there is any."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.data.panoptic_files import read_coco_panoptic
from drivenet.data.predictions import FORMATS, Prediction, open_writer
from drivenet.data.predictions.coco import run_lengths
from drivenet.data.predictions.masks import voc_colours
from drivenet.data.sequences.base import VideoSet
from drivenet.data.sequences.listed import open_listed
from drivenet.errors import UsageError
from drivenet.labels import CAMVID, CITYSCAPES, LabelSet, Rgb
from drivenet.panoptic import CITYSCAPES_THINGS, segments, thing_table

CAR, ROAD = CITYSCAPES.id_of("car"), CITYSCAPES.id_of("road")


def prediction(name: str = "aton_000000_000019", labels: bool = True) -> Prediction:
    ids = np.zeros((20, 30), np.uint8)
    ids[4:12, 2:10] = ids[4:12, 14:22] = CAR
    ids[15:, 25:] = 255
    instances = np.zeros((20, 30), np.int32)
    instances[4:12, 2:10], instances[4:12, 14:22] = 1, 300
    return Prediction(name, "aton_000000_000019", "aton", ids, instances)


def write(form: str, folder: Path) -> Prediction:
    writer, one = open_writer(form, folder, CITYSCAPES, CITYSCAPES_THINGS), prediction()
    writer.add(one)
    writer.close()
    return one


def test_cityscapes_names_and_label_ids(tmp_path: Path) -> None:
    one = write("cityscapes", tmp_path)
    stored = cv2.imread(str(tmp_path / "aton" / "aton_000000_000019_pred_labelIds.png"), cv2.IMREAD_UNCHANGED)
    assert stored.shape == one.ids.shape
    assert set(np.unique(stored)) == {0, 7, 26}
    assert (stored[one.ids == CAR] == 26).all()


def test_official_code_finds_and_scores_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    write("cityscapes", tmp_path)
    monkeypatch.setattr(official.args, "predictionPath", str(tmp_path))
    monkeypatch.setattr(official.args, "predictionWalk", None)
    truth = "gtFine/val/aton/aton_000000_000019_gtFine_labelIds.png"
    assert official.getPrediction(official.args, truth).endswith("aton_000000_000019_pred_labelIds.png")


def test_step_maps_hold_classes_and_things(tmp_path: Path) -> None:
    one = write("step", tmp_path)
    stored = cv2.imread(str(tmp_path / "aton_000000_000019" / "aton_000000_000019.png"))
    blue, green, red = (stored[..., i].astype(int) for i in range(3))
    np.testing.assert_array_equal(red, one.ids)
    np.testing.assert_array_equal(green * 256 + blue, one.instances)
    writer = open_writer("step", tmp_path, CITYSCAPES, CITYSCAPES_THINGS)
    writer.add(Prediction("0002_000007", "0002", "0002", one.ids, one.instances))
    assert (tmp_path / "0002" / "000007.png").is_file()


def test_coco_panoptic_gives_back_the_segments(tmp_path: Path) -> None:
    one = write("coco-panoptic", tmp_path)
    found = read_coco_panoptic(tmp_path / "panoptic.json").read("aton_000000_000019.png", CITYSCAPES)
    table = thing_table(CITYSCAPES, CITYSCAPES_THINGS)
    expected = segments(one.ids, one.instances, table)
    pairs = set(zip(found.ravel().tolist(), expected.ravel().tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == 4


def test_coco_instances_decode_to_their_masks(tmp_path: Path) -> None:
    one = write("coco", tmp_path)
    found = json.loads((tmp_path / "instances.json").read_text())
    assert [(a["area"], a["bbox"]) for a in found["annotations"]] == [(64, [2, 4, 8, 8]), (64, [14, 4, 8, 8])]
    assert {c["name"] for c in found["categories"]} == set(CITYSCAPES_THINGS)
    for annotation, number in zip(found["annotations"], (1, 300), strict=True):
        segmentation = annotation["segmentation"]
        flat = np.repeat(np.arange(len(segmentation["counts"])) % 2, segmentation["counts"])
        mask = flat.reshape(segmentation["size"], order="F").astype(bool)
        np.testing.assert_array_equal(mask, one.instances == number)


@pytest.mark.parametrize("first", [False, True])
def test_run_lengths_begin_with_nothing(first: bool) -> None:
    mask = np.array([[first, True], [False, True]])
    expected = {"size": [2, 2], "counts": [0, 1, 1, 2] if first else [2, 2]}
    assert run_lengths(mask) == expected


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # its own, under NumPy 2
def test_pycocotools_reads_the_instances(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    one = write("coco", tmp_path)
    found = coco.COCO(str(tmp_path / "instances.json"))
    masks = [found.annToMask(found.anns[i]) for i in sorted(found.anns)]
    np.testing.assert_array_equal(np.maximum(*masks), one.instances > 0)


def test_cvat_archive_has_colours_of_classes_and_of_things(tmp_path: Path) -> None:
    one = write("cvat", tmp_path)
    with zipfile.ZipFile(tmp_path / "masks.zip") as archive:
        assert archive.read("ImageSets/Segmentation/default.txt").split() == [one.name.encode()]
        rows = archive.read("labelmap.txt").decode().splitlines()
        assert rows[0].startswith("#")
        assert "car:0,0,142::" in rows
        classes, objects = (
            cv2.imdecode(np.frombuffer(archive.read(f"Segmentation{kind}/{one.name}.png"), np.uint8), cv2.IMREAD_COLOR)
            for kind in ("Class", "Object")
        )
    assert classes[5, 5].tolist() == [142, 0, 0]
    assert (classes[one.ids == 255] == 0).all()
    assert (objects[one.ids == 255] == 0).all()
    assert len({tuple(objects[y, x]) for y, x in ((5, 5), (5, 15), (0, 0), (19, 29))}) == 4


@pytest.mark.parametrize("first", [("background", (0, 0, 0)), ("road", (0, 0, 0)), ("background", (9, 9, 9))])
def test_cvat_knows_each_name_and_each_colour_once(tmp_path: Path, first: tuple[str, Rgb]) -> None:
    labels = LabelSet("own", (first[0], "car"), (first[1], (0, 0, 142)), {first[0]: "background", "car": "vehicle"})
    open_writer("cvat", tmp_path, labels, ("car",)).close()
    with zipfile.ZipFile(tmp_path / "masks.zip") as archive:
        rows = [row.split(":") for row in archive.read("labelmap.txt").decode().splitlines()[1:]]
    names, colours = [row[0] for row in rows], [row[1] for row in rows]
    assert (len(set(names)), len(set(colours))) == (len(rows), len(rows))
    assert {*names} >= {*labels.classes}
    assert "0,0,0" in colours


def images_in(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True)
        for number in (7, 8):
            assert cv2.imwrite(str(folder / f"{number:06d}.jpg"), np.zeros((20, 30, 3), np.uint8))


def listed(folder: Path, *frames: str) -> VideoSet:
    file = folder / "drives.yaml"
    file.write_text("sequences:\n" + "".join(f"- {{frames: {name}}}\n" for name in frames))
    return open_listed(file)


def names_in_cvat(folder: Path, video: VideoSet) -> list[str]:
    writer, one = open_writer("cvat", folder, CITYSCAPES, CITYSCAPES_THINGS), prediction()
    for sequence in video.sequences:
        for i, name in enumerate(sequence.names):
            writer.add(replace(one, name=name, sequence=sequence.name, place=sequence.place(i)))
    writer.close()
    with zipfile.ZipFile(folder / "masks.zip") as archive:
        names = archive.read("ImageSets/Segmentation/default.txt").decode().split()
        assert set(archive.namelist()) >= {f"Segmentation{kind}/{n}.png" for n in names for kind in ("Class", "Object")}
    return names


def test_cvat_masks_are_called_as_the_frames_in_its_task(tmp_path: Path) -> None:
    images_in(tmp_path / "day/front", tmp_path / "day/rear")
    assert names_in_cvat(tmp_path, listed(tmp_path, "day/front")) == ["000007", "000008"]
    several = ["front/000007", "front/000008", "rear/000007", "rear/000008"]
    assert names_in_cvat(tmp_path, listed(tmp_path, "day/front", "day/rear")) == several


def test_cvat_masks_of_a_video_are_called_by_the_numbers_of_its_frames(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "drive.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 30, (30, 20))
    for _ in range(2):
        writer.write(np.zeros((20, 30, 3), np.uint8))
    writer.release()
    assert names_in_cvat(tmp_path, listed(tmp_path, "drive.mp4")) == ["000000", "000001"]


def test_a_cvat_archive_without_frames_is_one_still(tmp_path: Path) -> None:
    open_writer("cvat", tmp_path, CITYSCAPES, CITYSCAPES_THINGS).close()
    with zipfile.ZipFile(tmp_path / "masks.zip") as archive:
        assert archive.read("ImageSets/Segmentation/default.txt") == b""


def test_voc_colours_are_those_of_its_palette() -> None:
    assert voc_colours(np.arange(4)).tolist() == [[0, 0, 0], [0, 0, 128], [0, 128, 0], [0, 128, 128]]


def test_formats_that_cannot_hold_the_labels_are_refused(tmp_path: Path) -> None:
    for form in ("cityscapes", "step"):
        with pytest.raises(UsageError, match=f"--format {form} of camvid; expected Cityscapes' 19 classes"):
            open_writer(form, tmp_path, CAMVID, ())
    with pytest.raises(UsageError, match="no format 'cocoa'; did you mean coco"):
        open_writer("cocoa", tmp_path, CAMVID, ())
    assert set(FORMATS) == {"cityscapes", "coco", "coco-panoptic", "cvat", "step"}
