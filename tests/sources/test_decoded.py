"""Pictures as decoded: an engine's input from the planes is that of the converted picture, which nobody has to make."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from source_clips import read, remux, write_clip

from drivenet import Pipeline, Sink, open_source
from drivenet.classmap import Ids
from drivenet.engine.null import NullEngine
from drivenet.frame import Frame, Image
from drivenet.labels import CITYSCAPES
from drivenet.modelspec import LabelsSpec, ModelSpec
from drivenet.prepare import prepare, prepare_for
from drivenet.result import Result
from drivenet.sources.decoded import Converter, DecodedPicture
from drivenet.sources.turning import UPRIGHT, Turn
from drivenet.sources.video import VideoFile
from drivenet.synthetic import SyntheticDrive

TURNS: list[Turn] = [UPRIGHT, (True, True, False), (False, False, True)]


def street(width: int, height: int) -> Image:
    """A drawn street with the noise of a camera."""
    pixels = SyntheticDrive(width, height).render(60)[0].astype(int)
    return (pixels + np.random.default_rng(0).normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)


def decoded(pixels: Image, kind: str = "yuv420p", turn: Turn = UPRIGHT) -> DecodedPicture:
    """The picture as a decoder of that pixel format gives it."""
    picture = av.VideoFrame.from_ndarray(pixels, format="bgr24").reformat(format=kind)
    return DecodedPicture(picture, turn, Converter("a.mp4"))


@pytest.mark.parametrize("to", [(256, 448), (416, 736)])
@pytest.mark.parametrize("size", [(540, 960), (720, 1280), (1080, 1920), (481, 853)])
def test_an_input_is_the_mean_over_the_area_of_each_pixel(size: tuple[int, int], to: tuple[int, int]) -> None:
    """But for a level or two by which swscale rounds otherwise where it converts without resizing."""
    picture = decoded(street(*size[::-1]))
    exact = cv2.resize(picture.whole(), to[::-1], interpolation=cv2.INTER_AREA).astype(int)
    ours = prepare(Frame(picture, 0, 0), to)
    assert (ours.shape, ours.dtype, ours.flags.c_contiguous) == ((*to, 3), np.uint8, True)
    differs = ours - exact
    assert np.abs(differs.mean((0, 1))).max() < 2
    assert np.abs(differs - differs.mean((0, 1))).mean() < 1.3


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("to", [(256, 448), (64, 96)])
def test_an_input_is_turned_as_the_picture_is(to: tuple[int, int], turn: Turn) -> None:
    picture = decoded(street(480, 270), turn=turn)
    whole = picture.whole()
    assert picture.size == whole.shape[:2] == ((480, 270) if turn[0] else (270, 480))
    assert np.abs(picture.resized(to).astype(int) - prepare(whole, to)).mean() < 3
    assert np.abs(picture.sampled(16).astype(int) - whole[::16, ::16]).mean() < 25


@pytest.mark.parametrize("kind", ["yuv420p", "yuvj420p", "nv12", "yuv422p10le", "gray", "bgr24", "gbrp"])
@pytest.mark.parametrize("to", [(60, 90), (45, 80), (180, 320), (30, 320)])
def test_a_picture_is_not_shifted(to: tuple[int, int], kind: str) -> None:
    """A ramp goes up by 1 a pixel: half a pixel would show in its mean, whatever the conversion rounds."""
    ramp = np.repeat(np.tile(np.arange(20, 180, dtype=np.uint8), (90, 1))[..., None], 3, 2)
    there, back = (
        decoded(np.ascontiguousarray(pixels), kind).resized(to).astype(int) for pixels in (ramp, ramp[:, ::-1])
    )
    inner = slice(4, -4)
    assert abs((there - back[:, ::-1])[:, inner].mean()) < 0.3
    assert np.abs(np.diff(there[:, inner].mean((0, 2))) - 160 / to[1]).max() < 1.5


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (9, 700), (700, 9), (33, 47)])
def test_any_size_becomes_an_input(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    picture = decoded(pixels, "yuv444p")
    out = picture.resized((32, 64))
    assert (out.shape, out.flags.c_contiguous) == ((32, 64, 3), True)
    assert np.abs(out.mean((0, 1)) - pixels.mean((0, 1))).max() < 16
    assert picture.sampled(16).shape == (-(-size[0] // 16), -(-size[1] // 16), 3)


def test_an_input_with_bars_has_them_where_that_of_an_image_has() -> None:
    picture = decoded(street(320, 180))
    spec = ModelSpec(name="m", architecture="any", input=(256, 256), output=(256, 256), mean=(0, 0, 0), std=(1, 1, 1),
                     params=1, gmac=0.1, letterbox=114, labels=LabelsSpec.of(CITYSCAPES))  # fmt: skip
    ours, wanted = prepare_for(Frame(picture, 0, 0), spec), prepare_for(picture.whole(), spec)
    np.testing.assert_array_equal((ours == 114).all(2), (wanted == 114).all(2))
    assert np.abs(ours.astype(int) - wanted).mean() < 3


def test_threads_that_look_at_one_picture_at_once_see_the_same() -> None:
    picture = decoded(street(960, 540))
    ways: list[Callable[[], Image]] = [picture.whole, lambda: picture.resized((256, 448)), lambda: picture.sampled(16)]
    wanted = [decoded(street(960, 540)).whole(), *(way() for way in ways[1:])]
    found: list[list[Image]] = [[] for _ in ways]
    threads = [
        threading.Thread(target=lambda k=k: [found[k].append(ways[k]()) for _ in range(20)]) for k in (0, 1, 1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(images) for images in found] == [20, 40, 20]
    for images, one in zip(found, wanted, strict=True):
        assert all(np.array_equal(image, one) for image in images)


class Seeing(NullEngine):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []

    def infer(self, image: Image) -> Ids:
        self.seen.append(image.tobytes())
        return super().infer(image)


class Watcher(Sink):
    """Looks at every picture."""

    name = "watcher"

    def publish(self, result: Result) -> None:
        assert result.frame.image.shape == (*result.frame.size, 3)


def test_a_run_that_nobody_watches_converts_the_first_picture_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its engine sees the same as that of one that is watched."""
    clip, made = write_clip(tmp_path / "a.mp4", frames=12), set()
    convert = DecodedPicture.whole
    monkeypatch.setattr(DecodedPicture, "whole", lambda self: (made.add(self), convert(self))[1])
    seen, counts = [], []
    for sinks in ([], [Watcher()]):
        for options in ({"paced": False}, {"rate": 200.0}):
            engine = Seeing()
            Pipeline(open_source(str(clip), **options), engine, sinks, policy="every").run()
            seen.append(engine.seen)
            counts.append(len(made))
            made.clear()
    assert counts == [1, 1, 12, 12]
    assert len(set(seen[0])) == 12
    assert seen[1:] == seen[:1] * 3


@pytest.fixture
def changing(tmp_path: Path) -> Path:
    """A video whose second half has colours that cannot be converted."""
    plain = write_clip(tmp_path / "a.h264", frames=10)
    strange = remux(plain, tmp_path / "b.h264", "h264_metadata=matrix_coefficients=8")
    file = tmp_path / "c.h264"
    file.write_bytes(plain.read_bytes() + strange.read_bytes())
    return file


def test_colours_that_change_on_the_way_are_told_by_the_source(changing: Path) -> None:
    """And not by the stage that first asks for the pixels."""
    frames, error = read(VideoFile(changing))
    assert len(frames) == 10
    assert re.search(r"c\.h264 has colours that cannot be converted \(yuv420p with matrix 8\): \w", str(error))


def test_a_batch_tells_them_too(changing: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "drivenet", "batch", changing, "--out", tmp_path / "out", "--backend", "null"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr.count("c.h264 has colours that cannot be converted (yuv420p with matrix 8)") == 1
    assert "Traceback" not in ended.stderr
