"""``drivenet run --visualize panoptic`` and ``cutout``."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from cli_parts import call

NULL = ("--backend", "null", "--headless")
DRIVE = "synthetic://96x64@30?frames=3"
EVERY = ("--policy", "every")


def test_a_run_writes_panoptic_pictures(tmp_path: Path) -> None:
    assert call("run", DRIVE, *NULL, *EVERY, "--out", f"{tmp_path}/", "--visualize", "panoptic") == 0
    files = sorted(tmp_path.glob("*.png"))
    assert [f.name for f in files] == ["000000.png", "000001.png", "000002.png"]
    second, third = (cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in files[1:])
    assert second.dtype == np.uint16
    assert (second > 1000).any()
    np.testing.assert_array_equal(second, third)


def test_a_run_writes_cut_outs(tmp_path: Path) -> None:
    code = call(
        "run", DRIVE, *NULL, *EVERY, "--out", f"{tmp_path}/", "--visualize", "cutout", "--classes", "vehicle,Pedestrian"
    )
    assert code == 0
    pixels = cv2.imread(str(tmp_path / "000002.png"), cv2.IMREAD_UNCHANGED)
    assert pixels.shape == (64, 96, 4)
    assert 0 < np.mean(pixels[..., 3] == 255) < 1


def test_a_run_records_cut_outs(tmp_path: Path) -> None:
    out = tmp_path / "cut.mov"
    assert call("run", DRIVE, *NULL, *EVERY, "--out", str(out), "--visualize", "cutout", "--classes", "vehicle") == 0
    with av.open(str(out)) as container:
        frames = [f.to_ndarray(format="bgra") for f in container.decode(video=0)]
    assert [f.shape for f in frames] == [(64, 96, 4)] * 3
    assert 0 < np.mean(frames[2][..., 3] > 127) < 1


@pytest.mark.parametrize(("view", "depth"), [("panoptic", np.uint16), ("cutout", np.uint8), ("mask", np.uint8)])
def test_one_picture_is_the_same_in_a_file_as_in_a_folder(view: str, depth: type, tmp_path: Path) -> None:
    file = tmp_path / "one.png"
    how = ("--visualize", view, "--max-frames", "1", *(("--classes", "vehicle") if view == "cutout" else ()))
    assert call("run", DRIVE, *NULL, *EVERY, *how, "--out", f"{tmp_path}/many/", "--out", str(file)) == 0
    assert file.read_bytes() == (tmp_path / "many" / "000000.png").read_bytes()
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == depth
    assert view != "cutout" or pixels.shape == (64, 96, 4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--visualize", "cutout", "--classes", "vehicle", "--out", "a.mp4"),
            "--out FOLDER/, FILE.png for one picture, FILE.mov or FILE.webm",
        ),
        (("--visualize", "panoptic", "--out", "a.jpg", "--max-frames", "1"), "--out FOLDER/, FILE.png for one picture"),
        (("--visualize", "panoptic", "--out", "a.png"), "the picture a.png for 3 frames"),
        (("--out", "a.webm"), "a.webm of the view overlay; expected FILE.mp4 or FILE.mkv"),
        (("--visualize", "cutout", "--out", "a/"), "--classes"),
        (("--visualize", "panoptic", "--out", "a.mp4"), "--out FOLDER/, FILE.png for one picture"),
        (("--visualize", "cutout", "--classes", "cat", "--out", "a/"), "no class or group 'cat'"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("run", DRIVE, *NULL, *arguments) == 2
    said = capsys.readouterr()
    assert told in said.err + said.out
    assert not list(tmp_path.iterdir())
