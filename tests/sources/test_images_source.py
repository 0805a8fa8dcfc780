"""Pictures in folders and globs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from source_clips import as_ordinary_user, read

from drivenet.errors import NoVideoError, SourceError, SourceNotFoundError
from drivenet.sources import kind_of
from drivenet.sources.images import Images, open_images
from drivenet.sources.options import Options
from drivenet.sources.replay import Replay


def save(path: Path, value: int, size: tuple[int, int] = (20, 30)) -> Path:
    assert cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))
    return path


def open_(path: Path | str) -> Images:
    return open_images(str(path), Options())


def test_a_folder_in_natural_order(tmp_path: Path) -> None:
    for value in (10, 2, 1):
        save(tmp_path / f"street_{value}.png", value)
    (tmp_path / "notes.txt").write_text("no picture")
    source = open_(tmp_path)
    assert (source.frames, source.live, source.size) == (3, False, None)
    frames, error = read(source)
    assert error is None
    assert [(f.index, int(f.image[0, 0, 0])) for f in frames] == [(0, 1), (1, 2), (2, 10)]


def test_a_single_picture_and_a_glob(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    save(tmp_path / "b.PNG", 2)
    save(tmp_path / "c.bmp", 3)
    assert len(list(open_(tmp_path / "a.png"))) == 1
    assert len(list(open_(tmp_path / "?.*"))) == 3
    assert len(list(open_(tmp_path / "*.png"))) == 1


def test_a_name_that_looks_like_a_glob(tmp_path: Path) -> None:
    save(tmp_path / "a[1].png", 1)
    assert len(list(open_(tmp_path / "a[1].png"))) == 1


def test_hidden_files_of_a_folder_are_no_pictures(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    (tmp_path / "._a.png").write_bytes(b"\0\x05\x16\x07\0\x02\0\0Mac OS X")  # what a Mac leaves on memory sticks
    assert len(list(open_(tmp_path))) == 1
    assert len(list(open_(save(tmp_path / ".b.png", 1)))) == 1


@pytest.mark.parametrize("name", [".", "*.png", "b.png"])
def test_a_link_that_leads_nowhere_is_told(tmp_path: Path, name: str) -> None:
    save(tmp_path / "a.png", 1)
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    _, error = read(open_(tmp_path / name))
    assert "b.png cannot be read: no such file" in str(error)


@pytest.mark.parametrize("name", ["closed", "closed/a.png", "closed/*.png"])
def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # the folders above are closed to others
    with as_ordinary_user(), pytest.raises(SourceError, match=r"closed.* cannot be read: permission denied"):
        open_(name)


def test_jpeg_by_other_names(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", 1).rename(tmp_path / "a.JFIF")
    save(tmp_path / "b.jpg", 1).rename(tmp_path / "b.mpo")
    assert len(list(open_(tmp_path))) == 2
    assert kind_of(str(tmp_path / "a.JFIF")) == "images"


def test_sizes_may_differ_and_greys_become_bgr(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1, (20, 30))
    cv2.imwrite(str(tmp_path / "b.png"), np.full((40, 10), 60000, np.uint16))
    frames = list(open_(tmp_path))
    assert [f.size for f in frames] == [(20, 30), (40, 10)]
    assert int(frames[1].image[0, 0, 2]) == 234


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_a_damaged_picture_is_named(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / f"1{suffix}", 1)
    bad = save(tmp_path / f"2{suffix}", 2)
    bad.write_bytes(bad.read_bytes()[:60])
    frames, error = read(open_(tmp_path))
    assert len(frames) == 1
    skip = "drivenet run --damaged skip leaves damaged pictures out and goes on"
    assert str(error) == f"{bad} is damaged or no picture; remove or replace it; {skip}"
    assert str(read(open_(bad))[1]) == f"{bad} is damaged or no picture; remove or replace it"
    assert capfd.readouterr().err == ""


def test_files_that_only_look_like_pictures(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    for name in ("text.png", "empty.png"):
        _, error = read(open_(tmp_path / name))
        assert isinstance(error, SourceError)
        assert name in str(error)


def test_a_picture_that_went_away(tmp_path: Path) -> None:
    source = open_(save(tmp_path / "a.png", 1))
    (tmp_path / "a.png").unlink()
    _, error = read(source)
    assert "a.png cannot be read: no such file" in str(error)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NoVideoError, match="holds no pictures"):
        open_(tmp_path)
    with pytest.raises(SourceNotFoundError, match=r"no file .*\*\.png"):
        open_(tmp_path / "*.png")
    (tmp_path / "a.mp4").touch()
    with pytest.raises(NoVideoError, match="holds no pictures"):
        open_(tmp_path / "*.mp4")


def test_closing(tmp_path: Path) -> None:
    save(tmp_path / "1.png", 1)
    save(tmp_path / "2.png", 2)
    source = open_(tmp_path)
    frames = iter(source)
    next(frames)
    source.close()
    assert not list(frames)


def test_sub_folders_are_read_too_and_frames_know_their_files(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.png", "a/1.png", "top.png", ".hidden/3.png", "@eaDir/4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path / name, 1)
    assert [f.file for f in open_(tmp_path)] == ["a/1.png", "b/2.png", "b/10.png", "top.png"]
    assert [f.file for f in open_(tmp_path / "**" / "*.png")] == ["a/1.png", "b/2.png", "b/10.png", "top.png"]
    assert [f.file for f in open_(tmp_path / "b" / "*.png")] == ["2.png", "10.png"]
    assert [f.file for f in open_(tmp_path / "*" / "1.png")] == ["a/1.png"]
    assert [f.file for f in open_(tmp_path / "b" / "2.png")] == ["2.png"]


def test_a_replay_keeps_the_files(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    assert [f.file for f in Replay(open_(tmp_path), 1000.0)] == ["a.png"]


def test_damaged_pictures_end_the_source_or_are_left_out(tmp_path: Path) -> None:
    whole = save(tmp_path / "1.jpg", 1, (200, 300)).read_bytes()
    (tmp_path / "2.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "3.png").write_text("no picture")
    save(tmp_path / "4.png", 4)
    frames, error = read(open_(tmp_path))
    assert len(frames) == 1
    assert "2.jpg is damaged or no picture; remove or replace it; drivenet run --damaged skip leaves" in str(error)
    source = open_images(str(tmp_path), Options(damaged="skip"))
    frames, error = read(source)
    assert error is None
    assert [(f.index, f.file) for f in frames] == [(0, "1.jpg"), (1, "4.png")]
    assert source.status().lost_frames == 2


def test_a_folder_of_damaged_pictures_only(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    frames, error = read(open_images(str(tmp_path), Options(damaged="skip")))
    assert frames == []
    assert isinstance(error, NoVideoError)
    assert "holds damaged pictures only" in str(error)
