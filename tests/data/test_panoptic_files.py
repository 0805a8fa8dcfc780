"""Instance ids and COCO panoptic files, against cityscapesScripts where it reads or writes them too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from drivenet.data.flow_files import read_flow
from drivenet.data.panoptic_files import (
    read_coco_panoptic,
    read_instance_ids,
    read_instances,
    write_coco_panoptic,
    write_instance_ids,
)
from drivenet.errors import SourceError, UsageError
from drivenet.labels import CITYSCAPES
from drivenet.palette_png import encode_palette_png
from drivenet.panoptic import CITYSCAPES_THINGS, segments, thing_table
from drivenet.panoptic.quality import PanopticQuality
from drivenet.synthetic import SyntheticDrive

TABLE = thing_table(CITYSCAPES, CITYSCAPES_THINGS)
CAR = CITYSCAPES.id_of("car")


def drawn(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and instances of a synthetic frame, with a patch without truth and a crowd."""
    frame = SyntheticDrive(256, 144, seed=9, labels=CITYSCAPES).frame(index)
    ids, instances = frame.ids.copy(), np.where(TABLE[frame.ids], frame.instances, 0)
    ids[-20:], instances[-20:] = 255, 0
    far = instances == instances.max()
    instances[far] = 0
    return ids, instances


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def test_instance_ids_come_back_as_they_were_written(tmp_path: Path) -> None:
    ids, instances = drawn(50)
    write_instance_ids(tmp_path / "a_gtFine_instanceIds.png", ids, instances)
    again, numbers = read_instance_ids(tmp_path / "a_gtFine_instanceIds.png")
    np.testing.assert_array_equal(again, ids)
    assert same_partition(segments(ids, instances, TABLE, crowds=True), segments(again, numbers, TABLE, crowds=True))
    assert (TABLE[ids] & (instances == 0)).any()


def test_cityscapes_scripts_read_what_is_written_and_we_read_what_they_make(tmp_path: Path) -> None:
    """Our instanceIds, made panoptic by the official script, hold the segments that we wrote."""
    preparation = pytest.importorskip("cityscapesscripts.preparation.createPanopticImgs")
    truth = {}
    for i in (50, 80):
        ids, instances = drawn(i)
        name = f"town_{i:06d}_000000"
        write_instance_ids(tmp_path / "gtFine/val/town" / f"{name}_gtFine_instanceIds.png", ids, instances)
        truth[f"{name}_gtFine_panoptic.png"] = segments(ids, instances, TABLE, crowds=True)
    (tmp_path / "out").mkdir()
    preparation.convert2panoptic(str(tmp_path / "gtFine"), str(tmp_path / "out"), True, ["val"])
    theirs = read_coco_panoptic(tmp_path / "out/cityscapes_panoptic_val_trainId.json")
    for name, map_ in truth.items():
        assert same_partition(theirs.read(name, CITYSCAPES), map_)


def test_coco_panoptic_comes_back_and_scores_one(tmp_path: Path) -> None:
    maps = {str(i): segments(*drawn(i), TABLE, crowds=True) for i in (50, 80)}
    write_coco_panoptic(tmp_path / "val.json", maps.items(), CITYSCAPES, CITYSCAPES_THINGS)
    read = read_coco_panoptic(tmp_path / "val.json")
    quality = PanopticQuality.empty(CITYSCAPES, CITYSCAPES_THINGS)
    for name, map_ in maps.items():
        again = read.read(f"{name}.png", CITYSCAPES)
        assert same_partition(again, map_)
        quality.add(map_, segments(*drawn(int(name)), TABLE))
    assert quality.means()["all"]["pq"] == 1.0
    written = json.loads((tmp_path / "val.json").read_text())
    assert {c["name"] for c in written["categories"] if c["isthing"]} == set(CITYSCAPES_THINGS)
    assert any(s["iscrowd"] for a in written["annotations"] for s in a["segments_info"])


