"""A confusion matrix as a picture: inline SVG whose cells are shares of the truth."""

from __future__ import annotations

import html

from drivenet.metrics import ConfusionMatrix

_CELL, _LEFT, _TOP, _RIGHT = 40, 150, 110, 70


def confusion_svg(matrix: ConfusionMatrix) -> str:
    """Rows = truth, normalised to 100 %; columns = prediction. Colours come from the page's ``.cell`` and ``.grid``.

    A row without truth stays empty. Shares of at least half a per cent carry their number.
    """
    names = [html.escape(name) for name in matrix.labels.classes]
    n = len(names)
    width, height = _LEFT + n * _CELL + _RIGHT, _TOP + n * _CELL + 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        'aria-label="Confusion matrix, rows truth, columns prediction" font-size="13">',
        f'<text x="{_LEFT - 8}" y="{_TOP - 8}" text-anchor="end" opacity=".6">truth ↓  prediction →</text>',
    ]
    for i, name in enumerate(names):
        middle = i * _CELL + _CELL / 2
        parts.append(f'<text x="{_LEFT - 8}" y="{_TOP + middle + 4}" text-anchor="end">{name}</text>')
        x, y = _LEFT + middle + 4, _TOP - 8
        parts.append(f'<text x="{x}" y="{y}" transform="rotate(-50 {x} {y})">{name}</text>')
    for row, counts in enumerate(matrix.counts.tolist()):
        total = sum(counts)
        for column, count in enumerate(counts):
            parts.append(_cell(row, column, count / total if total else 0.0, f"{names[row]} → {names[column]}"))
    return "".join([*parts, "</svg>"])


def _cell(row: int, column: int, share: float, title: str) -> str:
    x, y = _LEFT + column * _CELL, _TOP + row * _CELL
    out = f'<g><title>{title}: {100 * share:.2f} %</title><rect class="grid" x="{x}" y="{y}" width="{_CELL}" '
    out += f'height="{_CELL}"/>'
    if share >= 0.0005:
        # the root makes confusions of a few per cent visible beside a diagonal of 90
        out += (
            f'<rect class="cell" x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" opacity="{share**0.5 * 0.85:.3f}"/>'
        )
    if share >= 0.005:
        number = f"{100 * share:.0f}"
        out += f'<text x="{x + _CELL / 2}" y="{y + _CELL / 2 + 4}" text-anchor="middle">{number}</text>'
    return out + "</g>"
