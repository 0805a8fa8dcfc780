"""The loops that drivenet is compared with do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from plain_loop import PlainLoop, palette  # noqa: E402

from drivenet.prepare import resize_ids  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    file = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"mp4v"), 30, (320, 192))
    drive = SyntheticDrive(320, 192)
    for i in range(3):
        writer.write(drive.render(i)[0])
    writer.release()
    return file


@pytest.mark.parametrize("logits", [True, False])
def test_a_loop_records_every_frame_in_the_colours_of_the_classes(clip: Path, tmp_path: Path, logits: bool) -> None:
    loop = PlainLoop(ROOT / "engines/fast.onnx", logits)
    assert loop.run(clip, tmp_path / "out.mp4") == 3
    written = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    frames = [written.read() for _ in range(4)]
    assert [good for good, _ in frames] == [True, True, True, False]


def test_both_ways_find_the_same_classes() -> None:
    loops = [PlainLoop(ROOT / "engines/fast.onnx", logits) for logits in (True, False)]
    image = cv2.resize(SyntheticDrive(640, 360).render(30)[0], (loops[0].width, loops[0].height))
    scores, ids = (loop.session.run(None, {"frame": image[None]})[0][0] for loop in loops)
    assert scores.dtype == np.float32
    best = scores.argmax(0).astype(np.uint8)
    assert (resize_ids(best, ids.shape) == ids).mean() > 0.999
    assert palette(ROOT / "engines/fast.onnx").shape == (256, 1, 3)


def test_the_comparison_says_how_much_faster_each_is(clip: Path, tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/compare_loops.py", clip, "--turns", "1", "--frames", "2"]
    env = os.environ | {"DRIVENET_ENGINES": str(tmp_path)}  # what is measured here is nobody's
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"plain loop, ids from the graph"' in done.stdout
    assert '"drivenet, onnxruntime fp32"' in done.stdout
    assert '"times_logits"' in done.stdout
