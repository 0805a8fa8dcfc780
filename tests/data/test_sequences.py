"""Video sets in the layouts of their publishers: what is read, and what is missing named."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from drivenet.data.sequences import VIDEO_SETS, open_video_set
from drivenet.data.sequences.base import FrameSequence, VideoSet
from drivenet.data.sequences.files import snippets
from drivenet.data.sequences.synthetic import SyntheticSequence
from drivenet.data.sequences.write import write_cityscapes_video
from drivenet.errors import ConfigError, SourceError, UsageError
from drivenet.labels import CAMVID, CITYSCAPES
from drivenet.sources import open_source

SIZE = (64, 128)
CAR = CITYSCAPES.id_of("car")


def drive(seed: int) -> SyntheticSequence:
    return SyntheticSequence(1_000_000 + seed, 30, SIZE)


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    write_cityscapes_video(tmp_path, "val", [("aton", [drive(0)]), ("beton", [drive(1), drive(2)])])
    return tmp_path


def check(found: VideoSet) -> None:
    """Every frame has an image, every label its size, and names are distinct."""
    for sequence in found.sequences:
        images = list(sequence.frames())
        assert len(images) == len(sequence) == len(set(sequence.names))
        for i in sequence.labelled:
            truth = sequence.truth(i)
            assert truth.ids.shape == images[i].shape[:2]
            if truth.instances is not None:
                assert truth.instances.shape == truth.ids.shape
                assert 0 <= truth.instances.min() <= truth.instances.max() < 65536


def test_cityscapes_snippets_have_their_label_at_the_20th_frame(cityscapes: Path) -> None:
    found = open_video_set("cityscapes-video", cityscapes)
    check(found)
    assert [(s.group, s.name, len(s), s.labelled) for s in found.sequences] == [
        ("aton", "aton_000000_000019", 30, (19,)),
        ("beton", "beton_000000_000019", 30, (19,)),
        ("beton", "beton_000001_000019", 30, (19,)),
    ]
    assert (found.frames, found.labelled, found.missing) == (90, 3, ())
    assert "person" in found.things
    written, read = drive(0).truth(19), found.sequences[0].truth(19)
    np.testing.assert_array_equal(read.ids, written.ids)
    assert written.instances is not None
    assert read.instances is not None
    parted = 0
    for name in found.things:
        mask = written.ids == CITYSCAPES.id_of(name)
        pairs = set(zip(written.instances[mask].tolist(), read.instances[mask].tolist(), strict=True))
        assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs), "a thing is a thing"
        assert all((b - 1) // 1000 == CITYSCAPES.id_of(name) for _, b in pairs)
        parted += len(pairs)
    assert parted > 3


def test_what_is_missing_of_cityscapes_is_named_and_left_out(cityscapes: Path) -> None:
    frames = cityscapes / "leftImg8bit_sequence" / "val"
    (frames / "beton" / "beton_000000_000003_leftImg8bit.png").unlink()
    (cityscapes / "gtFine" / "val" / "beton" / "beton_000001_000019_gtFine_labelIds.png").unlink()
    (frames / "ceton").mkdir()
    (cityscapes / "gtFine" / "val" / "aton" / "aton_gtFine_labelIds.png").touch()
    found = open_video_set("cityscapes-video", cityscapes)
    assert [s.name for s in found.sequences] == ["aton_000000_000019"]
    told = " | ".join(found.missing)
    assert "no labels of ceton" in told
    assert "aton of aton: no number of a frame" in told
    assert "beton_000000_000019: no frame beton_000000_000003" in told
    assert "no labels for 30 frames of beton: beton_000001_000000" in told
    for file in (cityscapes / "gtFine" / "val" / "aton").iterdir():
        file.unlink()
    with pytest.raises(SourceError, match=r"no whole snippet in .*: no labels of ceton"):
        open_video_set("cityscapes-video", cityscapes)


def test_instances_of_another_size_than_their_label_are_told(cityscapes: Path) -> None:
    file = cityscapes / "gtFine/val/aton/aton_000000_000019_gtFine_instanceIds.png"
    cv2.imwrite(str(file), np.full((32, 64), 7, np.uint16))
    with pytest.raises(SourceError, match=r"instanceIds\.png is \(32, 64\); expected \(64, 128\), as its label file"):
        open_video_set("cityscapes-video", cityscapes).sequences[0].truth(19)


def test_frames_are_in_the_orientation_of_their_labels(tmp_path: Path) -> None:
    """As for single images: a mark that turns frames does not lay their labels on their side."""
    for i in range(2):
        image = cv2.imencode(".jpg", np.full((64, 128, 3), 90, np.uint8))[1].tobytes()
        mark = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
        for folder, content in (
            ("frames", image[:2] + b"\xff\xe1" + (len(mark) + 2).to_bytes(2, "big") + mark + image[2:]),
            ("labels", cv2.imencode(".png", np.zeros((64, 128), np.uint8))[1].tobytes()),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{i}.{'jpg' if folder == 'frames' else 'png'}").write_bytes(content)
    (tmp_path / "set.yaml").write_text("sequences:\n  - {frames: frames, labels: labels}\n")
    check(open_video_set("listed", tmp_path / "set.yaml"))


def test_camvid_is_a_frame_a_second(tmp_path: Path) -> None:
    for name in ("0001TP_000010", "0001TP_000040", "Seq05VD_f00000"):
        for folder, picture in (("val", np.zeros((4, 6, 3), np.uint8)), ("valannot", np.full((4, 6), 3, np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            assert cv2.imwrite(str(tmp_path / folder / f"{name}.png"), picture)
    found = open_video_set("camvid-video", tmp_path)
    check(found)
    assert [(s.name, len(s), s.consecutive) for s in found.sequences] == [("0001TP", 2, False), ("Seq05VD", 1, False)]
    assert found.labels is CAMVID
    assert found.things == ()


def test_kitti_step_has_tracks_in_its_colours(tmp_path: Path) -> None:
    for kind in ("training/image_02/0002", "panoptic_maps/val/0002"):
        (tmp_path / kind).mkdir(parents=True)
    for i in range(3):
        truth = np.zeros((4, 6, 3), np.uint8)
        truth[0] = 255  # no class
        truth[2:, :, 2], truth[2:, :, 1], truth[2:, :, 0] = CAR, 1, 4  # BGR: thing 260
        assert cv2.imwrite(str(tmp_path / f"training/image_02/0002/{i:06d}.png"), np.zeros((4, 6, 3), np.uint8))
        if i != 1:
            assert cv2.imwrite(str(tmp_path / f"panoptic_maps/val/0002/{i:06d}.png"), truth)
    found = open_video_set("kitti-step", tmp_path)
    check(found)
    (sequence,) = found.sequences
    assert (sequence.labelled, sequence.names[0], found.things) == ((0, 2), "0002_000000", ("person", "car"))
    truth = sequence.truth(2)
    assert truth.ids[:, 0].tolist() == [255, 0, CAR, CAR]
    assert truth.instances is not None
    assert truth.instances[2:].min() == truth.instances[2:].max() == 260


def test_viper_is_in_cityscapes_classes(tmp_path: Path) -> None:
    for kind in ("img", "cls", "inst"):
        (tmp_path / "val" / kind / "001").mkdir(parents=True)
    for i in (1, 10):
        assert cv2.imwrite(str(tmp_path / f"val/img/001/001_{i:05d}.jpg"), np.zeros((4, 6, 3), np.uint8))
    ids = np.array([[3, 24, 25, 0, 31, 20]] * 4, np.uint8)
    things = np.zeros((4, 6, 3), np.uint8)
    things[:, 1, 2], things[:, 1, 1], things[:, 1, 0] = 24, 1, 1
    assert cv2.imwrite(str(tmp_path / "val/cls/001/001_00010.png"), ids)
    assert cv2.imwrite(str(tmp_path / "val/inst/001/001_00010.png"), things)
    found = open_video_set("viper", tmp_path)
    check(found)
    truth = found.sequences[0].truth(1)
    assert truth.ids[0].tolist() == [0, CAR, CAR, 255, 255, CITYSCAPES.id_of("person")]
    assert truth.instances is not None
    assert truth.instances[0].tolist() == [0, 257, 0, 0, 0, 0]


def clip(file: Path, frames: int, rotation: int = 0) -> None:
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = 64, 48
        if rotation:
            stream.set_display_rotation(rotation)
        for i in range(frames):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * i % 256, np.uint8), "bgr24"))
            )
        container.mux(stream.encode())


YAML = """
name: mine
labels: camvid
sequences:
  - {frames: drive.mp4, labels: sparse, group: town, fps: 10}
  - {frames: folder, name: other}
