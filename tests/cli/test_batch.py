"""Batches of videos: how they are cut, that kills change nothing, and that what is done is done once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from cli_parts import call, decoded
from onnx_models import SIZE, paint, palette_model, sure_things_model

import drivenet
from drivenet.batch.crew import MOST_DEATHS
from drivenet.batch.plan import Segment, frames_of, plan
from drivenet.batch.pool import in_pool
from drivenet.batch.run import MANIFEST, executor, run
from drivenet.batch.work import Job, is_done
from drivenet.engine import open_engine
from drivenet.errors import EngineError, NoVideoError, SinkError, SourceError, UsageError
from drivenet.labels import CITYSCAPES, GROUPS
from drivenet.sources.video import VideoFile

pytest.importorskip("pyarrow", reason="pyarrow (extra [batch]) is not installed")
FRAMES, KEYS, LEAST = 30, 8, 10


#: Of the containers that do not hold H.264, or not with frames out of order.
CODECS = {".mpg": "mpeg2video", ".avi": "mpeg4", ".webm": "libvpx"}


def clip(file: Path, seed: int, frames: int = FRAMES, b_frames: int = 2) -> Path:
    """A small video with a key frame every eight frames, at least, and frames stored out of order."""
    file.parent.mkdir(parents=True, exist_ok=True)
    ids = np.full(SIZE, CITYSCAPES.id_of("road"), np.uint8)
    with av.open(str(file), "w") as container:
        codec, options = CODECS.get(file.suffix, "libx264"), {"bf": str(b_frames), "sc_threshold": "0"}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = SIZE[1], SIZE[0]
        stream.gop_size = KEYS
        for i in range(frames):
            shown = ids.copy()
            shown[4:12, (seed + i) % 36 : (seed + i) % 36 + 10] = CITYSCAPES.id_of("car")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(paint(shown, CITYSCAPES), format="bgr24")))
        container.mux(stream.encode())
    return file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clips and a model."""
    monkeypatch.chdir(tmp_path)
    palette_model(tmp_path, "city", CITYSCAPES)
    for i, name in enumerate(("town/one.mp4", "town/two.mp4", "village/one.mkv")):
        clip(tmp_path / "videos" / name, 7 * i)
    return tmp_path


OPENER = {"engine": "city.onnx", "backend": "onnxruntime", "threads": 1}


def videos(folder: Path) -> list[Path]:
    return sorted((folder / "videos").rglob("*.m*"))


def outputs(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}


def test_segments_begin_at_key_frames_and_hold_every_frame_once(here: Path) -> None:
    files = videos(here)
    segments = plan(files, LEAST)
    assert segments == plan(files, LEAST), "by what is in the file alone"
    assert [s.folder for s in segments if s.output == "town/one"] == ["town/one/00000", "town/one/00001"]
    for file in files:
        parts = [list(frames_of(s)) for s in segments if s.file == str(file)]
        whole = decoded(file)
        assert [f.index for part in parts for f in part] == list(range(FRAMES))
        for frame, image in zip((f for part in parts for f in part), whole, strict=True):
            np.testing.assert_array_equal(frame.image, image)
        assert all(len(part) >= LEAST for part in parts[:-1])


def later(file: Path, to: Path, frames: int) -> Path:
    """A copy without its first frames as cutters make it: they are in the file, and its edit list leaves them out."""
    with av.open(str(file)) as source, av.open(str(to), "w") as container:
        stream = source.streams.video[0]
        out = container.add_stream_from_template(stream)
        ticks = round(frames / (stream.average_rate * stream.time_base))
        for packet in source.demux(stream):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, out
                container.mux(packet)
    return to


