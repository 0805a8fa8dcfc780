"""Temporal consistency: flow in files, what is carried along it, and mVC against a slow count."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.data.flow_files import read_flow, write_flo, write_kitti
from drivenet.data.sequences.base import FrameSequence
from drivenet.data.sequences.synthetic import SyntheticSequence
from drivenet.errors import SourceError, UsageError
from drivenet.evaluation.consistency import SequenceConsistency, video_consistency
from drivenet.evaluation.flow import FlowSource, resize_flow
from drivenet.labels import CITYSCAPES

SHAPE = (64, 128)


def test_flow_files_give_back_what_was_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    flow = rng.normal(0, 20, (*SHAPE, 2)).astype(np.float32)
    known = rng.random(SHAPE) < 0.9
    (tmp_path / "a.flo").write_bytes(write_flo(flow))
    read, everywhere = read_flow(tmp_path / "a.flo")
    np.testing.assert_array_equal(read, flow)
    assert everywhere.all()
    (tmp_path / "b.png").write_bytes(write_kitti(flow, known))
    read, where = read_flow(tmp_path / "b.png")
    np.testing.assert_array_equal(where, known)
    assert np.abs(read - flow)[known].max() <= 1 / 128 + 1e-6


def test_kittis_own_encoding_is_read(tmp_path: Path) -> None:
    """Its development kit: red is u * 64 + 2^15, green v, blue 1 where it is known."""
    red, green, blue = (np.full(SHAPE, value, np.uint16) for value in (64 * 3 + 2**15, 2**15 - 64 * 5, 1))
    assert cv2.imwrite(str(tmp_path / "k.png"), np.dstack([blue, green, red]))
    flow, known = read_flow(tmp_path / "k.png")
    assert flow[0, 0].tolist() == [3.0, -5.0]
    assert known.all()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.flo", b"", "does not begin with 202021.25"),
        ("a.flo", write_flo(np.zeros((4, 4, 2), np.float32))[:-1], "has 139 bytes for 4x4"),
        ("a.png", cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes(), "is no flow"),
    ],
)
def test_other_files_are_no_flow(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=says):
        read_flow(tmp_path / name)


def test_flow_scales_with_its_image() -> None:
    flow = np.full((4, 8, 2), (2.0, 1.0), np.float32)
    assert resize_flow(flow, (8, 32))[0, 0].tolist() == [8.0, 2.0]


def test_true_labels_of_the_synthetic_drive_are_consistent_along_its_flow(tmp_path: Path) -> None:
    """Along exact flow, from the set or from files, nearly all; without any motion less."""
    drive = SyntheticSequence(1_000_000, 6, (128, 256))
    frames = [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) for image in drive.frames()]
    moved, still = tmp_path / "moved", tmp_path / "still"
    for folder in (moved, still):
        folder.mkdir()
    for i in range(1, 6):
        (moved / f"{drive.names[i]}.flo").write_bytes(write_flo(*drive.flow(i)))
        (still / f"{drive.names[i]}.flo").write_bytes(write_flo(np.zeros((128, 256, 2), np.float32)))
    found = {}
    for name in ("exact", str(moved), str(still)):
        source, counts = FlowSource.of(name), SequenceConsistency(CITYSCAPES)
        for i in range(1, 6):
            backward = source.backward(drive, i, frames[i - 1], frames[i])
            counts.add(drive.truth(i - 1).ids, drive.truth(i).ids, backward)
        assert counts.pairs.n == 5
        found[name] = counts.tc
    assert found["exact"] > 0.9
    assert found[str(still)] < found["exact"]
    assert found[str(moved)] == found["exact"]


def test_flow_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no flow"):
        FlowSource.of(str(tmp_path))
    (tmp_path / "other.flo").write_bytes(write_flo(np.zeros((4, 4, 2), np.float32)))
    drive, grey = SyntheticSequence(1_000_000, 2, (32, 64)), np.zeros((32, 64), np.uint8)
    with pytest.raises(SourceError, match="has no flow of drive_1000000_000001"):
        FlowSource.of(str(tmp_path)).backward(drive, 1, grey, grey)
    drive.flow = lambda index: None  # type: ignore[method-assign, assignment]
    with pytest.raises(UsageError, match="exact flow of drive_1000000; expected a set that knows it"):
        FlowSource("exact").backward(drive, 1, grey, grey)


def test_mvc_is_what_a_slow_count_gives() -> None:
    rng = np.random.default_rng(5)
    truth = [(rng.random((6, 8)) < 0.1).astype(np.uint8) for _ in range(9)]
    truth[4][0] = 255
    predicted = [np.where(rng.random((6, 8)) < 0.95, t, 1 - np.minimum(t, 1)).astype(np.uint8) for t in truth]
    for window in (1, 3, 8):
        shares = []
        for first in range(9 - window + 1):
            pairs = list(zip(truth, predicted, strict=True))[first : first + window]
            constant = right = 0
            for y in range(6):
                for x in range(8):
                    classes = {int(t[y, x]) for t in truth[first : first + window]}
                    if len(classes) == 1 and classes != {255}:
                        constant += 1
                        right += all(int(p[y, x]) == int(t[y, x]) for t, p in pairs)
            shares.append(right / constant)
        assert video_consistency(truth, predicted, window) == pytest.approx(sum(shares) / len(shares))
    assert np.isnan(video_consistency(truth, predicted, 10))


@pytest.mark.parametrize("suffix", [".flo", ".png"])
def test_flow_at_another_size_is_known_where_all_that_it_is_made_of_is(tmp_path: Path, suffix: str) -> None:
    """KITTI's files hold -512 pixels where nothing is known: a part of it came into the flow beside."""
    flow, known = np.full((40, 60, 2), (4.0, -2.0), np.float32), np.ones((40, 60), np.bool_)
    known[11:21, 13:30] = False
    content = write_flo(flow, known) if suffix == ".flo" else write_kitti(flow, known)
    (tmp_path / f"b{suffix}").write_bytes(content)
    sequence = FrameSequence("s", "g", ("a", "b"), ())
    for size in ((20, 30), (27, 31), (80, 120), (40, 60)):
        grey = np.zeros(size, np.uint8)
        found, sure = FlowSource.of(str(tmp_path)).backward(sequence, 1, grey, grey)
        expected = np.array([4 * size[1] / 60, -2 * size[0] / 40])
        np.testing.assert_allclose(found[sure], np.broadcast_to(expected, found[sure].shape), rtol=1e-5)
        assert 0.6 < sure.mean() < 0.9
