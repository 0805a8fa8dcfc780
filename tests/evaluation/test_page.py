"""The report page: what it shows, that it escapes and needs nothing from elsewhere, and which pictures it keeps."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.data.base import Sample
from drivenet.errors import SinkError
from drivenet.evaluation import GROUP_LABELS, Report, Scored
from drivenet.evaluation.calibration import Calibration
from drivenet.evaluation.confusion import confusion_svg
from drivenet.evaluation.flicker import Flicker
from drivenet.evaluation.gallery import KEPT, Gallery
from drivenet.evaluation.page import build_page, write_page
from drivenet.evaluation.reliability import reliability_svg
from drivenet.labels import CAMVID, CITYSCAPES, LabelSet
from drivenet.metrics import ConfusionMatrix

NASTY = '<script>alert("&")</script>'


class Checked(HTMLParser):
    """Every tag is closed; keeps text and addresses."""

    VOID = ("meta", "img", "rect", "br", "line")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [v or "" for k, v in attrs if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def scored(miou: float, name: str = "one", labels: LabelSet = CAMVID) -> Scored:
    truth = np.zeros((30, 40), np.uint8)
    truth[:4] = 255
    predicted = truth.copy()
    predicted[20:, 10:] = 3
    return Scored(Sample(np.full((30, 40, 3), 90, np.uint8), truth, name), truth, predicted, labels, miou)


def report(labels: LabelSet = CAMVID, compared_on: str = "classes") -> Report:
    out = Report(
        ConfusionMatrix.empty(labels), compared_on, 2, {"file": f"a/{NASTY}", "input": [32, 48]}, {"name": NASTY}
    )
    one = scored(0.5, labels=labels)
    out.matrix.add(one.truth, one.predicted)
    out.boundary.add(one.truth, one.predicted)
    return out


def test_the_page_is_whole_and_loads_nothing_from_elsewhere() -> None:
    gallery = Gallery()
    for i in range(3):
        gallery.visit(scored(i / 4, f"{NASTY} {i}"))
    page = build_page(report(), gallery)
    parsed = Checked(page)
    assert parsed.open == []
    assert "script" not in parsed.tags
    assert "link" not in parsed.tags
    assert NASTY in parsed.words
    assert len(parsed.sources) == 3 * 4
    assert all(re.match(r"data:image/(jpeg|png);base64,", s) for s in parsed.sources)
    assert "url(" not in page
    assert "@import" not in page
    for name in CAMVID.classes:
        assert name in parsed.words
    for title in ("mIoU", "pixel accuracy", "boundary F", "Groups", "Confusion", "Best pictures", "Worst pictures"):
        assert title in parsed.words
    assert "Flicker" not in parsed.words


def test_pictures_in_the_page_are_the_truth_the_prediction_and_the_errors() -> None:
    gallery = Gallery()
    one = scored(0.5)
    gallery.visit(one)
    sources = Checked(build_page(report(), gallery)).sources
    decoded = [
        cv2.imdecode(np.frombuffer(base64.b64decode(s.split(",")[1]), np.uint8), cv2.IMREAD_COLOR) for s in sources
    ]
    picture, truth, predicted, errors = decoded
    assert abs(int(picture.mean()) - 90) <= 2
    np.testing.assert_array_equal(truth, CAMVID.bgr_table[one.truth])
    np.testing.assert_array_equal(predicted, CAMVID.bgr_table[one.predicted])
    colours = {tuple(errors[y, x].tolist()) for y, x in ((0, 0), (10, 0), (25, 30))}
    assert len(colours) == 3
    red = np.all(errors == errors[25, 30], -1)
    np.testing.assert_array_equal(red, (one.truth != one.predicted) & (one.truth != 255))


def test_groups_and_flicker_are_told() -> None:
    flicker = Flicker(CAMVID, 4, 100, "my <clip>")
    flicker.tracked[3], flicker.changed[3] = 50, 5
    words = Checked(build_page(report(GROUP_LABELS, "groups"), Gallery(), flicker)).words
    assert "reduced to groups" in words
    assert "my <clip>" in words
    assert "10.00 %" in words
    assert "nan" not in words


def test_a_report_of_nothing_has_no_nan() -> None:
    empty = Report(ConfusionMatrix.empty(CAMVID), "classes")
    assert "nan" not in Checked(build_page(empty, Gallery())).words


def test_the_matrix_is_normalised_by_rows() -> None:
    matrix = ConfusionMatrix.empty(CITYSCAPES)
    matrix.counts[0, 0], matrix.counts[0, 1], matrix.counts[2, 2] = 75, 25, 7
    svg = confusion_svg(matrix)
    assert svg.count('class="grid"') == 19 * 19
    assert svg.count('class="cell"') == 3
    assert "road → sidewalk: 25.00 %" in svg
    assert "building → building: 100.00 %" in svg


def calibration() -> Calibration:
    """60 right and 40 wrong pixels at 255, 30 right and 10 wrong ones at 102."""
    out = Calibration()
    out.counts[:, 255], out.counts[:, 102] = (40, 60), (10, 30)
    return out


def test_confidence_is_shown_where_there_is_one() -> None:
    assert "Confidence" not in Checked(build_page(report(), Gallery())).words
    sure = report()
    sure.calibration = calibration()
    parsed = Checked(build_page(sure, Gallery()))
    assert parsed.open == []
    assert "80.00 % on average where it is right, 88.00 % where it is wrong" in parsed.words
    assert parsed.words.count("38.57 %") == 2  # (100 * |60 % - 100 %| + 40 * |75 % - 40 %|) / 140, tile and text
    assert "90 %71.43 %60.00 %" in parsed.words
    sure.calibration = Calibration()
    assert "nan" not in Checked(build_page(sure, Gallery())).words


def test_the_reliability_diagram_has_a_bar_for_every_bin_with_pixels() -> None:
    svg = reliability_svg(calibration())
    assert Checked(svg).open == []
    assert svg.count('class="cell"') == 2
    assert "confidence 93 to 100 %: 100 pixels, mean 100.00 %, right 60.00 %" in svg
    assert "confidence 33 to 40 %: 40 pixels, mean 40.00 %, right 75.00 %" in svg
    heights = [float(h) for h in re.findall(r'class="cell"[^>]* height="([0-9.]+)"', svg)]
    assert heights == [225.0, 180.0]
    assert reliability_svg(Calibration()).count('class="cell"') == 0


def test_the_gallery_keeps_the_best_and_worst_of_many() -> None:
    gallery = Gallery()
    order = np.random.default_rng(0).permutation(75)
    for i in order:
        gallery.visit(scored(int(i) / 100, str(i)))
    gallery.visit(scored(float("nan"), "no truth"))
    assert [s.name for s in gallery.best()] == [str(i) for i in range(74, 74 - KEPT, -1)]
    assert [s.name for s in gallery.worst()] == [str(i) for i in range(KEPT)]


def test_few_pictures_are_shown_once() -> None:
    gallery = Gallery()
    for i in range(3):
        gallery.visit(scored(i / 4, str(i)))
    assert [s.name for s in gallery.best()] == ["2", "1"]
    assert [s.name for s in gallery.worst()] == ["0"]


def test_writes_one_file_or_says_why_not(tmp_path: Path) -> None:
    file = write_page(tmp_path / "deep" / "report", report(), Gallery())
    assert [f.name for f in file.parent.iterdir()] == ["index.html"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(SinkError, match="cannot write"):
        write_page(tmp_path / "file", report(), Gallery())