"""


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    clip(tmp_path / "drive.mp4", 6)
    (tmp_path / "sparse").mkdir()
    assert cv2.imwrite(str(tmp_path / "sparse" / "frame_004.png"), np.full((48, 64), 3, np.uint8))
    (tmp_path / "folder").mkdir()
    for i in (2, 10):
        assert cv2.imwrite(str(tmp_path / "folder" / f"{i}.png"), np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "set.yaml").write_text(YAML)
    return tmp_path


def test_a_video_and_a_folder_with_sparse_labels(listed: Path) -> None:
    found = open_video_set("listed", listed / "set.yaml")
    check(found)
    video, folder = found.sequences
    assert (video.name, video.group, len(video), video.labelled, video.fps) == ("drive", "town", 6, (4,), 10)
    assert list(video.frames())[5].mean() == pytest.approx(45, abs=4)
    assert (folder.names, folder.labelled, folder.group) == (("other_2", "other_10"), (), "other")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("drive.mp4", "gone.mp4"), "no .*gone.mp4; expected a folder of images or a video"),
        (("name: other", "name: drive"), "names a sequence 'drive' twice"),
        (("labels: sparse", "labels: folder"), r"has no frame for label .*10\.png \(1 such\)"),
        (("labels: camvid", "labels: camvit"), "no label set 'camvit'"),
        (("group: town", "grouq: town"), "unknown key sequences.0.grouq"),
        (("name: other", "name: ../other"), r"'../other' as name or group of .*folder; expected a name without '\.\.'"),
        (("group: town", "group: /town"), "'/town' as name or group of .*drive.mp4; expected a name without"),
        (("name: other", "name: ."), "'.' as name or group of .*folder"),
    ],
)
def test_a_list_that_is_not_right_is_told(listed: Path, change: tuple[str, str], says: str) -> None:
    (listed / "set.yaml").write_text(YAML.replace(*change))
    with pytest.raises((SourceError, UsageError, ConfigError), match=says):
        open_video_set("listed", listed / "set.yaml")


@pytest.mark.parametrize(
    ("twice", "says"),
    [("sparse/other_4.png", r"labels .*frame_004\.png and other_4\.png are of one frame"),
     ("folder/10.jpg", r"images .*10\.jpg and 10\.png are of one frame")],
)  # fmt: skip
def test_two_files_of_one_frame_are_told(listed: Path, twice: str, says: str) -> None:
    """One of two labels won, by the order in which the disk gave them."""
    assert cv2.imwrite(str(listed / twice), np.full((48, 64), 5, np.uint8))
    with pytest.raises(SourceError, match=says):
        open_video_set("listed", listed / "set.yaml")


def test_a_folder_beside_its_list_is_named_by_itself(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name was empty, or dots: predictions were written above their folder, or to the root of the file system."""
    monkeypatch.chdir(listed / "folder")
    for frames, file in ((".", "set.yaml"), ("..", "sub/set.yaml"), ("../folder/", "set.yaml")):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text(f"sequences: [{{frames: {frames}}}]\n")
        (sequence,) = open_video_set("listed", Path(file)).sequences
        assert (sequence.name, sequence.group, sequence.names) == ("folder", "folder", ("folder_2", "folder_10"))


