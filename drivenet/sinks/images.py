"""A folder of pictures: one file a frame, each whole or not there."""

from __future__ import annotations

from pathlib import Path

from drivenet.errors import SinkError
from drivenet.palette_png import encode_palette_png
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink, view_of
from drivenet.sinks.jpeg import encode_jpeg
from drivenet.sinks.recording import RecordingSession
from drivenet.sinks.recording.files import failure
from drivenet.sinks.recording.pictures import PictureFolder

_QUALITY = 90


class ImageFolderSink(Sink):
    """Writes ``%06d.jpg``, or with the view ``mask`` ``%06d.png`` of class ids; the number is the frame's index.

    A mask is at engine size, 8 bits a pixel, with the label colours as its palette: it shows in colour and reads
    back as ids.

    Args:
        folder: made with the first picture if it does not exist; the next free name if pictures are in it.
        visualize: the view that results hold; ``mask`` writes ids and needs no view.
        session: what it shares with the run's other recordings: whether they write over files.

    Raises:
        SinkError: if nothing can be written there.
    """

    name = "images"

    def __init__(self, folder: Path, *, visualize: str = "overlay", session: RecordingSession | None = None) -> None:
        self._pictures = PictureFolder(Path(folder), session or RecordingSession())
        self.target = str(self._pictures.folder)
        self.needs_view = visualize != "mask"

    def publish(self, result: Result) -> None:
        """Write one picture."""
        stem = f"{result.frame.index:06d}"
        try:
            if self.needs_view:
                self._pictures.write(f"{stem}.jpg", encode_jpeg(view_of(result), _QUALITY))
            else:
                png = encode_palette_png(result.classmap.ids, result.labels.rgb_table)
                self._pictures.write(f"{stem}.png", png)
        except (OSError, SinkError) as error:
            raise failure(self._pictures.folder, error) from error

    def close(self, totals: Totals) -> None:
        """Sync what was written last."""
        try:
            self._pictures.close()
        except OSError as error:
            raise failure(self._pictures.folder, error) from error
