"""Labels given for a data set that has its own: refused with one line, the same in suites and on the command line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from cli_parts import call
from onnx_models import SIZE, palette_model

from drivenet.data import open_dataset
from drivenet.errors import UsageError
from drivenet.labels import CAMVID, CITYSCAPES, IDDLITE, LabelSet

SAYS = (
    "labels cityscapes for camvid; expected its own, camvid, or none; "
    "leave labels out; they say what the ids of folder mean"
)
#: Pictures and labels as CamVid, IDD-Lite and Cityscapes lay them.
FILES = {
    "val/0.png": "valannot/0.png",
    "val/images/0.png": "val/labels/0.png",
    "leftImg8bit/val/a/a_0_0_leftImg8bit.png": "gtFine/val/a/a_0_0_gtFine_labelIds.png",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the three data sets in ``data`` and a model of CamVid's classes."""
    monkeypatch.chdir(tmp_path)
    for picture, truth in FILES.items():
        for name, pixels in ((picture, np.zeros((*SIZE, 3), np.uint8)), (truth, np.zeros(SIZE, np.uint8))):
            file = tmp_path / "data" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(file), pixels)
    palette_model(tmp_path, "camvid")
    return tmp_path


@pytest.mark.parametrize(("name", "own"), [("camvid", CAMVID), ("cityscapes", CITYSCAPES), ("iddlite", IDDLITE)])
def test_a_data_set_takes_its_own_and_no_others(here: Path, name: str, own: LabelSet) -> None:
    assert open_dataset(name, here / "data", "val", own).labels == own
    for other in (one for one in (CAMVID, CITYSCAPES, IDDLITE) if one != own):
        with pytest.raises(UsageError, match=f"labels {other.name} for {name}; expected its own, {own.name}, or none"):
            open_dataset(name, here / "data", "val", other)


@pytest.mark.parametrize("suite", [False, True])
def test_the_command_line_and_suites_say_so(here: Path, capsys: pytest.CaptureFixture[str], suite: bool) -> None:
    def scored(labels: str) -> int:
        row = {"dataset": "camvid", "root": "data", "labels": labels}
        (here / "suite.yaml").write_text(yaml.safe_dump({"sets": [{"name": "a", **row}]}))
        options = [f"--{name}={value}" for name, value in row.items()]
        return call("eval", "camvid.onnx", *(["--suite", "suite.yaml"] if suite else options))

    assert scored("cityscapes") == 2
    assert capsys.readouterr().err == f"drivenet: {SAYS}\n"
    assert scored("camvid") == 0


def test_what_cannot_be_drawn_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("eval", "camvid.onnx", "--labels", "iddlite") == 2
    says = "drivenet: a synthetic drive in the classes of iddlite; expected cityscapes or camvid\n"
    assert capsys.readouterr().err == says
