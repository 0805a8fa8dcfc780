"""A folder of pictures: one file a frame, each whole or not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drivenet.errors import SinkError
from drivenet.overlay import VIEWS
from drivenet.palette_png import encode_palette_png
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink, view_of
from drivenet.sinks.jpeg import encode_jpeg
from drivenet.sinks.recording import RecordingSession
from drivenet.sinks.recording.files import failure
from drivenet.sinks.recording.pictures import PictureFolder
from drivenet.things.pictures import PanopticEncoder, cutout, wanted_classes

_QUALITY = 90


class ImageFolderSink(Sink):
    """Writes ``%06d.jpg``, or ``%06d.png``; the number is the frame's index.

    ``mask`` gives class ids at engine size, 8 bits a pixel, with the label colours as palette: it shows in colour and
    reads back as ids. ``panoptic`` gives classes and things at engine size (see
    :class:`~drivenet.things.pictures.PanopticEncoder`), ``cutout`` the picture with a transparent background.

    Args:
        folder: made with the first picture if it does not exist; the next free name if pictures are in it.
        visualize: the view that results hold; ``mask``, ``panoptic`` and ``cutout`` need none.
        session: what it shares with the run's other recordings: whether they write over files.
        classes: classes or groups that a cut-out keeps.

    Raises:
        SinkError: if nothing can be written there.
    """

    name = "images"

    def __init__(
        self, folder: Path, *, visualize: str = "overlay", session: RecordingSession | None = None,
        classes: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._pictures = PictureFolder(Path(folder), session or RecordingSession())
        self.target = str(self._pictures.folder)
        self.needs_view = visualize in VIEWS and visualize != "mask"
        self._visualize, self._classes = visualize, classes
        self._panoptic: PanopticEncoder | None = None

    def publish(self, result: Result) -> None:
        """Write one picture."""
        stem = f"{result.frame.index:06d}"
        try:
            if self.needs_view:
                self._pictures.write(f"{stem}.jpg", encode_jpeg(view_of(result), _QUALITY))
            else:
                self._pictures.write(f"{stem}.png", self._png(result))
        except (OSError, SinkError) as error:
            raise failure(self._pictures.folder, error) from error

    def _png(self, result: Result) -> bytes:
        if self._visualize == "cutout":
            return cutout(result.frame.image, result.ids, wanted_classes(self._classes, result.labels))
        if self._visualize == "panoptic":
            self._panoptic = self._panoptic or PanopticEncoder(result.labels)
            return self._panoptic.encode(result.classmap.ids, result.scene.instances, result.scene.things)
        return encode_palette_png(result.classmap.ids, result.labels.rgb_table)

    def close(self, totals: Totals) -> None:
        """Sync what was written last."""
        try:
            self._pictures.close()
        except OSError as error:
            raise failure(self._pictures.folder, error) from error