def test_no_container_loses_frames_where_segments_begin(here: Path) -> None:
    """MPEG-TS is sought to any packet: half of such a file's frames were left out, and the others had wrong numbers."""
    files = [clip(here / f"seek.{kind}", 0) for kind in ("ts", "mpg", "flv", "avi", "webm", "h264")]
    files.append(here / "joined.ts")
    files[-1].write_bytes(files[0].read_bytes() + clip(here / "other.ts", 5).read_bytes())
    files.append(later(clip(here / "all.mp4", 0), here / "later.mp4", 12))
    for file in files:
        with VideoFile(file) as video:
            whole = list(video)
        found = [frame for segment in plan([file], LEAST) for frame in frames_of(segment)]
        assert len(whole) == {"joined.ts": 2 * FRAMES, "later.mp4": FRAMES - 12}.get(file.name, FRAMES), file.name
        assert [frame.index for frame in found] == list(range(len(whole))), file.name
        for ours, theirs in zip(found, whole, strict=True):
            np.testing.assert_array_equal(ours.image, theirs.image, file.name)
        assert found[0].media_ns == 0, "counted from the beginning of the file, whatever its first stamp"


def test_what_is_no_video_is_told_before_anything_is_done(here: Path) -> None:
    (here / "videos" / "empty.mp4").touch()
    with pytest.raises(SourceError, match=r"empty\.mp4"):
        plan(videos(here))
    with pytest.raises(UsageError, match="no video files"):
        run([], OPENER, Job(here / "out"), executor(1))
    clip(here / "videos" / "town" / "one.mkv", 3)
    with pytest.raises(UsageError, match=r"two files named 'town/one' but for their suffix"):
        plan([f for f in videos(here) if f.stat().st_size])
    assert issubclass(NoVideoError, SourceError)


def test_a_video_that_is_cut_short_is_told_before_anything_is_done(here: Path) -> None:
    file = clip(here / "cut.mkv", 0, frames=300)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    with pytest.raises(SourceError, match=r"cut\.mkv is cut short after \d+ frames: .*copy or record it again"):
        plan([file], LEAST)


def test_a_name_with_a_colon_is_no_address(here: Path) -> None:
    found = plan([clip(Path("ab.mp4"), 0).rename("a:b.mp4")], LEAST)
    assert len([frame for segment in found for frame in frames_of(segment)]) == FRAMES


def test_a_segment_has_its_classes_scenes_and_things(here: Path) -> None:
    import pyarrow.parquet as pq

    out = here / "out"
    assert run(videos(here), OPENER, Job(out, overlay=True), executor(1), least=LEAST) == 6
    folder = out / "town" / "one" / "00000"
    assert {f.name for f in folder.iterdir()} == {
        "classes.mkv", "overlay.mkv", "scenes.parquet", "segment.json", "instances.json"
    }  # fmt: skip
    engine = open_engine(**OPENER)
    (first, *_) = plan(videos(here), LEAST)
    with av.open(str(folder / "classes.mkv")) as container:
        stored = [f.to_ndarray(format="gray") for f in container.decode(video=0)]
    for frame, ids in zip(frames_of(first), stored, strict=True):
        np.testing.assert_array_equal(engine.infer(frame.image), ids)
    engine.close()
    rows = pq.read_table(folder / "scenes.parquet").to_pylist()
    assert [row["frame"] for row in rows] == list(range(len(stored)))
    assert rows[0]["group_road"] > 0.5
    columns = {name for name in rows[0] if name.startswith("group_")}
    assert columns == {f"group_{name}" for name in GROUPS}, "also of what is in no frame of the segment"
    assert json.loads((folder / "instances.json").read_text())["annotations"]
    assert json.loads((folder / "segment.json").read_text())["frames"] == len(stored)


