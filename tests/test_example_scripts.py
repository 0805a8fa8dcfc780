"""The scripts in ``examples`` run, and do what their first line says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from mqtt_broker import Broker, Listener

import drivenet

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DRIVE = "synthetic://320x192@30"


def run(name: str, cwd: Path, *arguments: object) -> str:
    """What a script prints."""
    environment = {**os.environ, "PYTHONPATH": str(Path(drivenet.__file__).parents[1])}
    command = [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three frames of the synthetic drive."""
    folder = tmp_path / "images"
    folder.mkdir()
    for frame in drivenet.open_source(f"{DRIVE}?frames=3", paced=False):
        cv2.imwrite(str(folder / f"{frame.index}.png"), frame.image)
    return folder


def test_every_example_is_listed_and_tested() -> None:
    files = {file.name for file in EXAMPLES.iterdir() if file.suffix in (".py", ".ipynb")}
    listed, tests = (EXAMPLES / "README.md").read_text(), Path(__file__).read_text()
    assert [name for name in sorted(files) if f"({name})" not in listed or f'"{name}"' not in tests] == []
    assert len(files) == 8


def test_webcam(tmp_path: Path) -> None:
    lines = run("webcam.py", tmp_path, f"{DRIVE}?frames=40").splitlines()
    assert "road" in lines[0]
    assert lines[-1] == "40 frames captured"


def masks_of(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(folder / f"{i}.png"), cv2.IMREAD_UNCHANGED) for i in range(3)]


def test_folder_to_masks(tmp_path: Path, images: Path) -> None:
    run("folder_to_masks.py", tmp_path, images, "masks")
    with drivenet.Segmenter() as segmenter:
        for i, mask in enumerate(masks_of(tmp_path / "masks")):
            assert np.array_equal(mask, segmenter.segment(images / f"{i}.png").ids)


def test_rtsp_to_mqtt(tmp_path: Path) -> None:
    broker = Broker(tmp_path, "allow_anonymous true")
    broker.start()
    try:
        listener = Listener(broker.port, "car")
        said = run("rtsp_to_mqtt.py", tmp_path, f"{DRIVE}?frames=30", f"mqtt://127.0.0.1:{broker.port}/car")
        assert "scenes published" in said
        scene, _ = listener.next(lambda topic, payload: topic == "car/scene")
        assert "road" in str(scene)
    finally:
        broker.stop()


def test_own_onnx(tmp_path: Path, images: Path) -> None:
    pytest.importorskip("onnx", reason="onnx (extra [import]) is not installed")
    from tests.convert.foreign_models import Net

    model = Net(classes=11).write(tmp_path / "model.onnx")
    said = run("own_onnx.py", tmp_path, model, "camvid", images / "0.png")
    assert "of pixels equal the original's" in said
    assert cv2.imread(str(tmp_path / "overlay.jpg")).shape == (192, 320, 3)


def test_own_sink(tmp_path: Path) -> None:
    said = run("own_sink.py", tmp_path, f"{DRIVE}?frames=10", "0.000001")
    assert "10 frames" in said
    assert "alarm on" in said


def test_two_cameras(tmp_path: Path) -> None:
    said = run("two_cameras.py", tmp_path, f"{DRIVE}?frames=4", "synthetic://256x144@30?frames=3")
    assert len(said.splitlines()) == 7


def test_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads((EXAMPLES / "evaluate.ipynb").read_text())["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "evaluate.ipynb", "exec"), names)
    assert "mIoU" in capsys.readouterr().out
    assert (tmp_path / "overlay.jpg").exists()


def test_a_ray_cluster(tmp_path: Path, images: Path) -> None:
    if find_spec("ray") is None:
        pytest.skip("ray is not installed")
    environment = {**os.environ, "PYTHONPATH": str(Path(drivenet.__file__).parents[1]), "RAY_worker_niceness": "0"}
    command = [sys.executable, EXAMPLES / "ray_batch.py", images, tmp_path / "masks"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert [mask.shape for mask in masks_of(tmp_path / "masks")] == [(192, 320)] * 3