def one(tmp_path: Path, file: str) -> VideoSet:
    (tmp_path / "set.yaml").write_text(f"sequences: [{{frames: {file}}}]\n")
    return open_video_set("listed", tmp_path / "set.yaml")


def test_a_video_is_turned_upright_as_a_run_turns_it(tmp_path: Path) -> None:
    clip(tmp_path / "turned.mp4", 2, rotation=90)
    with open_source(tmp_path / "turned.mp4") as source:
        wanted = [frame.image for frame in source]
    found = list(one(tmp_path, "turned.mp4").sequences[0].frames())
    assert found[0].shape[0] > found[0].shape[1]
    np.testing.assert_array_equal(found, wanted)


def test_a_video_that_is_cut_short_is_no_shorter_sequence(tmp_path: Path) -> None:
    clip(tmp_path / "a.mkv", 250)
    whole = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(
        SourceError, match=r"a\.mkv is cut short after \d+ frames.*expected a whole video; copy or record"
    ):
        one(tmp_path, "a.mkv")


def test_the_synthetic_drive_knows_its_flow() -> None:
    sequence = drive(0)
    (before, after) = (image for image, _ in zip(sequence.frames(), range(2), strict=False))
    flow, seen = sequence.flow(1)
    assert flow.shape == (*SIZE, 2)
    grid = np.stack(np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0])), -1).astype(np.float32) + flow
    warped = cv2.remap(before, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR)
    moved, still = (np.abs(a.astype(float) - after)[seen].mean() for a in (warped, before))
    assert moved < still


