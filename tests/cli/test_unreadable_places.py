"""Places that the user may not enter, names that no file can have, a user without a home: each with its exit code."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx_models import palette_model

import drivenet

NULL = ("--backend", "null", "--headless", "--strict")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("ds/images", "ds/labels", "no_labels/images", "no_labels/labels", "closed", "tree/closed"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("ds", "no_labels"):
        cv2.imwrite(str(tmp_path / name / "images" / "a.jpg"), np.zeros((64, 96, 3), np.uint8))
        cv2.imwrite(str(tmp_path / name / "labels" / "a.png"), np.zeros((64, 96), np.uint8))
    for name in ("closed", "tree/closed", "no_labels/labels"):
        (tmp_path / name).chmod(0)
    tmp_path.chmod(0o777)
    return tmp_path


def run(here: Path, *args: str, rights: tuple[str, ...] = ()) -> tuple[int, str]:
    """Exit code and last line of a command, without the rights of root to enter and read everything."""
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("needs setpriv (util-linux) to give up the rights of root")
    drop = ("setpriv", *(rights or ("--bounding-set=-dac_override,-dac_read_search",))) if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*drop, sys.executable, "-m", "drivenet", *args], cwd=here, capture_output=True, text=True, timeout=100
    )
    assert "Traceback" not in done.stderr
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1]


@pytest.mark.parametrize(
    "output",
    [
        ("--out", "closed/o.mp4"),
        ("--out", "closed/o.mcap"),
        ("--out", "closed/in/"),
        ("--stats", "closed/s.jsonl"),
        ("--out", f"{'a' * 252}.mp4"),
        ("--stats", f"{'a' * 252}.jsonl"),
    ],
)
def test_an_output_that_cannot_be_is_a_sink_error_with_a_cure(here: Path, output: tuple[str, str]) -> None:
    code, line = run(here, "run", "ds/images", *NULL, *output)
    assert code == 5, line
    assert line.startswith(f"drivenet: cannot write {output[1].rstrip('/')}")
    assert line.endswith("name a place that is writable and has room")


@pytest.mark.parametrize(
    ("args", "code", "place"),
    [
        (("run", "closed/a.mp4"), 3, "closed/a.mp4"),
        (("run", "closed/"), 3, "closed"),
        (("run", "closed/*.png"), 3, "closed/*.png"),
        (("run", "tree/**/*.png"), 3, "tree/closed"),
        (("eval", "--dataset", "folder", "--labels", "camvid", "--root", "closed/ds"), 3, "closed/ds"),
        (("eval", "--dataset", "folder", "--labels", "camvid", "--root", "no_labels"), 3, "no_labels/labels"),
        (("run", "ds/images", "--engine", "closed/fast.onnx"), 4, "closed/fast.onnx"),
    ],
)
def test_what_may_not_be_read_is_not_called_missing(here: Path, args: tuple[str, ...], code: int, place: str) -> None:
    backend = () if code == 4 else ("--backend", "null")
    stats = ("--stats", "s.jsonl") if args[0] == "run" else ()
    got, line = run(here, *args, *backend, *stats)
    assert got == code, line
    assert line.startswith(f"drivenet: {place} cannot be read: permission denied; check ")


def test_a_labels_file_that_may_not_be_read(here: Path) -> None:
    args = ("eval", "--backend", "null", "--dataset", "folder", "--root", "ds", "--labels", "closed/l.yaml")
    assert run(here, *args) == (
        2,
        "drivenet: cannot read closed/l.yaml: permission denied; expected a YAML file",
    )


@pytest.mark.parametrize("args", [("run", "ds/images", "--stats", "~/s.jsonl"), ("run", "~/clip.mp4")])
def test_a_user_without_a_home_gets_no_folder_named_like_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    if os.geteuid():
        pytest.skip("needs root, who may act as a user number without a name")
    monkeypatch.delenv("HOME")
    kept = "+dac_override,+dac_read_search"  # to find Python
    nameless = ("--reuid=54321", "--regid=54321", "--clear-groups", f"--inh-caps={kept}", f"--ambient-caps={kept}")
    code, line = run(here, *args, *NULL, rights=nameless)
    assert code == 2
    assert "names a home folder, and this user has none; set HOME or give the whole path" in line
    assert not (here / "~").exists()


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    """As a memory card or an old archive has them."""
    name = os.fsdecode(b"f\xe4hrt")
    (tmp_path / name).mkdir()
    palette_model(tmp_path / name)
    video = f"{name}/{name}.mp4"
    made = run(tmp_path, "run", "synthetic://96x64@30?frames=6", "--policy", "every", *NULL, "--out", video)
    assert made[0] == 0
    for engine in (("--backend", "null"), ("--engine", f"{name}/palette.onnx", "--backend", "onnxruntime")):
        assert run(tmp_path, "run", video, "--headless", *engine, "--stats", "s.jsonl")[0] == 0
    assert len(list(tmp_path.glob("s*.jsonl"))) == 2


def test_a_batch_of_a_video_whose_name_is_no_utf_8(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow (extra [batch]) is not installed")
    video = os.fsdecode(b"f\xe4hrt.mp4")
    run(tmp_path, "run", "synthetic://96x64@30?frames=6", "--policy", "every", *NULL, "--out", video)
    assert run(tmp_path, "batch", video, "--out", "found", "--backend", "null")[0] == 0
    (scenes,) = (tmp_path / "found").rglob("scenes.parquet")
    assert parquet.read_table(io.BytesIO(scenes.read_bytes()))["file"].to_pylist() == ["f\\udce4hrt.mp4"] * 6


@pytest.mark.parametrize("command", ["doctor", "models"])
def test_a_folder_that_is_gone(tmp_path: Path, command: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m drivenet {command}"
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, timeout=100, env=at_checkout())
    told = "drivenet: the folder that this was started in is gone; cd to one that is there\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_a_build_in_a_folder_without_room(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    palette_model(tmp_path)
    small = tmp_path / "small"
    small.mkdir()
    inside = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=8k none {small} && exec "$@"', "sh"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system")
    build = ["build", "palette.onnx", "--backend", "openvino", "--precision", "fp32", "--out", str(small)]
    done = subprocess.run(
        [*inside, sys.executable, "-m", "drivenet", *build], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    told = f"drivenet: no room in {small}; free some, or name another folder with --out"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (4, told)


def at_checkout() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(drivenet.__file__).parents[1])}
