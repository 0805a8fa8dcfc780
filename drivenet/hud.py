"""Figures on a picture: rows of text on translucent panels, sized by the picture and never larger than it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2

from drivenet.address import one_line
from drivenet.frame import Image

Bgr = tuple[int, int, int]
#: x, y, width, height in pixels.
Box = tuple[int, int, int, int]

WHITE: Bgr = (245, 245, 245)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
#: What a panel leaves of the light below it, squared of the picture's: white letters stay readable on a white one.
_PANEL_LIGHT = 0.55
#: Share of the picture's height that a panel may take: the road ahead stays visible on small pictures.
_PANEL_HEIGHT = 0.65
_FPS_KINDS = ("published", "processed", "source")


@dataclass(frozen=True)
class Hud:
    """What the overlay says about the run.

    Args:
        age_ms: from the frame's capture to its drawing.
        p50_ms: median of the last seconds by stage, in the order in which they are shown.
        fps: rate of the last seconds by ``source``, ``processed`` and ``published``; None = not known yet.
        dropped: frames dropped so far, by reason.
        source: what the frames come from, without credentials.
        engine: what they went through.
        warning: what a viewer must know before believing the picture; empty while all is well.
    """

    age_ms: float
    p50_ms: Mapping[str, float]
    fps: Mapping[str, float | None]
    dropped: Mapping[str, int]
    source: str = ""
    engine: str = ""
    warning: str = ""

    def short(self) -> Row:
        """One row: how old the frame is, and how many come out a second."""
        return Row(_ms(self.age_ms), _fps(self.fps.get("published")))

    def rows(self) -> list[Row]:
        """The panel's rows, most important first: they are left out from the end where room is short."""
        rows = [Row("frame age", _ms(self.age_ms))]
        rows += [Row(kind, _fps(self.fps[kind])) for kind in _FPS_KINDS if kind in self.fps]
        rows += [Row(f"dropped, {reason}", str(n)) for reason, n in self.dropped.items() if n] or [Row("dropped", "0")]
        rows += [Row(f"median {stage.replace('_', ' ')}", _ms(ms)) for stage, ms in self.p50_ms.items()]
        return rows


@dataclass(frozen=True)
class Row:
    """One line of a panel: an optional colour swatch, a label on the left, a value on the right."""

    label: str
    value: str = ""
    swatch: Bgr | None = None


@dataclass(frozen=True)
class Lettering:
    """Letters of one size: ``line`` is the pitch of rows in pixels, the rest is OpenCV's."""

    line: int
    scale: float
    thickness: int

    def width(self, text: str) -> int:
        """Pixels from the first to the last letter."""
        return _width(text, self.scale, self.thickness)

    def write(self, image: Image, text: str, x: int, top: int, colour: Bgr = WHITE) -> None:
        """Write into a row that is ``line`` high and starts at ``top``."""
        at = (x, top + round(0.76 * self.line))
        # a text that is no UTF-8 ends the process in OpenCV
        cv2.putText(image, one_line(text), at, _FONT, self.scale, colour, self.thickness, cv2.LINE_AA)

    def shorten(self, text: str, limit: int) -> str:
        """The text, or its beginning and ``...``, at most ``limit`` pixels wide; empty if nothing fits."""
        if self.width(text) <= limit:
            return text
        kept = next((n for n in range(len(text) - 1, 0, -1) if self.width(text[:n] + "...") <= limit), 0)
        return text[:kept] + "..." if kept else ""


@lru_cache(maxsize=2048)
def _width(text: str, scale: float, thickness: int) -> int:
    """Pixels of a text; a hundred are asked for a frame, and most are those of the frame before."""
    return int(cv2.getTextSize(one_line(text), _FONT, scale, thickness)[0][0])


@lru_cache(maxsize=64)
def letters(line: int) -> Lettering:
    """Letters for rows ``line`` pixels high."""
    (_, above), below = cv2.getTextSize("Ag", _FONT, 1.0, 1)
    return Lettering(line, 0.84 * line / (above + below), max(1, round(line / 22)))


