"""A video with a transparent background: the pixels of some classes, as ProRes 4444 or VP9 with alpha."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from drivenet.frame import Image
from drivenet.health import Health
from drivenet.result import Result
from drivenet.sinks.i420 import BT601, LIMITED_RANGE
from drivenet.sinks.recording import RecordingSession
from drivenet.sinks.video import Coding, VideoSink
from drivenet.things.pictures import cutout_pixels, wanted_classes

#: By suffix. Real-time settings of VP9: by default it takes seconds a picture.
CODINGS = {
    ".mov": Coding("mov", "prores_ks", "yuva444p10le", {"profile": "4444", "vendor": "apl0"}, {},
                   {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    ".webm": Coding("webm", "libvpx-vp9", "yuva420p", {"deadline": "realtime", "cpu-used": "8", "crf": "24", "b": "0",
                                                      "auto-alt-ref": "0", "lag-in-frames": "0"}, {},
                    {"cluster_time_limit": "500"}),
}  # fmt: skip


class CutoutVideoSink(VideoSink):
    """Records the pixels of some classes of every frame; all else is transparent.

    Args:
        path: ``*.mov`` for ProRes 4444, ``*.webm`` for VP9.
        classes: classes or groups that are kept.
        fps, session: as for :class:`VideoSink`.

    Raises:
        SinkError: if nothing can be written there.
    """

    needs_view = False
    codings = CODINGS

    def __init__(
        self, path: Path, *, classes: Sequence[str], fps: float = 0.0, session: RecordingSession | None = None
    ) -> None:
        super().__init__(path, fps=fps, session=session)
        self._classes = classes

    def marked(self, view: Image, health: Health) -> bool:
        """A lost source leaves the last picture standing: a marked one has no classes."""
        return False

    def health(self, health: Health) -> None:
        """Have a segment end at its time while nothing new comes."""
        if not self._failed and self._files.is_due_now(health):
            self._end()

    def _picture(self, result: Result) -> Image:
        return cutout_pixels(result.frame.image, result.ids, wanted_classes(self._classes, result.labels))

    def _open(self, result: Result | None, view: Image, at: int) -> None:
        super()._open(result, view, at)
        if self._encoder is not None:
            self._encoder[1].metadata["alpha_mode"] = "1"  # what tells players of WebM

    def _planes(self, picture: Image) -> av.VideoFrame:
        height, width = picture.shape[:2]
        even = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(np.asarray(even, np.uint8), format="bgra")
        frame.colorspace, frame.color_range = BT601, LIMITED_RANGE
        return frame.reformat(format=self._coding.pixels, dst_colorspace=BT601, dst_color_range=LIMITED_RANGE)
