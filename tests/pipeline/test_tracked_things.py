"""Things keep their ids over a run, where frames follow each other."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from pipeline_parts import Keeper

from drivenet.engine import open_engine
from drivenet.pipeline import Pipeline
from drivenet.result import Result
from drivenet.sources import open_source


def run(source: str, **options: object) -> list[Result]:
    sink = Keeper()
    Pipeline(open_source(source, **options), open_engine(None, "null"), [sink], policy="every").run()  # type: ignore[arg-type]
    return sink.results


def test_things_of_a_video_have_ids_from_their_second_frame_on() -> None:
    """The null engine's pattern does not move: every thing is one track."""
    results = run("synthetic://96x64@30?frames=4")
    first, *others = ([t.id for t in r.scene.things] for r in results)
    assert first
    assert set(first) == {0}
    assert all(ids == others[0] and 0 not in ids for ids in others)
    assert results[-1].to_dict()["things"][0]["id"] >= 1


def test_single_pictures_are_not_tracked(tmp_path: Path) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((64, 96, 3), 60 * i, np.uint8))
    results = run(str(tmp_path))
    assert {t.id for r in results for t in r.scene.things} == {0}
    assert "id" not in results[-1].to_dict()["things"][0]
