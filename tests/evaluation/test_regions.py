"""Outlined regions: the facts in the tree, and scores on a drawn clip that are known beforehand."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from onnx_models import paint, palette_model

from drivenet.engine import open_engine
from drivenet.errors import SourceError, UsageError
from drivenet.evaluation.regions import OutlinedClip, read_outlines, score_regions
from drivenet.frame import Frame
from drivenet.labels import built_in

TESTS = Path(__file__).resolve().parents[1]
TOOL = TESTS.parent / "tools" / "score_clip.py"
SIZE = (64, 96)


def drawn(index: int) -> np.ndarray:
    """Sky above, road below; in odd frames half of the car's place looks like road."""
    ids = np.full(SIZE, 0, np.uint8)
    ids[32:] = 3
    ids[40:56, 20:40] = 8
    if index % 2:
        ids[40:56, 30:40] = 3
    return paint(ids)


def outlines(*indices: int, **changes: Any) -> dict[str, Any]:
    regions = [
        {"class": "Sky", "polygon": [[0, 0], [95, 0], [95, 29], [0, 29]]},
        {"class": "Road", "polygon": [[50, 34], [95, 34], [95, 63], [50, 63]]},
        {"class": "Car", "polygon": [[20, 40], [39, 40], [39, 55], [20, 55]]},
    ]
    frames = [{"frame": i, "regions": regions} for i in indices]
    return {"clip": "drawn", "labels": "camvid", "size": [96, 64], "frames": frames, **changes}


def frames(n: int) -> list[Frame]:
    return [Frame(drawn(i), i, i) for i in range(n)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return palette_model(tmp_path, size=SIZE)


def test_shares_are_those_of_the_outlined_pixels(model: Path) -> None:
    out: Any = score_regions(open_engine(model, "onnxruntime"), frames(5), OutlinedClip(**outlines(2, 3)))
    assert [f["frame"] for f in out["frames"]] == [2, 3]
    first, second = out["frames"]
    assert [(r["class"], r["share"], r["pixels"]) for r in first["regions"]] == [
        ("Sky", 1.0, 96 * 30),
        ("Road", 1.0, 46 * 30),
        ("Car", 1.0, 20 * 16),
    ]
    assert [r["share"] for r in second["regions"]] == [1.0, 1.0, 0.5]
    assert out["overall"]["Car"] == {"share": 0.75, "worst": 0.5, "regions": 2, "mostly_right": 2}
    assert out["overall"]["Sky"]["share"] == 1.0


def test_a_short_clip_another_size_or_another_class_is_an_error(model: Path) -> None:
    engine = open_engine(model, "onnxruntime")
    with pytest.raises(SourceError, match="drawn has no frame 7"):
        score_regions(engine, frames(3), OutlinedClip(**outlines(1, 7)))
    with pytest.raises(UsageError, match="a clip of 96x64; expected 48x32"):
        score_regions(engine, frames(3), OutlinedClip(**outlines(1, size=(48, 32))))
    wrong = outlines(1)
    wrong["frames"][0]["regions"][0]["class"] = "sky"
    with pytest.raises(UsageError, match="no class 'sky'; did you mean Sky"):
        score_regions(engine, frames(3), OutlinedClip(**wrong))


def test_a_wrong_file_says_where(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    with pytest.raises(UsageError, match="cannot read"):
        read_outlines(file)
    wrong = outlines(1)
    wrong["frames"][0]["regions"][2]["polygon"] = [[1, 2]]
    file.write_text(json.dumps(wrong), encoding="utf-8")
    with pytest.raises(UsageError, match=r"frames\.0\.regions\.2\.polygon"):
        read_outlines(file)


@pytest.mark.parametrize("file", sorted((TESTS / "clips").glob("*.json")), ids=lambda f: f.stem)
def test_the_facts_in_the_tree_are_whole(file: Path) -> None:
    facts = read_outlines(file)
    width, height = facts.size
    names = built_in(facts.labels).classes
    assert len(facts.frames) >= 10
    assert [f.frame for f in facts.frames] == sorted({f.frame for f in facts.frames})
    for frame in facts.frames:
        assert {r.cls for r in frame.regions} == {"Sky", "Road", "Car"} <= set(names)
        taken = np.zeros((height, width), np.uint8)
        for region in frame.regions:
            assert all(0 <= x <= width and 0 <= y <= height for x, y in region.polygon)
            taken += cv2.fillPoly(np.zeros_like(taken), [np.array(region.polygon, np.int32)], 1)
        assert taken.max() == 1, f"two regions of frame {frame.frame} overlap"


def test_the_tool_prints_a_table_and_writes_json(model: Path, tmp_path: Path) -> None:
    for i in range(4):
        assert cv2.imwrite(str(tmp_path / f"{i:03d}.png"), drawn(i))
    facts, scores = tmp_path / "facts.json", tmp_path / "scores.json"
    facts.write_text(json.dumps(outlines(0, 1)), encoding="utf-8")
    main = runpy.run_path(str(TOOL))["main"]
    command = [f"{tmp_path}/*.png", str(facts), "--engine", str(model), "--backend", "onnxruntime"]
    done = CliRunner().invoke(main, [*command, "--json", str(scores)])
    assert done.exit_code == 0, done.output
    assert json.loads(scores.read_text(encoding="utf-8"))["overall"]["Car"]["share"] == 0.75
    done = CliRunner().invoke(main, [f"{tmp_path}/*.png", str(tmp_path / "none.json"), *command[2:]])
    assert done.exit_code == 1
    assert "none.json" in done.output