def test_names_and_splits_that_there_are_not() -> None:
    with pytest.raises(UsageError, match="no video set 'cityscape-video'; did you mean cityscapes-video"):
        open_video_set("cityscape-video", None)
    with pytest.raises(UsageError, match="give --root DIR"):
        open_video_set("viper", None)
    with pytest.raises(UsageError, match="no split 'dev'"):
        open_video_set("synthetic-video", None, "dev")
    for name in sorted(VIDEO_SETS.keys() - {"synthetic-video"}):
        with pytest.raises((SourceError, ConfigError)):
            open_video_set(name, Path("/nowhere"))
    assert all(isinstance(s, FrameSequence) for s in open_video_set("synthetic-video", None).sequences)


def test_snippets_end_where_a_number_or_a_name_is_left_out() -> None:
    parts = (("a", "000000", range(5, 8)), ("a", "000001", range(8, 10)), ("b", "000001", range(10, 12)))
    names = [f"{city}/{city}_{drive}_{i:06d}" for city, drive, numbers in parts for i in numbers]
    for suffix in ("_leftImg8bit.png", ".jpg"):
        assert [len(part) for part in snippets([Path(name + suffix) for name in names])] == [3, 2, 2]
    assert [len(part) for part in snippets([Path("a1.png"), Path("a2.png"), Path("a4.png")])] == [2, 1]
    assert [len(part) for part in snippets([Path(f"a{i}.png") for i in range(0, 20, 2)])] == [10]
    assert [len(part) for part in snippets([Path("a.png"), Path("b.png"), Path("c/a.png")])] == [2, 1]


def test_names_that_are_times_are_one_snippet() -> None:
    """At 30 Hz steps are of 33 and 34 ms; one of 66 is a frame that was left out."""
    stamps = [Path(f"cam_{time}.png") for time in (1000, 1033, 1067, 1100, 1166, 1200)]
    assert [len(part) for part in snippets(stamps)] == [4, 2]


def test_a_root_that_nobody_would_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"for synthetic-video, which is drawn; .*; leave root out"):
        open_video_set("synthetic-video", tmp_path)