def test_things_that_touch_are_apart_if_the_engine_parts_them(here: Path) -> None:
    """Two cars side by side: half the picture each, of an engine that says where their centres are."""
    ids = np.full(SIZE, CITYSCAPES.id_of("car"), np.uint8)
    rows, columns = np.mgrid[: SIZE[0] // 2, : SIZE[1] // 2]
    centres = np.zeros(rows.shape, np.uint8)
    centres[8, [6, 18]] = 200
    offsets = np.stack([128 + 8 - rows, 128 + np.where(columns < 12, 6, 18) - columns]).astype(np.uint8)
    model = sure_things_model(here, centres, offsets, labels=CITYSCAPES)
    with av.open("still.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = SIZE[1], SIZE[0]
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(paint(ids, CITYSCAPES), format="bgr24")))
        container.mux(stream.encode())
    run([Path("still.mp4")], {**OPENER, "engine": str(model)}, Job(here / "out"), executor(1))
    found = json.loads((here / "out" / "still" / "00000" / "instances.json").read_text())["annotations"]
    assert sorted((a["image_id"], *a["bbox"]) for a in found) == [
        (image, x, 0, SIZE[1] // 4, SIZE[0] // 2) for image in (1, 2) for x in (0, 12)
    ]


def test_a_second_run_does_nothing_twice(here: Path) -> None:
    out = here / "out"
    run(videos(here)[:1], OPENER, Job(out), executor(1), least=LEAST)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.parent.name.startswith("0")}
    assert run(videos(here)[:1], OPENER, Job(out), executor(1), least=LEAST) == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before
    (out / ".." / "out" / "one" / ".00001.dead").mkdir()
    (before_manifest := out / MANIFEST).unlink()
    run(videos(here)[:1], OPENER, Job(out), executor(1), least=LEAST)
    assert len(before_manifest.read_text().splitlines()) == 2
    assert not list(out.rglob(".00001.*")), "what a kill left is gone"


def test_a_folder_that_another_command_works_in_is_refused(here: Path) -> None:
    """It removed what the other one had begun, which then ended with "cannot write"."""
    refused = []

    def meanwhile(done: int, total: int) -> None:
        (begun := here / "out" / "two" / ".00000.0123abcd").mkdir(parents=True, exist_ok=True)
        with pytest.raises(SinkError, match="out is being written by another program; expected an output of its own"):
            run(videos(here)[1:2], OPENER, Job(here / "out"), executor(1), least=LEAST)
        refused.append(begun.is_dir())

    assert run(videos(here)[:1], OPENER, Job(here / "out"), executor(1), meanwhile, least=LEAST) == 2
    assert refused == [True] * 3
    assert run(videos(here)[1:2], OPENER, Job(here / "out"), executor(1), least=LEAST) == 2


@pytest.mark.parametrize("other", ["cut", "video", "model", "precision", "overlay"])
def test_what_another_command_has_done_is_not_taken_for_its_own(here: Path, other: str) -> None:
    run(videos(here)[:1], OPENER, Job(here / "out"), executor(1), least=LEAST)
    before = outputs(here / "out")
    palette_model(here, "town", CITYSCAPES, size=(16, 24))
    clip(here / "elsewhere" / "one.mp4", 11)
    opener = {**OPENER, **{"model": {"engine": "town.onnx"}, "precision": {"precision": "fp32"}}.get(other, {})}
    files = [here / "elsewhere" / "one.mp4"] if other == "video" else videos(here)[:1]
    with pytest.raises(UsageError, match=rf"out/one/0000\d was made of or with another .*{other}.*another --out"):
        run(
            files,
            opener,
            Job(here / "out", other == "overlay"),
            executor(1),
            least=9 * LEAST if other == "cut" else LEAST,
        )
    assert outputs(here / "out") == before


def test_what_an_earlier_version_has_done_is_kept(here: Path) -> None:
    run(videos(here)[:1], OPENER, Job(here / "out"), executor(1), least=LEAST)
    for file in (here / "out").rglob("segment.json"):
        facts = json.loads(file.read_text())
        file.write_text(json.dumps({k: v for k, v in facts.items() if k not in ("asked", "bytes")}))
    assert run(videos(here)[:1], OPENER, Job(here / "out"), executor(1), least=LEAST) == 0


