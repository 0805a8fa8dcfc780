"""A pack brings all that its settings name: label sets, mappings, a checkpoint to start from, a teacher."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from tiny_runs import TINY, losses, tiny  # noqa: E402

from drivenet.config import check  # noqa: E402
from drivenet.errors import UsageError  # noqa: E402
from drivenet.export.onnx import export_checkpoint  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.models import checkpoint  # noqa: E402
from drivenet.modelspec import ModelSpec  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from drivenet.training.pack import Pack, this_python  # noqa: E402
from drivenet.training.packed import Request, Sitting  # noqa: E402
from drivenet.training.packing import write_pack  # noqa: E402
from drivenet.training.settings import TrainSettings  # noqa: E402

GROUPS = ("background", "road", "sign", "pedestrian", "vehicle")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with CamVid's layout, label sets of its own, a mapping to them, and a trained network of them."""
    folder = tmp_path_factory.mktemp("place")
    drive = SyntheticDrive(128, 96, seed=3)
    for number, split in enumerate(("train", "train", "val")):
        image, ids = drive.render(number)
        for name, picture in ((split, image), (f"{split}annot", ids.clip(0, 11))):
            (folder / "camvid" / name).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / "camvid" / name / f"{number}.png"), picture)
    rows = [{"name": f"{g}s", "colour": [40 * i, 9, 9], "group": g} for i, g in enumerate(GROUPS)]
    write(folder / "mine.yaml", {"name": "mine", "classes": rows})
    members = {name: ["roads"] if name == "Road" else ["backgrounds", "vehicles"] for name in CAMVID.classes}
    write(folder / "camvid-mine.yaml", {"dataset": "camvid", "model": "mine", "members": members})
    losses(folder / "runs" / "first", tiny(**settings_of(folder, start=None, teacher=None), iterations=2))
    return folder


def write(file: Path, content: Any) -> Path:
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def settings_of(folder: Path, start: str | None = "best.pt", teacher: str | None = "best.pt") -> dict[str, Any]:
    first = folder / "runs" / "first"
    source = {"dataset": "camvid", "root": str(folder / "camvid"), "mapping": str(folder / "camvid-mine.yaml")}
    model = {**TINY["model"], **({"start": str(first / start)} if start else {})}
    distil = {"distil": {"teacher": str(first / teacher)}} if teacher else {}
    return {"labels": str(folder / "mine.yaml"), "data": [source], "model": model, **distil}


def export(best: Path, out: Path, machine: str) -> ModelSpec:
    return export_checkpoint(best, out, machine=machine)


def test_a_run_has_all_of_it_where_none_of_it_is(place: Path, tmp_path: Path) -> None:
    """The folder that was packed is away when the run begins; records say what it started from."""
    content = {**TINY, **settings_of(place)}
    config = write(tmp_path / "own.yaml", content)
    known = checkpoint.lineage(check(content, TrainSettings, "own").model_dump())
    done = write_pack([config], [this_python()], tmp_path / "own.pack")
    away = place.rename(tmp_path / "away")
    try:
        request = Request(["own"], [0], 9.0, None, 2, tmp_path / "out", False, "cpu", False)
        Sitting(Pack(done.files), request, export, lambda _: None).run()
    finally:
        away.rename(place)
    spec = ModelSpec.from_json((tmp_path / "out" / "own-s0" / "own-s0.json").read_text(), "own")
    assert spec.labels.classes == tuple(f"{g}s" for g in GROUPS)
    assert {role: spec.training[role] for role in known} == known
    assert known["start"]["name"] == "first/best"


def test_all_that_is_missing_is_in_one_line(place: Path, tmp_path: Path) -> None:
    content = {**TINY, **settings_of(place, "gone.pt", "away.pt")}
    content["data"][0] |= {"refine": {"folder": "{split}fine", "classes": ["Tree"]}, "mapping": str(place / "no.yaml")}
    config = write(tmp_path / "own.yaml", content)
    with pytest.raises(UsageError) as told:
        write_pack([config], [this_python()], tmp_path / "own.pack")
    assert "\n" not in str(told.value)
    named = ("no.yaml (own: data.0.mapping)", "gone.pt (own: model.start)", "away.pt (own: distil.teacher)",
             "trainfine (own: data.0.refine.folder)")  # fmt: skip
    assert all(name in str(told.value) for name in named)
    assert list(tmp_path.iterdir()) == [config]


def test_a_checkpoint_that_is_too_large_for_a_file_is_no_pack(place: Path, tmp_path: Path) -> None:
    shutil.copy(place / "runs" / "first" / "best.pt", tmp_path / "best.pt")
    size = (tmp_path / "best.pt").stat().st_size
    config = write(tmp_path / "own.yaml", {**TINY, **settings_of(place, teacher=None)})
    with pytest.raises(UsageError, match=rf"expected at most 99 x {size - 1}"):
        write_pack([config], [this_python()], tmp_path / "own.pack", limit=size - 1, files=99)


def test_one_root_is_for_runs_of_one_data_set(place: Path, tmp_path: Path) -> None:
    """A drawn source has no root: its frames were packed too."""
    content = {**TINY, **settings_of(place, None, None)}
    content["data"].append({"dataset": "synthetic", "frames": 4, "select": 0, "labels": "camvid",
                            "mapping": str(place / "camvid-mine.yaml")})  # fmt: skip
    config = write(tmp_path / "own.yaml", content)
    done = write_pack([config], [this_python()], tmp_path / "own.pack", place / "camvid")
    assert done.pictures == 3
    content["data"].append(content["data"][0] | {"name": "again"})
    write(config, content)
    with pytest.raises(UsageError, match="--root for a run of 2 data sets; expected one; give root"):
        write_pack([config], [this_python()], tmp_path / "b.pack", place / "camvid")
