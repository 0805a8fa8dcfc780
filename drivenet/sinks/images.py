"""A folder of pictures: one file a frame, each whole or not there."""

from __future__ import annotations

from pathlib import Path

from drivenet.files import write_atomic
from drivenet.palette_png import encode_palette_png
from drivenet.result import Result
from drivenet.sinks.base import Sink, view_of
from drivenet.sinks.jpeg import encode_jpeg
from drivenet.sinks.target import cannot_write, check_folder

_QUALITY = 90


class ImageFolderSink(Sink):
    """Writes ``%06d.jpg``, or with the view ``mask`` ``%06d.png`` of class ids; the number is the frame's index.

    A mask is at engine size, 8 bits a pixel, with the label colours as its palette: it shows in colour and reads
    back as ids. Pictures of an earlier run in the same folder are replaced where the numbers are the same.

    Args:
        folder: made with the first picture if it does not exist.
        visualize: the view that results hold; ``mask`` writes ids and needs no view.

    Raises:
        SinkError: if nothing can be written there.
    """

    name = "images"

    def __init__(self, folder: Path, *, visualize: str = "overlay") -> None:
        self._folder = Path(folder)
        self.target = str(folder)
        self.needs_view = visualize != "mask"
        check_folder(self._folder)

    def publish(self, result: Result) -> None:
        """Write one picture."""
        stem = f"{result.frame.index:06d}"
        try:
            if self.needs_view:
                write_atomic(self._folder / f"{stem}.jpg", encode_jpeg(view_of(result), _QUALITY), durable=False)
            else:
                png = encode_palette_png(result.classmap.ids, result.labels.rgb_table)
                write_atomic(self._folder / f"{stem}.png", png, durable=False)
        except OSError as error:
            raise cannot_write(self._folder, error) from error
