"""Pictures: a folder with one file a frame, or one file; each whole or not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2

from drivenet.errors import SinkError, UsageError
from drivenet.files import write_atomic
from drivenet.frame import Frame
from drivenet.overlay import PNG_VIEWS
from drivenet.palette_png import encode_palette_png
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink, view_of
from drivenet.sinks.jpeg import encode_jpeg
from drivenet.sinks.recording import RecordingSession
from drivenet.sinks.recording.files import failure
from drivenet.sinks.recording.names import next_free
from drivenet.sinks.recording.pictures import PictureFolder
from drivenet.sinks.target import cannot_write, check_writable
from drivenet.things.pictures import PanopticEncoder, cutout, wanted_classes

_QUALITY = 90


class _Exact:
    """The views that need exact values, as PNG: class ids, classes and things, cut-outs.

    Args:
        visualize: ``mask``, ``panoptic``, ``cutout`` or a view that is none of these.
        classes: classes or groups that a cut-out keeps.
        mask_size: of masks.
    """

    def __init__(self, visualize: str, classes: Sequence[str], mask_size: str) -> None:
        self._visualize, self._classes, self._mask_size = visualize, classes, mask_size
        self._panoptic: PanopticEncoder | None = None

    def __bool__(self) -> bool:
        return self._visualize in ("mask", *PNG_VIEWS)

    def png(self, result: Result) -> bytes:
        """One frame."""
        if self._visualize == "cutout":
            return cutout(result.frame.image, result.ids, wanted_classes(self._classes, result.labels))
        if self._visualize == "panoptic":
            self._panoptic = self._panoptic or PanopticEncoder(result.labels, single=bool(result.frame.file))
            return self._panoptic.encode(result.classmap.ids, result.scene.instances, result.scene.things)
        return mask_png(result, self._mask_size)


class ImageFolderSink(Sink):
    """Writes a file a frame: ``.jpg``, or ``.png`` for the views that need exact values.

    Pictures of a folder or a glob keep their names and sub-folders (``aachen/aachen_000019.png`` becomes
    ``aachen/aachen_000019.jpg``; a second one of that name keeps its suffix too), also where it comes again; all other
    frames are named by their index: ``%06d.jpg``.

    ``mask`` gives class ids, 8 bits a pixel, with the label colours as palette: it shows in colour and reads back as
    ids. ``panoptic`` gives classes and things at engine size (see :class:`~drivenet.things.pictures.PanopticEncoder`),
    ``cutout`` the picture with a transparent background.

    Args:
        folder: made with the first picture if it does not exist; the next free name if pictures are in it.
        visualize: the view that results hold; ``mask``, ``panoptic`` and ``cutout`` need none.
        session: what it shares with the run's other recordings: whether they write over files.
        classes: classes or groups that a cut-out keeps.
        mask_size: of masks: ``engine`` for the size of the class map, ``source`` for that of the frame.

    Raises:
        SinkError: if nothing can be written there.
    """

    name = "images"

    def __init__(
        self, folder: Path, *, visualize: str = "overlay", session: RecordingSession | None = None,
        classes: Sequence[str] = (), mask_size: str = "engine",
    ) -> None:  # fmt: skip
        self._pictures = PictureFolder(Path(folder), session or RecordingSession())
        self.target = str(self._pictures.folder)
        self._exact = _Exact(visualize, classes, mask_size)
        self.needs_view = not self._exact
        #: The file that each name is of: in a recording that begins again, the same one comes again.
        self._named: dict[str, str] = {}

    def publish(self, result: Result) -> None:
        """Write one picture."""
        try:
            if self.needs_view:
                self._pictures.write(self._name(result.frame, ".jpg"), encode_jpeg(view_of(result), _QUALITY))
            else:
                self._pictures.write(self._name(result.frame, ".png"), self._exact.png(result))
        except (OSError, SinkError) as error:
            raise failure(self._pictures.folder, error) from error

    def _name(self, frame: Frame, suffix: str) -> str:
        if not frame.file:
            return f"{frame.index:06d}{suffix}"
        name = str(Path(frame.file).with_suffix(suffix))
        is_another = self._named.setdefault(name, frame.file) != frame.file
        return f"{frame.file}{suffix}" if is_another else name

    def close(self, totals: Totals) -> None:
        """Sync what was written last."""
        try:
            self._pictures.close()
        except OSError as error:
            raise failure(self._pictures.folder, error) from error


class ImageFileSink(Sink):
    """Writes one frame into one picture file, whole or not at all; a second frame is an error.

    Args:
        path: its suffix is the format: JPEG, PNG, WebP, BMP or TIFF.
        visualize, classes, mask_size: as for a folder; ``panoptic`` and ``cutout`` in PNG only, others hold the view.
        session: whether it writes over a file that exists, else the next free name is taken; and is told what was
            written; None = the next free name.

    Raises:
        UsageError: for a mask that is no PNG.
        SinkError: if nothing can be written there.
    """

    name = "image"

    def __init__(
        self, path: Path, *, visualize: str = "overlay", session: RecordingSession | None = None,
        classes: Sequence[str] = (), mask_size: str = "engine",
    ) -> None:  # fmt: skip
        is_png = path.suffix.lower() == ".png"
        if visualize == "mask" and not is_png:
            raise UsageError(f"class ids as {path.suffix}", "--out FILE.png", "other formats may change ids")
        self._exact = _Exact(visualize if is_png else "overlay", classes, mask_size)
        check_writable(path)
        self._session = session or RecordingSession()
        self._path = path if self._session.options.overwrite else next_free(path)
        self.target = str(self._path)
        self.needs_view = not self._exact
        self._written = False

    def publish(self, result: Result) -> None:
        """Write the picture."""
        if self._written:
            what = f"a second frame for the picture {self.target}"
            raise SinkError(what, "one", f"write a folder: --out {self._path.with_suffix('')}/, or use --max-frames 1")
        self._written = True
        try:
            write_atomic(self._path, self._encoded(result))
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self._session.written.append(self._path)

    def _encoded(self, result: Result) -> bytes:
        if self._exact:
            return self._exact.png(result)
        good, data = cv2.imencode(self._path.suffix.lower(), view_of(result))
        if not good:
            raise SinkError(f"a picture that cannot be written as {self._path.suffix}", cure="use .png")
        return data.tobytes()


def mask_png(result: Result, size: str) -> bytes:
    """Class ids as PNG with the label colours, at the size of the class map (``engine``) or the frame (``source``)."""
    return encode_palette_png(result.ids if size == "source" else result.classmap.ids, result.labels.rgb_table)
