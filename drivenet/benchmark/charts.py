"""Charts of a benchmark as inline SVG; their colours come from the page."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

_WIDTH, _LEFT, _TOP, _BOTTOM = 1000, 60, 14, 40


@dataclass(frozen=True)
class Point:
    """A dot with an interval: latency in ms, accuracy 0..1."""

    name: str
    ms: float
    low: float
    high: float
    score: float


def timeline(
    series: Sequence[tuple[str, Sequence[float | None]]],
    deadline: float | None,
    parts_at: Sequence[tuple[int, str]] = (),
) -> str:
    """Latency in ms over the frames, a line for each engine and sequence; frames that were dropped are ticks below.

    Args:
        series: by engine the latency of every frame, None for one that was dropped.
        deadline: drawn as a dashed line.
        parts_at: first frame and name of each sequence; up to eight bear their names, in two rows; more than forty are
            not drawn.
    """
    height, named = 260, 0 < len(parts_at) <= 8
    room = 1.18 if named else 1.05  # above the lines, for the names
    highest = max([v for _, values in series for v in values if v is not None] + [deadline or 0.0, 1e-3]) * room
    count = max(len(values) for _, values in series)
    inner = _WIDTH - _LEFT - 10

    def x(i: int) -> float:
        return _LEFT + inner * i / max(1, count - 1)

    def y(ms: float) -> float:
        return _TOP + height * (1 - ms / highest)

    parts = [_frame(height), *_ticks(height, highest, "ms")]
    for i, (first, name) in enumerate(parts_at if len(parts_at) <= 40 else ()):
        parts.append(f'<line class="grid" x1="{x(first):.1f}" x2="{x(first):.1f}" y1="{_TOP}" y2="{_TOP + height}"/>')
        if named:
            parts.append(f'<text class="soft" x="{x(first) + 4:.1f}" y="{_TOP + 12 + 13 * (i % 2)}">'
                         f"{html.escape(name)}</text>")  # fmt: skip
    if deadline:
        parts.append(f'<line class="exact" x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y(deadline):.1f}" '
                     f'y2="{y(deadline):.1f}" stroke-dasharray="5 4"/>')  # fmt: skip
    for k, (name, values) in enumerate(series):
        parts.append(f'<g class="s{k % 6}"><title>{html.escape(name)}</title>')
        parts += [_line(run, x, y) for run in _runs(values, {first for first, _ in parts_at})]
        drops = [i for i, value in enumerate(values) if value is None]
        base = _TOP + height + 4 + 5 * k
        parts += [f'<rect x="{x(i) - 1:.1f}" y="{base}" width="2" height="4"/>' for i in drops]
        parts.append("</g>")
    foot = _TOP + height + 34
    parts.append(f'<text x="{_LEFT + inner / 2}" y="{foot}" text-anchor="middle">frame, of {count}</text>')
    return _svg(height + _TOP + _BOTTOM, "Latency over time", parts)


def waterfall(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> str:
    """The p50 of the stages one after the other, a bar an engine.

    Args:
        rows: by engine the stages with their ms.
    """
    longest = max(sum(ms for _, ms in stages) for _, stages in rows) or 1e-3
    parts, left = [], 260
    for k, (name, stages) in enumerate(rows):
        top, at = _TOP + 34 * k, float(left)
        parts.append(f'<text x="{left - 8}" y="{top + 17}" text-anchor="end">{html.escape(name)}</text>')
        for i, (stage, ms) in enumerate(stages):
            width = (_WIDTH - left - 90) * ms / longest
            parts.append(f'<rect class="s{i % 6}" x="{at:.1f}" y="{top}" width="{max(0.5, width):.1f}" height="24">'
                         f"<title>{html.escape(stage)}: {ms:.2f} ms</title></rect>")  # fmt: skip
            at += width
        total = sum(ms for _, ms in stages)
        parts.append(f'<text x="{at + 6:.1f}" y="{top + 17}">{total:.2f} ms</text>')
    return _svg(_TOP + 34 * len(rows) + 6, "Stages", parts)


def scatter(points: Sequence[Point], label: str) -> str:
    """Accuracy against latency, a dot an engine with the interval of its p50."""
    height, inner = 300, _WIDTH - _LEFT - 160
    longest = max(p.high for p in points) * 1.1
    least, most = min(p.score for p in points), max(p.score for p in points)
    margin = max(0.02, (most - least) * 0.25)
    least, most = max(0.0, least - margin), min(1.0, most + margin)
    parts = [_frame(height, inner)]
    for percent in _steps(100 * least, 100 * most):
        y = _TOP + height * (1 - (percent / 100 - least) / (most - least))
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{percent:g}</text>')
    for ms in _steps(0, longest):
        parts.append(f'<text x="{_LEFT + inner * ms / longest:.1f}" y="{_TOP + height + 18}" text-anchor="middle">'
                     f"{ms:g}</text>")  # fmt: skip
    for k, point in enumerate(points):
        y = _TOP + height * (1 - (point.score - least) / (most - least))
        x, low, high = (_LEFT + inner * ms / longest for ms in (point.ms, point.low, point.high))
        parts.append(f'<g class="s{k % 6}"><line x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6"/></g>')  # fmt: skip
        parts.append(f'<text x="{high + 10:.1f}" y="{y + 4:.1f}">{html.escape(point.name)}</text>')
    parts.append(f'<text x="{_LEFT + inner / 2}" y="{_TOP + height + 34}" text-anchor="middle">p50, ms</text>')
    parts.append(f'<text x="14" y="{_TOP + height / 2}" text-anchor="middle" '
                 f'transform="rotate(-90 14 {_TOP + height / 2})">{html.escape(label)}, %</text>')  # fmt: skip
    return _svg(height + _TOP + _BOTTOM, "Accuracy against latency", parts)


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" '
        f'aria-label="{label}" font-size="13">{"".join(parts)}</svg>'
    )


def _frame(height: float, inner: float = _WIDTH - _LEFT - 10) -> str:
    return f'<rect class="grid" x="{_LEFT}" y="{_TOP}" width="{inner}" height="{height}"/>'


def _ticks(height: float, highest: float, unit: str) -> list[str]:
    parts = []
    for value in _steps(0, highest):
        y = _TOP + height * (1 - value / highest)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')  # fmt: skip
    return [*parts, f'<text x="{_LEFT - 6}" y="{_TOP - 2}" text-anchor="end">{unit}</text>']


def _steps(low: float, high: float) -> list[float]:
    """Round values from low to high, three at least.

    >>> _steps(54.5, 62.8)
    [55.0, 56.0, 57.0, 58.0, 59.0, 60.0, 61.0, 62.0]
    """
    step = 10.0 ** math.floor(math.log10(high - low))
    step = step if high - low >= 3 * step else step / (2 if high - low >= 1.5 * step else 5)
    return [round(i * step, 9) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _runs(values: Sequence[float | None], firsts: Container[int]) -> list[list[tuple[int, float]]]:
    """Frames with a value, without gaps; at some frames another run begins."""
    runs: list[list[tuple[int, float]]] = [[]]
    for i, value in enumerate(values):
        if value is None or i in firsts:
            runs.append([])
        if value is not None:
            runs[-1].append((i, value))
    return [run for run in runs if run]


def _line(run: list[tuple[int, float]], x: Callable[[int], float], y: Callable[[float], float]) -> str:
    if len(run) == 1:
        return f'<circle cx="{x(run[0][0]):.1f}" cy="{y(run[0][1]):.1f}" r="1.5"/>'
    return f'<polyline fill="none" points="{" ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in run)}"/>'
