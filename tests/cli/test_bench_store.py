"""``drivenet bench --out``: what was done before a kill is neither read again nor counted twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from bench_parts import BENCH, figures
from cli_parts import call
from onnx_models import paint, palette_model

from drivenet.labels import CITYSCAPES

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow (extra [batch]) is not installed")
NAMES = ("a", "b", "c/d")
SET = "sequences:\n" + "".join(f"  - {{frames: f{i}, labels: l{i}, name: {n}}}\n" for i, n in enumerate(NAMES))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    palette_model(tmp_path, "city", CITYSCAPES)
    ids = np.full((32, 48), CITYSCAPES.id_of("sky"), np.uint8)
    ids[16:] = CITYSCAPES.id_of("road")
    for number in range(3):
        for folder in (f"f{number}", f"l{number}"):
            (tmp_path / folder).mkdir()
        for i in range(4):
            assert cv2.imwrite(f"f{number}/{i}.png", paint(np.roll(ids, i, 0), CITYSCAPES))
        assert cv2.imwrite(f"l{number}/0.png", ids)
    Path("set.yaml").write_text(SET)
    return tmp_path


@pytest.mark.parametrize("mode", [("infer",), ("open", "--rate", 20)], ids=lambda m: m[0])
def test_a_run_that_was_killed_goes_on_with_the_next_sequence(here: Path, mode: tuple[object, ...]) -> None:
    """What is left of the first run is one sequence, and half of another's files; its images are gone."""
    whole = figures("--mode", *mode, "--out", "kept")
    for file in list((here / "kept").iterdir()):
        if file.stem == "b" or (file.stem.startswith("c-d") and file.suffix == ".json"):
            file.unlink()
    for image in (here / "f0").iterdir():
        status = image.stat()
        image.write_bytes(bytes(status.st_size))
        os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = figures("--mode", *mode, "--out", "kept")
    for key in ("scores", "captured"):
        assert again["rows"][0]["overall"][key] == whole["rows"][0]["overall"][key] or mode[0] == "open"
        assert again["rows"][0]["sequences"]["a"][key] == whole["rows"][0]["sequences"]["a"][key]
    assert again["rows"][0]["sequences"]["a"]["latency_ms"] == whole["rows"][0]["sequences"]["a"]["latency_ms"]
    manifest = json.loads((here / "kept" / "manifest.json").read_text())
    assert len(manifest["sequences"]) == len(set(manifest["sequences"])) == 3
    assert manifest["run"]["engines"][0]["sha256"] == whole["rows"][0]["engine"]["sha256"]


@pytest.mark.parametrize("change", ["label", "frame", "group"])
def test_another_content_of_the_same_set_is_another_run(
    here: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    """New labels and frames under the old names counted in the head of the table, and the old figures were told."""
    figures("--out", "kept")
    if change == "label":
        assert cv2.imwrite("l1/0.png", np.zeros((32, 48), np.uint8))
    elif change == "frame":
        (here / "f1" / "4.png").write_bytes((here / "f1" / "3.png").read_bytes())
    else:
        Path("set.yaml").write_text(SET.replace("name: b", "name: b, group: town"))
    assert call(*BENCH, "--out", "kept") == 2
    assert "kept holds another run (set)" in capsys.readouterr().err


def test_the_page_says_which_sequences_its_pictures_are_not_of(here: Path) -> None:
    """The figures are of all; pictures of those that an earlier command did are gone, of which nothing was said."""
    figures("--out", "kept", "--report", "whole")
    (here / "kept" / "b.json").unlink()
    figures("--out", "kept", "--report", "again")
    told = "No frames of 2 sequences that were done by an earlier command are among"
    assert told not in (here / "whole" / "index.html").read_text(encoding="utf-8")
    assert told in (here / "again" / "index.html").read_text(encoding="utf-8")


def test_rows_of_frames_are_parquet(here: Path) -> None:
    figures("--out", "kept")
    (file,) = (here / "kept").glob("c-d-*.parquet")
    rows = pq.read_table(file).to_pylist()
    assert [(row["sequence"], row["index"], row["engine"]) for row in rows] == [("c/d", i, 0) for i in range(4)]
    assert [row["miou"] is None for row in rows] == [False, True, True, True]
    assert all(row["infer_ms"] > 0 for row in rows)


@pytest.mark.parametrize("mode", [(), ("--mode", "open", "--rate", 1000, "--slow-down", 60)], ids=["infer", "dropped"])
def test_rows_of_all_sequences_have_the_same_columns(here: Path, mode: tuple[object, ...]) -> None:
    """Readers of a folder take them from its first file, here of a sequence without labels, or of dropped frames."""
    Path("set.yaml").write_text(SET.replace(", labels: l0", ""))
    figures("--out", "kept", *mode)
    files = sorted((here / "kept").glob("*.parquet"))
    schemas = [pq.read_schema(file) for file in files]
    assert len(schemas) == 3
    assert all(schema.equals(schemas[0]) for schema in schemas)
    assert {"miou", "mtc", "flicker", "infer_ms", "end_to_end_ms"} <= set(schemas[0].names)
    assert {row["sequence"] for row in pq.read_table(files).to_pylist() if row["miou"]} == {"b", "c/d"}


def test_a_folder_of_another_run_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures("--out", "kept")
    assert call(*BENCH, "--out", "kept", "--mode", "closed") == 2
    assert "kept holds another run (mode); expected the same run; name a new folder" in capsys.readouterr().err
    members = {name: [name] for name in CITYSCAPES.classes}
    members |= {"sky": ["road"], "road": ["sky"]}
    Path("turned.yaml").write_text(json.dumps({"dataset": "cityscapes", "model": "cityscapes", "members": members}))
    assert call(*BENCH, "--out", "kept", "--mapping", "turned.yaml") == 2
    assert "kept holds another run (classes)" in capsys.readouterr().err
    Path("other").mkdir()
    Path("other/set.yaml").write_text(SET)
    for folder in ("f0", "f1", "f2", "l0", "l1", "l2"):
        (here / "other" / folder).symlink_to(here / folder)
    assert call(*BENCH[:-1], "other/set.yaml", "--out", "kept") == 2
    assert "kept holds another run (root)" in capsys.readouterr().err
    assert call(*BENCH, "--out", "kept", "--predictions", "p") == 2
    assert "--predictions with --out" in capsys.readouterr().err
