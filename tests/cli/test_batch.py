"""Batches of videos: how they are cut, what a segment holds, and that what is done is done once."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from batch_parts import FRAMES, LEAST, OPENER, clip, videos
from cli_parts import decoded
from onnx_models import SIZE, paint, sure_things_model

from drivenet.batch.plan import frames_of, plan
from drivenet.batch.run import MANIFEST, executor, run
from drivenet.batch.work import Job
from drivenet.engine import open_engine
from drivenet.errors import NoVideoError, SinkError, SourceError, SourceLostError, UsageError
from drivenet.labels import CITYSCAPES, GROUPS
from drivenet.sources.video import VideoFile

pytest.importorskip("pyarrow", reason="pyarrow (extra [batch]) is not installed")


@pytest.fixture
def here(three_clips: Path) -> Path:
    return three_clips


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


def hevc(file: Path) -> Path:
    """As :func:`clip`; not as small, which libx265 answers by writing over memory that is not its own."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "keyint=8:bframes=2:log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(FRAMES):
            grey = np.full((120, 160, 3), 8 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="bgr24")))
        container.mux(stream.encode())
    return file


def test_a_picture_that_the_decoder_leaves_out_in_silence_ends_a_batch(here: Path) -> None:
    """HEVC's decoder gives no error for a picture whose reference is lost: later frames had wrong numbers."""
    if "libx265" not in av.codecs_available:
        pytest.skip("needs libx265 in PyAV")
    whole, file = hevc(here / "hevc.mov"), here / "damaged.mov"
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size and not p.is_keyframe]
    at, size = packets[FRAMES // 2]
    data[at + 4 : at + size] = bytes(size - 4)
    file.write_bytes(data)
    assert sum(len(list(frames_of(segment))) for segment in plan([whole], LEAST)) == FRAMES
    with pytest.raises(SourceLostError, match=r"damaged\.mov lost \d+ pictures.*copy it again, or leave it out"):
        [list(frames_of(segment)) for segment in plan([file], LEAST)]


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
