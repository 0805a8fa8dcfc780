"""Charts of a benchmark: what they draw, by the elements of the SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from drivenet.benchmark.charts import Point, scatter, timeline

TEXT = "{http://www.w3.org/2000/svg}text"


def numbers(svg: str, anchor: str) -> list[float]:
    texts = [t.text or "" for t in ElementTree.fromstring(svg).iter(TEXT) if t.get("text-anchor") == anchor]
    return [float(t) for t in texts if re.fullmatch(r"[\d.]+", t)]


def test_a_line_ends_with_its_sequence_and_at_a_dropped_frame() -> None:
    whole = timeline([("fast", [5.0] * 6)], None)
    assert whole.count("<polyline") == 1
    parted = timeline([("fast", [5.0] * 6)], None, [(0, "a"), (3, "b")])
    assert parted.count("<polyline") == 2
    dropped = timeline([("fast", [5.0, 6.0, None, 5.0, 4.0, 3.0])], 33.3, [(0, "a"), (3, "b")])
    assert dropped.count("<polyline") == 2
    assert dropped.count('height="4"') == 1


def test_no_line_crosses_the_names_of_sequences() -> None:
    svg = ElementTree.fromstring(timeline([("fast", [5.0, 90.0, 90.0, 90.0])], 80.0, [(0, "a"), (2, "b")]))
    names = [float(t.get("y", "")) for t in svg.iter(TEXT) if t.get("class") == "soft"]
    lines = [line.get("points", "") for line in svg.iter(TEXT.replace("text", "polyline"))]
    assert max(names) + 3 < min(float(point.partition(",")[2]) for line in lines for point in line.split())


def test_axes_bear_round_numbers() -> None:
    svg = scatter([Point("a", 211.4, 197.0, 636.6, 0.6083), Point("b", 257.9, 222.7, 424.0, 0.565)], "mIoU")
    assert numbers(svg, "end") == [55.0, 56.0, 57.0, 58.0, 59.0, 60.0, 61.0, 62.0]
    assert numbers(svg, "middle") == [0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0]
    alike = scatter([Point("a", 5.0, 5.0, 5.0, 0.5), Point("b", 5.0, 5.0, 5.0, 0.5)], "mIoU")
    assert numbers(alike, "end") == [48.0, 49.0, 50.0, 51.0, 52.0]
