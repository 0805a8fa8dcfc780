"""CamVid at its labelled frames: one sequence a drive, a frame a second, too far apart to follow motion."""

from __future__ import annotations

from pathlib import Path

from drivenet.data.camvid import open_camvid
from drivenet.data.pairs import PairDataset
from drivenet.data.sequences.base import VideoSet
from drivenet.data.sequences.files import FileSequence, semantic
from drivenet.labels import CAMVID

FPS = 1.0


def open_camvid_video(root: Path, split: str) -> VideoSet:
    """The labelled frames of each drive in the SegNet split, ``0001TP_009210.png`` being of drive ``0001TP``.

    Raises:
        SourceError: as :func:`drivenet.data.camvid.open_camvid`.
    """
    samples = open_camvid(root, split)
    assert isinstance(samples, PairDataset)
    drives: dict[str, list[int]] = {}
    for i, pair in enumerate(samples.pairs):
        drives.setdefault(pair.image.stem.rpartition("_")[0] or pair.image.stem, []).append(i)
    sequences = [
        FileSequence(
            drive, drive, [samples.pairs[i].image for i in indices],
            {k: semantic(samples.pairs[i].label, samples.pairs[i].values) for k, i in enumerate(indices)},
            FPS, consecutive=False,
        )
        for drive, indices in drives.items()
    ]  # fmt: skip
    return VideoSet("camvid-video", split, CAMVID, tuple(sequences))
