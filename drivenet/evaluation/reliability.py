"""A reliability diagram: inline SVG of accuracy against confidence."""

from __future__ import annotations

from drivenet.evaluation.calibration import BINS, Calibration

_SIDE, _LEFT, _TOP, _BOTTOM = 300, 50, 12, 48


def reliability_svg(calibration: Calibration) -> str:
    """A bar a bin, as high as the share of its pixels that is right; on the dashed line confidence would be exact.

    Bars are as opaque as the bin has pixels, by the root of its share of the fullest one. Colours come from the page's
    ``.cell`` and ``.grid``.
    """
    bins = calibration.bins()
    fullest = max(1, *(b.count for b in bins))
    width, height = _LEFT + _SIDE + 16, _TOP + _SIDE + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        'aria-label="Reliability diagram, accuracy by confidence" font-size="13">',
        f'<rect class="grid" x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}"/>',
    ]
    for b in bins:
        if b.count:
            title = f"confidence {100 * b.low:.0f} to {100 * b.high:.0f} %: {b.count} pixels, "
            title += f"mean {100 * b.confidence:.2f} %, right {100 * b.accuracy:.2f} %"
            parts.append(_bar(b.low, b.accuracy, (b.count / fullest) ** 0.5, title))
    ends = f'x1="{_LEFT}" y1="{_TOP + _SIDE}" x2="{_LEFT + _SIDE}" y2="{_TOP}"'
    parts.append(f'<line class="exact" {ends} stroke-dasharray="5 4"/>')
    return "".join([*parts, *_axes(), "</svg>"])


def _bar(low: float, accuracy: float, opacity: float, title: str) -> str:
    x, high = _LEFT + low * _SIDE + 1, accuracy * _SIDE
    return (
        f'<g><title>{title}</title><rect class="cell" x="{x:.1f}" y="{_TOP + _SIDE - high:.1f}" '
        f'width="{_SIDE / BINS - 2:.1f}" height="{high:.1f}" opacity="{0.2 + 0.8 * opacity:.3f}"/></g>'
    )


def _axes() -> list[str]:
    parts = []
    for percent in (0, 50, 100):
        x, y = _LEFT + percent / 100 * _SIDE, _TOP + _SIDE - percent / 100 * _SIDE
        parts.append(f'<text x="{x:.0f}" y="{_TOP + _SIDE + 18}" text-anchor="middle">{percent}</text>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{percent}</text>')
    x, y = _LEFT + _SIDE / 2, _TOP + _SIDE / 2
    parts.append(f'<text x="{x:.0f}" y="{_TOP + _SIDE + 38}" text-anchor="middle">confidence, %</text>')
    turned = f'text-anchor="middle" transform="rotate(-90 12 {y:.0f})"'
    return [*parts, f'<text x="12" y="{y:.0f}" {turned}>right, %</text>']
