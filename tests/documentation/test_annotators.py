"""The snippets for annotation tools, with the tools that are installed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.data.predictions.base import Prediction
from drivenet.data.predictions.coco import CocoInstances
from drivenet.labels import CITYSCAPES
from drivenet.panoptic import CITYSCAPES_THINGS
from tests.documentation.documented import REPOSITORY


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two frames with two cars each, and what was found in them, named as a set of one folder names them."""
    monkeypatch.chdir(tmp_path)
    writer = CocoInstances(tmp_path / "found", CITYSCAPES, CITYSCAPES_THINGS)
    (tmp_path / "frames").mkdir()
    for i in range(2):
        ids, instances = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
        for number, column in enumerate((5, 30), 1):
            part = np.s_[10 + i : 25, column : column + 20]
            ids[part], instances[part] = CITYSCAPES.id_of("car"), number
        writer.add(Prediction(f"frames_{i:03d}", "frames", "frames", ids, instances))
        assert cv2.imwrite(f"frames/{i:03d}.png", np.zeros((40, 60, 3), np.uint8))
    writer.close()
    return tmp_path


def snippet(of: str) -> str:
    """The page's Python that imports a package."""
    page = (REPOSITORY / "docs/annotators.md").read_text(encoding="utf-8")
    return next(code for code in re.findall(r"^```python\n(.*?)^```", page, flags=re.M | re.S) if of in code)


@pytest.mark.filterwarnings("ignore")
def test_fiftyone_reads_what_was_found(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fiftyone = pytest.importorskip("fiftyone.core.odm", reason="fiftyone is not installed")
    config = pytest.importorskip("fiftyone.core.config")
    try:
        fiftyone.establish_db_conn(config.load_config())
    except config.FiftyOneConfigError:
        pytest.skip("fiftyone has no MongoDB here")
    exec(compile(snippet("fiftyone"), "annotators.md", "exec"), {})
    assert "4 things in 2 frames" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_label_studio_has_the_masks_that_were_found(here: Path) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    exec(compile(snippet("label_studio_sdk"), "annotators.md", "exec"), {})
    tasks = json.loads(Path("tasks.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [f"/data/local-files/?d=frames/{i:03d}.png" for i in range(2)]
    assert all(Path(task["data"]["image"].split("=")[1]).is_file() for task in tasks)
    for i, task in enumerate(tasks):
        (prediction,) = task["predictions"]
        for one, column in zip(prediction["result"], (5, 30), strict=True):
            expected = np.zeros((40, 60), bool)
            expected[10 + i : 25, column : column + 20] = True
            mask = brush.decode_rle(one["value"]["rle"]).reshape(40, 60, 4)[..., 3] > 0
            np.testing.assert_array_equal(mask, expected)
            assert one["value"]["brushlabels"] == ["car"]
