"""Which source a string names."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from source_clips import write_clip
from source_servers import recording, serve, stream

from drivenet.errors import SourceError, SourceNotFoundError, UsageError
from drivenet.sources import files_of, kind_of, open_source


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("0", "camera"),
        ("12?size=640x480", "camera"),
        ("/dev/video0", "camera"),
        ("/dev/v4l/by-id/usb-cam", "camera"),
        ("v4l2:///dev/video0", "camera"),
        ("csi://0", "csi"),
        ("RTSP://camera/1", "stream"),
        ("rtsps://camera/1", "stream"),
        ("rtmp://host/app/key", "stream"),
        ("http://host/a.mp4", "stream"),
        ("https://host/snapshot.jpg", "stream"),
        ("udp://0.0.0.0:5000", "stream"),
        ("tcp://host:5000", "stream"),
        ("clip.mp4", "video"),
        ("file:///data/a%20clip.mp4", "video"),
        ("picture.JPG", "images"),
        ("file:///data/picture.png", "images"),
        ("frames/*.png", "images"),
        (".", "images"),
        ("synthetic://64x48@30", "synthetic"),
    ],
)
def test_kinds(uri: str, kind: str) -> None:
    assert kind_of(uri) == kind


def test_files_are_those_that_are_read(tmp_path: Path) -> None:
    for name in ("a/2.png", "a/10.png", "a/.hidden.png", "a/text.txt", "b/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files_of(f"file://localhost{tmp_path}/a%20clip.mp4") == [tmp_path / "a clip.mp4"]
    assert files_of(f"{tmp_path}/a") == [tmp_path / "a" / "2.png", tmp_path / "a" / "10.png"]
    assert files_of(f"{tmp_path}/?/1*") == [tmp_path / "a" / "10.png", tmp_path / "b" / "1.jpg"]
    assert files_of(f"FILE://{tmp_path}/b/1.jpg") == [tmp_path / "b" / "1.jpg"]
    for uri in ("0", "/dev/video0", "csi://0", "rtsp://camera/a.mp4", "synthetic://64x48@30"):
        assert files_of(uri) == []


def test_what_names_nothing() -> None:
    with pytest.raises(UsageError, match=r"rtps://\*\*\*@camera/1 has the unknown scheme rtps; did you mean rtsps?\?"):
        open_source("rtps://admin:s3cret@camera/1")
    for broken in ("rtsp://[camera/1", "file://[x"):
        with pytest.raises(UsageError, match=r"an address of IPv6 in brackets"):
            open_source(broken)
    with pytest.raises(UsageError, match="an empty source"):
        open_source("")
    with pytest.raises(SourceNotFoundError, match="no file webcam; expected a file, a folder"):
        open_source("webcam")
    with pytest.raises(SourceNotFoundError) as caught:
        open_source("admin:s3cret@camera/1")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("rtsp:/cam/1", "an address that begins with rtsp:/; expected rtsp://..."),
        ("rtsp//u:pw@cam/1", "an address that begins with rtsp//; expected rtsp://..."),
        ("SYNTHETIC:64x48@30", "an address that begins with SYNTHETIC:; expected synthetic://..."),
        ("file:drive.mp4", "expected file://..."),
        ("file://drive.mp4", "file://drive.mp4 names the machine drive.mp4; expected file:///PATH; or give the path"),
        ("file://data/drive.mp4", "names the machine data"),
        ("frames/%06d.png", "for numbered pictures a quoted glob: 'frames/*.png'"),
        ("rtsp://cam:70000/1", "rtsp://cam:70000/1 has no possible port; expected 1 to 65535"),
        ("rtsp://admin:123456/x@cam/1", "rtsp://***@cam/1 has no possible port; expected 1 to 65535; if a password is"),
    ],
)
def test_addresses_that_are_nearly_right(uri: str, said: str) -> None:
    with pytest.raises((UsageError, SourceNotFoundError)) as raised:
        open_source(uri, patient=True)
    assert said in str(raised.value)
    assert "pw" not in str(raised.value)


def test_a_file_with_the_name_of_an_address_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(Path("clip.mp4")).rename("rtsp:cam")
    with open_source("rtsp:cam", paced=False) as source:
        assert sum(1 for _ in source)


def test_files_and_folders(tmp_path: Path) -> None:
    write_clip(tmp_path / "a clip.mp4", frames=3)
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((4, 4, 3), np.uint8))
    for uri in (f"{tmp_path}/a clip.mp4", (tmp_path / "a clip.mp4").as_uri()):
        assert len(list(open_source(uri))) == 3
    for uri in (f"{tmp_path}", f"{tmp_path}/1.png", f"{tmp_path}/*.png"):
        assert len(list(open_source(uri))) == 1


def test_a_replayed_file_and_a_replayed_drive(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=3)
    for uri in (str(path), "synthetic://64x48@30?frames=3"):
        source = open_source(uri, rate=500)
        assert (source.fps, source.live) == (500, False)
        times = [f.captured_ns for f in source]
        assert [t - times[0] for t in times] == [0, 2_000_000, 4_000_000]


def test_a_drive_out_of_step() -> None:
    assert open_source("synthetic://64x48@30").live
    assert not open_source("synthetic://64x48@30", paced=False).live


def test_a_live_stream_is_opened_again_unless_told_otherwise(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts").read_bytes() * 20  # not over before it is asked for
    with serve({"/live": stream(data), "/a.ts": recording(data)}) as address:
        source = open_source(f"{address}/live")
        assert source.live
        frames = list(itertools.islice(source, 8))
        assert [f.index for f in frames] == list(range(8))
        source.close()
        source = open_source(f"{address}/live", reconnect=False)
        with pytest.raises(SourceError):
            list(source)
        source.close()


def test_a_recording_on_the_network_ends(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.mp4", movflags="faststart").read_bytes()
    with serve({"/a.mp4": recording(data)}) as address:
        source = open_source(f"{address}/a.mp4")
        assert not source.live
        assert [f.index for f in source] == list(range(30))
        source.close()


def test_a_rate_for_a_live_stream(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts").read_bytes()
    with serve({"/live": stream(data, hold=True)}) as address, pytest.raises(UsageError, match="which is live"):
        open_source(f"{address}/live", rate=30)


def test_backends_are_imported_when_they_are_named() -> None:
    code = "import sys, drivenet.sources as s; s.kind_of('a.mp4'); print({'av', 'cv2', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_process_ends_while_a_stream_blocks(tmp_path: Path) -> None:
    """The thread of a stream that has fallen silent does not keep the process alive, nor crash it."""
    data = write_clip(tmp_path / "a.ts").read_bytes()
    code = (
        "import sys; from drivenet.sources import open_source; s = open_source(sys.argv[1], timeout_s=60)\n"
        "print(next(iter(s)).index); s.close()"
    )
    with serve({"/live": stream(data, hold=True)}) as address:
        done = subprocess.run(
            [sys.executable, "-c", code, f"{address}/live"], capture_output=True, text=True, timeout=50, check=False
        )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "0", "")


def test_a_path_and_a_number_are_sources_too(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    with open_source(clip) as source:
        assert next(iter(source)).index == 0
    with pytest.raises(SourceError, match="camera 97"):
        open_source(97)
    for wrong in (1.5, None, b"clip.mp4", True):
        with pytest.raises(UsageError, match="expected an address, a path or a camera's number"):
            open_source(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="seed -1; expected 0 or more"):
        open_source("synthetic://96x64", seed=-1)
