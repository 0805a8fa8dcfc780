"""Outlined things on a drawn clip: what is parted, what keeps its id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import paint, palette_model

from drivenet.engine import open_engine
from drivenet.errors import SourceError
from drivenet.evaluation.outlined_things import kept, score_things
from drivenet.evaluation.regions import OutlinedClip, read_outlines
from drivenet.frame import Frame

SIZE = (64, 96)
CLIP = Path(__file__).parents[1] / "clips" / "highway_540p.json"


def frames(n: int, apart: int) -> list[Frame]:
    """Two cars that stand ``apart`` pixels from each other."""
    ids = np.full(SIZE, 3, np.uint8)
    ids[40:56, 10:30] = ids[40:56, 30 + apart : 50 + apart] = 8
    return [Frame(paint(ids), i, i * 40_000_000) for i in range(n)]


def outlines(apart: int) -> OutlinedClip:
    left = {"class": "Car", "thing": "left", "polygon": [[11, 41], [28, 41], [28, 54], [11, 54]]}
    right = {"class": "Car", "polygon": [[x + 20 + apart, y] for x, y in left["polygon"]]}  # type: ignore[misc]
    road = {"class": "Road", "polygon": [[0, 2], [90, 2], [90, 20]]}
    rows: list[dict[str, Any]] = [{"frame": i, "regions": [road, left, right]} for i in (2, 4, 5)]
    return OutlinedClip.model_validate({"clip": "drawn", "labels": "camvid", "size": [96, 64], "frames": rows})


def test_cars_apart_are_found_and_keep_their_ids(tmp_path: Path) -> None:
    engine = open_engine(palette_model(tmp_path, size=SIZE), "onnxruntime")
    found: Any = score_things(engine, frames(6, apart=6), outlines(6))
    assert (found["outlined"], found["found"]) == (6, 6)
    assert found["tracks"] == {"left": [found["frames"][0]["things"][0]] * 3}
    assert found["tracks"]["left"][0] > 0
    assert kept(found["tracks"]["left"]) == 3


def test_one_component_over_both_finds_neither(tmp_path: Path) -> None:
    engine = open_engine(palette_model(tmp_path, size=SIZE), "onnxruntime")
    found: Any = score_things(engine, frames(6, apart=0), outlines(0))
    assert (found["outlined"], found["found"]) == (6, 0)


def test_a_clip_that_is_too_short_is_refused(tmp_path: Path) -> None:
    engine = open_engine(palette_model(tmp_path, size=SIZE), "onnxruntime")
    with pytest.raises(SourceError, match="no frame 5"):
        score_things(engine, frames(5, apart=6), outlines(6))


def test_ids_kept_are_those_of_the_longest_run_of_one_id() -> None:
    assert (kept([4, 4, 0, 5]), kept([0, 0]), kept([])) == (2, 0, 0)


def test_the_clip_marks_three_cars() -> None:
    marked = [r.thing for f in read_outlines(CLIP).frames for r in f.regions if r.thing]
    assert {name: marked.count(name) for name in set(marked)} == {"white sedan": 10, "red SUV": 10, "grey sedan": 6}
