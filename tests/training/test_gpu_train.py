"""Pack here, train there: a real pack of drawn pictures, the tool itself in other processes, one of them killed."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from tiny_runs import TINY  # noqa: E402

from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import SourceError, SourceNotFoundError, UsageError  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from drivenet.training.pack import INDEX, Pack, this_python  # noqa: E402
from drivenet.training.packing import write_pack  # noqa: E402

TOOL = Path(__file__).resolve().parents[2] / "tools" / "gpu_train.py"
DATA = {"dataset": "camvid", "synthetic_share": 0.5, "synthetic_frames": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as CamVid's, of a drawn drive."""
    folder = tmp_path_factory.mktemp("camvid")
    drive = SyntheticDrive(128, 96, seed=3)
    for number, split in enumerate(("train", "train", "train", "val", "val")):
        image, ids = drive.render(number)
        for name, picture in ((split, image), (f"{split}annot", np.where(ids == 255, 11, ids))):
            (folder / name).mkdir(exist_ok=True)
            assert cv2.imwrite(str(folder / name / f"{number}.png"), picture)
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("configs") / "little.yaml"
    file.write_text(yaml.safe_dump({**TINY, "data": DATA, "iterations": 6}))
    return file


@pytest.fixture(scope="module")
def packed(root: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pack") / "little.pack"
    done = write_pack(root, [config], [this_python()], out)
    assert (done.quality, done.pictures, done.names, done.size) == (95, 5, ("little",), out.stat().st_size)
    return out


def command(packed: Path, out: Path, *options: object) -> list[str]:
    needed = ["--config", "little", "--minutes", "9", "--out", out, "--device", "cpu"]
    return [sys.executable, str(TOOL), "run", str(packed), *map(str, [*needed, *options])]


def run(packed: Path, out: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(packed, out, *options), env=one_thread(), capture_output=True, text=True, timeout=500)


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def rows(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "rows.json").read_text())
    return found


def test_labels_come_back_exactly_and_pictures_nearly(packed: Path, root: Path) -> None:
    pack = Pack(packed)
    assert pack.settings("little")["name"] == "tiny"
    for split, names in (("train", ["0.png", "1.png", "2.png"]), ("val", ["3.png", "4.png"])):
        samples = pack.samples(split)
        assert [s.name for s in samples] == names
        for sample in samples:
            label = cv2.imread(str(root / f"{split}annot" / sample.name), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(sample.ids, np.where(label == 11, 255, label))
            picture = cv2.imread(str(root / split / sample.name)).astype(float)
            assert np.abs(sample.image - picture).mean() < 3


def test_a_limit_lowers_the_quality_until_it_fits(packed: Path, root: Path, config: Path, tmp_path: Path) -> None:
    limit = packed.stat().st_size - 2000
    done = write_pack(root, [config], [this_python()], tmp_path / "a.pack", limit)
    assert done.quality < 95
    assert (tmp_path / "a.pack").stat().st_size == done.size <= limit
    assert Pack(tmp_path / "a.pack").quality == done.quality
    with pytest.raises(UsageError, match=r"bytes at quality 80; expected at most 1000"):
        write_pack(root, [config], [this_python()], tmp_path / "b.pack", 1000)
    assert not (tmp_path / "b.pack").exists()


def test_what_is_no_pack_is_refused_in_a_line(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"cannot read .*gone.pack"):
        Pack(tmp_path / "gone.pack")
    cut = tmp_path / "cut.pack"
    cut.write_bytes(packed.read_bytes()[:2000])
    with pytest.raises(SourceError, match=r"cut.pack is no whole pack.*copy it again"):
        Pack(cut)
    with zipfile.ZipFile(packed) as whole:
        at = next(i for i in whole.infolist() if i.filename == "train/ids.npy.xz").header_offset
    content = bytearray(packed.read_bytes())
    content[at + 100] ^= 255
    (tmp_path / "bent.pack").write_bytes(content)
    with pytest.raises(SourceError, match=r"bent.pack is no whole pack: Bad CRC.*copy it again"):
        Pack(tmp_path / "bent.pack").samples("train")
    with zipfile.ZipFile(tmp_path / "later.pack", "w") as archive:
        archive.writestr(INDEX, json.dumps({"format": 99}))
    with pytest.raises(SourceError, match=r"later.pack of format 99; expected format 1"):
        Pack(tmp_path / "later.pack")
    with pytest.raises(UsageError, match=r"no settings 'litle'.*little"):
        Pack(packed).settings("litle")
    done = run(cut, tmp_path / "out")
    assert done.returncode == SourceError.exit_code
    assert done.stderr.count("\n") == 1


def test_two_seeds_make_two_rows_and_their_spread(packed: Path, tmp_path: Path) -> None:
    done = run(packed, tmp_path / "out", "--seeds", "0,1", "--iterations", 4)
    assert done.returncode == 0, done.stderr
    report = rows(tmp_path / "out")
    assert [(r["config"], r["seed"], r["iterations"]) for r in report["rows"]] == [("little", 0, 4), ("little", 1, 4)]
    scores = [r["val_miou"] for r in report["rows"]]
    assert report["val_miou"]["little"]["seeds"] == 2
    assert report["val_miou"]["little"]["mean"] == pytest.approx(statistics.mean(scores), abs=1e-4)
    curve = (tmp_path / "out" / "little-s1" / "curves.csv").read_text().splitlines()
    assert curve[0] == "iteration,loss,val_miou"
    assert curve[-1].startswith("4,")
    engine = open_engine(tmp_path / "out" / report["rows"][1]["onnx"], "onnxruntime")
    try:
        assert engine.spec.recipe == "tiny"
        assert engine.spec.training["seed"] == 1
    finally:
        engine.close()


def test_a_killed_run_goes_on(packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--iterations", 40)
    killed = subprocess.Popen(command(packed, out, *options), env=one_thread(), stdout=subprocess.DEVNULL)
    checkpoint = out / "little-s0" / "last.pt"
    until = time.monotonic() + 300
    while not checkpoint.exists() and killed.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "it ended before it could be killed"
    refused = run(packed, out, *options)
    assert refused.returncode == UsageError.exit_code
    assert "go on with --resume" in refused.stderr
    done = run(packed, out, *options, "--resume")
    assert done.returncode == 0, done.stderr
    assert rows(out)["rows"][0]["iterations"] == 40
    iterations = [int(line.split(",")[0]) for line in (out / "little-s0" / "curves.csv").read_text().splitlines()[1:]]
    assert iterations == sorted(set(iterations))
    assert iterations[-1] == 40