def letters_for(image: Image) -> Lettering:
    """Letters in proportion to a picture: 28 rows fit into its height (fewer where a row would be illegible)."""
    height, width = image.shape[:2]
    return letters(max(12, round(min(height, width * 9 / 16) / 28)))


@dataclass(frozen=True)
class Panel:
    """Rows of text that have their place on a picture.

    What is drawn between :meth:`shade` and :meth:`write` shows through, but lies below the letters and is darkened less
    than the picture.

    ``box`` is (x, y, width, height) in pixels.
    """

    box: Box
    rows: Sequence[Row]
    type_: Lettering

    def shade(self, image: Image) -> None:
        """Darken the picture here by half of what the panel does, in place."""
        x, y, width, height = self.box
        part = image[y : y + height, x : x + width]
        part[:] = cv2.convertScaleAbs(part, alpha=_PANEL_LIGHT)

    def write(self, image: Image) -> None:
        """Darken by the other half and write the rows, in place."""
        self.shade(image)
        x, y, width, height = self.box
        line, pad = self.type_.line, self.type_.line // 2
        top = y + (height - len(self.rows) * line) // 2
        for i, row in enumerate(self.rows):
            _write_row(image, row, self.type_, x + pad, top + i * line, width - 2 * pad)


def panel(image: Image, rows: Sequence[Row], *, right: bool = False, bottom: int = 0) -> Panel | None:
    """A panel in the upper left (or right) corner of a picture, not drawn yet; None where there is no room.

    A row that is too wide for half the picture is left out, and so are the last rows where there are more than
    fit into the upper part, or above the lowest ``bottom`` pixels.
    """
    type_ = letters_for(image)
    line, pad = type_.line, type_.line // 2
    height, width = image.shape[:2]
    widest = width // 2 - 3 * pad
    most = (min(round(_PANEL_HEIGHT * height), height - bottom) - 3 * pad) // line
    rows = [r for r in rows if _row_width(r, type_) <= widest][: max(0, most)]
    if not rows:
        return None
    # in whole lines, or the panel would change its width with every digit
    inner = min(widest, line * math.ceil(max(_row_width(r, type_) for r in rows) / line))
    x = width - inner - 3 * pad if right else pad
    return Panel((x, pad, inner + 2 * pad, len(rows) * line + pad), rows, type_)


def caption(image: Image, text: str) -> Panel | None:
    """One line along the lower edge of a picture, not drawn yet; None where there is no room."""
    type_ = letters_for(image)
    height, width = image.shape[:2]
    text = type_.shorten(text, width - type_.line)
    if not text or height < 8 * type_.line:
        return None
    return Panel((0, height - type_.line, width, type_.line), [Row(text)], type_)


def engine_label(described: Mapping[str, object]) -> str:
    """How a picture names an engine: its file without folder and suffix, backend and precision, as far as it has them.

    Args:
        described: what :meth:`~drivenet.engine.base.Engine.describe` says.
    """
    file = Path(str(described.get("file") or "")).stem
    return " ".join(filter(None, (file, *(str(described.get(k, "")) for k in ("backend", "precision")))))


def _row_width(row: Row, type_: Lettering) -> int:
    gap = type_.line if row.value else 0
    return type_.width(row.label) + gap + type_.width(row.value) + (type_.line if row.swatch else 0)


def _write_row(image: Image, row: Row, type_: Lettering, x: int, top: int, width: int) -> None:
    line = type_.line
    if row.value:
        type_.write(image, row.value, x + width - type_.width(row.value), top)
    if row.swatch:
        edge = line // 6
        cv2.rectangle(image, (x, top + edge), (x + line - 3 * edge, top + line - 1 - edge), row.swatch, -1)
        cv2.rectangle(image, (x, top + edge), (x + line - 3 * edge, top + line - 1 - edge), WHITE, 1)
        x += line
    type_.write(image, row.label, x, top)


def _ms(value: float) -> str:
    return f"{value:.1f} ms" if value < 99.95 else f"{value:.0f} ms"


def _fps(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} fps"
