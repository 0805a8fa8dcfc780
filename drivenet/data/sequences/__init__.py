"""Video sets for benchmarks, by name: ``open_video_set``."""

from __future__ import annotations

from pathlib import Path

from drivenet.data.lookup import opener_of
from drivenet.data.sequences.base import VideoSet

#: Where each set is opened: ``module:function``. The function takes (root, split).
VIDEO_SETS = {
    "camvid-video": "drivenet.data.sequences.camvid:open_camvid_video",
    "cityscapes-video": "drivenet.data.sequences.cityscapes:open_cityscapes_video",
    "kitti-step": "drivenet.data.sequences.kitti_step:open_kitti_step",
    "listed": "drivenet.data.sequences.listed:open_listed",
    "synthetic-video": "drivenet.data.sequences.synthetic:open_synthetic_video",
    "viper": "drivenet.data.sequences.viper:open_viper",
}
#: Those that need no root.
ROOTLESS = ("synthetic-video",)


def open_video_set(name: str, root: Path | None, split: str = "val") -> VideoSet:
    """The sequences of a split.

    Args:
        name: one of :data:`VIDEO_SETS`.
        root: its folder, in the layout of its publishers; of ``listed`` the YAML file.
        split: one of :data:`drivenet.data.lookup.SPLITS`.

    Raises:
        UsageError: for an unknown name or split, or a missing root.
        SourceError: for folders or files that are missing, or are not what the layout says.
    """
    video: VideoSet = opener_of("video set", VIDEO_SETS, ROOTLESS, name, root, split)(root, split)
    return video