def test_a_picture_is_no_video(here: Path) -> None:
    picture = here / "street.png"
    cv2.imwrite(str(picture), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(
        NoVideoError, match=r"street\.png is a picture; expected video files; drivenet run takes pictures"
    ):
        plan([picture], LEAST)


def kill_at_work(pid: int, out: Path) -> None:
    """Kill a process as soon as another segment is in hand, from a thread of its own."""
    before = set(out.rglob(".0*/*"))

    def wait_and_kill() -> None:
        while set(out.rglob(".0*/*")) <= before:
            time.sleep(0.002)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    threading.Thread(target=wait_and_kill, daemon=True).start()


def kill_and_wait(pid: int, _: Path) -> None:
    """Kill a process, and go on when it is dead: nothing can be sent to it any more."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("kill", [kill_and_wait, kill_at_work])
def test_killed_workers_change_no_byte(here: Path, kill: Callable[[int, Path], None]) -> None:
    """Of every worker at the beginning, before it has opened its engine, or at work."""
    job, alone = Job(here / "pool"), Job(here / "alone")
    run(videos(here), OPENER, alone, executor(1), least=LEAST)
    killed: list[int] = []

    def started(pid: int) -> None:
        if len(killed) < 4:
            killed.append(pid)
            kill(pid, job.out)

    done = run(videos(here), OPENER, job, lambda s, o, j: in_pool(s, 2, o, j, started), least=LEAST)
    assert done == 6
    assert len(killed) == 4
    assert outputs(job.out) == outputs(alone.out)


@pytest.mark.parametrize(
    ("kill", "says"), [(kill_and_wait, "opening the engine"), (kill_at_work, r"segment 0 of .*town/one\.mp4")]
)
def test_what_kills_every_worker_ends_the_run(here: Path, kill: Callable[[int, Path], None], says: str) -> None:
    def pool(*args: object) -> Iterator[Segment]:
        return in_pool(*args[:1], 1, *args[1:], lambda pid: kill(pid, here / "out"))  # type: ignore[arg-type]

    with pytest.raises(EngineError, match=f"{says} killed {MOST_DEATHS} workers"):
        run(videos(here)[:1], OPENER, Job(here / "out"), pool, least=LEAST)


def test_what_a_worker_raises_is_raised(here: Path) -> None:
    (here / "city.json").unlink()
    Path("city.onnx").write_bytes(b"no model")
    with pytest.raises(EngineError) as raised:
        run(videos(here), OPENER, Job(here / "out"), executor(2), least=LEAST)
    assert "city.onnx" in str(raised.value)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_where_nobody_listens_is_told_before_anything_is_done(here: Path, scheme: str) -> None:
    """Without waiting for Ray, which would try for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"{scheme}127.0.0.1:{port}", f"{scheme}127.0.0.1:{port}0000"):
        with pytest.raises(EngineError, match=rf"no Ray cluster at {address}: .*; expected ray://HOST:PORT"):
            run(videos(here), OPENER, Job(here / "out"), executor(2, address), least=LEAST)
    assert not list((here / "out").glob("*/*")), "nothing was begun"


COMMAND = (
    "batch",
    "videos/**/*.m*",
    "--engine",
    "city.onnx",
    "--backend",
    "onnxruntime",
    "--threads",
    1,
    "--out",
    "out",
)


def test_a_killed_driver_goes_on_where_it_was(here: Path) -> None:
    """Its workers end with it, and the second run gives the bytes of one that was not killed."""
    command = [sys.executable, "-m", "drivenet", *map(str, COMMAND), "--workers", "2", "--segment-frames", str(LEAST)]
    environment = {**os.environ, "PYTHONPATH": str(Path(drivenet.__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as driver:
        until = time.monotonic() + 90
        while not list((here / "out").glob("*/*/0*/segment.json")) and driver.poll() is None:
            assert time.monotonic() < until, "nothing is ever done"
            time.sleep(0.02)
        driver.kill()
    segments = plan(videos(here), LEAST)
    assert any(is_done(s, here / "out") for s in segments)
    assert call(*COMMAND, "--workers", 2, "--segment-frames", LEAST) == 0
    assert call(*COMMAND[:-1], "alone", "--segment-frames", LEAST) == 0
    assert outputs(here / "out") == outputs(here / "alone")
    lines = [json.loads(line) for line in (here / "out" / MANIFEST).read_text().splitlines()]
    assert [(line["output"], line["number"]) for line in lines] == [(s.output, s.number) for s in segments]


@pytest.mark.parametrize(
    ("code", "says", "options"),
    [
        (3, "no videos match nothing/*.mp4", ("batch", "nothing/*.mp4", "--out", "out")),
        (5, "cannot write", ("batch", "videos/town/one.mp4", "--out", "city.onnx")),
        (4, "no engine 'gone'", ("batch", "videos/town/one.mp4", "--out", "out", "--engine", "gone")),
    ],
)
def test_what_cannot_be_right_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], code: int, says: str, options: tuple[str, ...]
) -> None:
    assert call(*options) == code
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1