def test_file_names_may_hold_folders(tmp_path: Path) -> None:
    """As those of sets whose images are sorted by city."""
    map_ = segments(*drawn(50), TABLE)
    write_coco_panoptic(tmp_path / "a.json", [("x", map_)], CITYSCAPES, CITYSCAPES_THINGS)
    (tmp_path / "a" / "city").mkdir()
    (tmp_path / "a" / "x.png").rename(tmp_path / "a" / "city" / "x.png")
    (tmp_path / "a.json").write_text((tmp_path / "a.json").read_text().replace('"x.png"', '"city/x.png"'))
    assert same_partition(read_coco_panoptic(tmp_path / "a.json").read("city/x.png", CITYSCAPES), map_)


def test_a_png_with_a_segment_that_the_json_does_not_list_is_refused(tmp_path: Path) -> None:
    write_coco_panoptic(tmp_path / "a.json", [("x", segments(*drawn(50), TABLE))], CITYSCAPES, CITYSCAPES_THINGS)
    image = cv2.imread(str(tmp_path / "a/x.png"))
    image[0, 0] = 77
    cv2.imwrite(str(tmp_path / "a/x.png"), image)
    with pytest.raises(SourceError, match="segments that its JSON lists"):
        read_coco_panoptic(tmp_path / "a.json").read("x.png", CITYSCAPES)
    with pytest.raises(SourceError, match=r"no annotation of y\.png"):
        read_coco_panoptic(tmp_path / "a.json").read("y.png", CITYSCAPES)


def test_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(SourceError, match="COCO panoptic JSON"):
        read_coco_panoptic(tmp_path / "a.json")
    write_coco_panoptic(tmp_path / "a.json", [("x", segments(*drawn(50), TABLE))], CITYSCAPES, CITYSCAPES_THINGS)
    (tmp_path / "a.json").write_text((tmp_path / "a.json").read_text().replace('"segments_info"', '"segments"'))
    with pytest.raises(SourceError, match=r"x\.png: 'segments_info'; expected segments_info with id and category_id"):
        read_coco_panoptic(tmp_path / "a.json").read("x.png", CITYSCAPES)
    with pytest.raises(SourceError, match="no such file"):
        read_instance_ids(tmp_path / "b.png")
    cv2.imwrite(str(tmp_path / "c.png"), np.full((4, 4), 60_000, np.uint16))
    with pytest.raises(SourceError, match=r"label ids 0\.\.33"):
        read_instance_ids(tmp_path / "c.png")
    with pytest.raises(SourceError, match="8-bit"):
        read_instances(tmp_path / "c.png")


def test_more_things_than_the_format_holds_are_refused(tmp_path: Path) -> None:
    ids = np.full((40, 40), CAR, np.uint8)
    with pytest.raises(UsageError, match="1600 things of class car"):
        write_instance_ids(tmp_path / "a.png", ids, np.arange(1600).reshape(40, 40) + 1)
    many = segments(ids, np.arange(1600).reshape(40, 40) + 1, TABLE)
    with pytest.raises(UsageError, match="more than 1000 things of class id 13"):  # two of them had one segment id
        write_coco_panoptic(tmp_path / "a.json", [("a", many)], CITYSCAPES, CITYSCAPES_THINGS)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("read", [read_instance_ids, read_instances, read_flow], ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", ["missing", "empty", "colours"])
def test_what_is_no_map_of_numbers_is_told_in_one_line(tmp_path: Path, read: Callable[[Path], Any], kind: str) -> None:
    file = tmp_path / "a.png"
    if kind != "missing":
        colours = np.full((4, 6, 3), 7, np.uint8)
        file.write_bytes(b"" if kind == "empty" else cv2.imencode(".png", colours)[1].tobytes())
    with pytest.raises(SourceError, match=r"a\.png"):
        read(file)


def test_numbers_of_a_palette_are_instances_and_single_bits_are_not(tmp_path: Path) -> None:
    """Read as grey values a palette gave colours, and the 1 of a mask of one bit was 255, which thing nobody knows."""
    numbers = np.arange(24, dtype=np.uint8).reshape(4, 6)
    (tmp_path / "a.png").write_bytes(encode_palette_png(numbers, CITYSCAPES.rgb_table))
    np.testing.assert_array_equal(read_instances(tmp_path / "a.png"), numbers)
    assert cv2.imwrite(str(tmp_path / "b.png"), numbers % 2, [cv2.IMWRITE_PNG_BILEVEL, 1])
    with pytest.raises(SourceError, match="bit depth of 1"):
        read_instances(tmp_path / "b.png")
