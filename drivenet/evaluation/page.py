"""An evaluation as one HTML file that needs nothing else: tables, confusion matrix, best and worst pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from drivenet.errors import SinkError
from drivenet.evaluation import Report
from drivenet.evaluation.calibration import BINS, Calibration
from drivenet.evaluation.confusion import confusion_svg
from drivenet.evaluation.flicker import Flicker
from drivenet.evaluation.gallery import Gallery, Shown
from drivenet.evaluation.html import bar, document, dot, figure, percent, plain, table, text
from drivenet.evaluation.parted import found_things, headline
from drivenet.evaluation.reliability import reliability_svg
from drivenet.files import write_atomic
from drivenet.labels import LabelSet
from drivenet.metrics import TOLERANCE

PAGE = "index.html"


def write_page(folder: Path, report: Report, gallery: Gallery, flicker: Flicker | None = None) -> Path:
    """Write ``folder/index.html``, whole or not at all.

    Args:
        folder: made if it is not there.
        report: the scores.
        gallery: the pictures that it kept.
        flicker: the rate on consecutive frames, if it was taken.

    Returns:
        The file.

    Raises:
        SinkError: if it cannot be written there.
    """
    file = folder / PAGE
    try:
        write_atomic(file, build_page(report, gallery, flicker))
    except OSError as error:
        raise SinkError(f"cannot write {file}: {error.strerror or error}", "a writable folder") from error
    return file


def build_page(report: Report, gallery: Gallery, flicker: Flicker | None = None) -> str:
    """The page as text. Everything that comes from files or arguments is escaped."""
    data, labels = report.dataset, report.matrix.labels
    title = f"{Path(str(report.engine.get('file') or 'engine')).name} on {data.get('name', '')} {data.get('split', '')}"
    parts = [
        f"<h1>{text(title)}</h1>",
        _figures(report, flicker),
        f'<div class="beside"><section>{_scores(report, labels)}</section><section>{_groups(report)}</section></div>',
        _confusion(report),
        _confidence(report.calibration) if report.calibration else "",
        _flicker(flicker) if flicker else "",
        _pictures("Best pictures", gallery.best(), labels),
        _pictures("Worst pictures", gallery.worst(), labels),
        _about(report),
    ]
    return document(title, parts)


def _figures(report: Report, flicker: Flicker | None) -> str:
    figures = [
        ("mIoU", report.miou),
        ("mIoU of groups", report.group_miou),
        ("pixel accuracy", report.pixel_accuracy),
        ("boundary F-score", report.boundary.mean()),
    ]
    if report.panoptic:
        figures += headline(report.panoptic).items()
    if report.calibration:
        figures.append(("calibration error", report.calibration.ece()))
    if flicker:
        figures.append(("flicker rate", flicker.rate))
    cells = "".join(f"<div><b>{percent(v)}</b><span>{name}</span></div>" for name, v in figures if not math.isnan(v))
    note = "" if report.compared_on == "classes" else (
        "<p>Engine and data have other classes: both were reduced to groups before they were compared.</p>"
    )  # fmt: skip
    return f'<div class="figures">{cells}</div>{note}<p>{report.images} pictures.</p>'


def _scores(report: Report, labels: LabelSet) -> str:
    iou, edges = report.matrix.iou(), report.boundary.f_score()
    counts = report.matrix.counts
    total = max(1, int(counts.sum()))
    rows = [
        [dot(labels, name), percent(iou[name]), bar(iou[name]), percent(edges[name]),
         percent(int(counts[i].sum()) / total)]
        for i, name in enumerate(report.matrix.labels.classes)
    ]  # fmt: skip
    head, told = ["", "IoU", "", "boundary F", "share of truth"], ""
    if report.panoptic:
        by_class, head = report.panoptic.by_class(), [*head, "PQ"]
        rows = [
            [*row, percent(by_class.get(name, {}).get("pq", math.nan))]
            for row, name in zip(rows, report.matrix.labels.classes, strict=True)
        ]
        found = found_things(report.panoptic, percent)
        told = f" PQ: panoptic quality, of {report.parted} pictures with instances; {found}."
    what = "Classes" if report.compared_on == "classes" else "Groups, background included"
    return (
        f"<h2>{what}</h2><p>IoU: intersection over union of all pixels. Boundary F: outlines that agree within "
        f"{100 * TOLERANCE:g} % of the diagonal.{told} A dash: neither in truth nor in prediction.</p>"
        + table(head, rows)
    )


def _groups(report: Report) -> str:
    if report.compared_on != "classes":
        return ""
    rows = [[text(name), percent(v), bar(v)] for name, v in report.matrix.group_iou().items()]
    return "<h2>Groups</h2><p>Classes of one group count as one.</p>" + table(["", "IoU", ""], rows)


def _confusion(report: Report) -> str:
    return (
        "<h2>Confusion</h2><p>Each row is the truth of one class and adds up to 100 %: "
        "where its pixels went.</p>"
        f'<div class="wide">{confusion_svg(report.matrix)}</div>'
    )


def _confidence(calibration: Calibration) -> str:
    rows = [[f"{100 * k.threshold:.0f} %", percent(k.share), percent(k.accuracy)] for k in calibration.kept()]
    return (
        f"<h2>Confidence</h2><p>The softmax probability of the class that was taken: {percent(calibration.right)} on "
        f"average where it is right, {percent(calibration.wrong)} where it is wrong. Calibration error (ECE, {BINS} "
        f"bins) {percent(calibration.ece())}: how far confidence and share of right pixels lie apart.</p>"
        f'<div class="beside">{reliability_svg(calibration)}'
        + table(["confidence of at least", "share of pixels", "of these right"], rows)
        + "</div>"
    )


def _flicker(flicker: Flicker) -> str:
    shares = [
        (name, int(t), int(c))
        for name, t, c in zip(flicker.labels.classes, flicker.tracked, flicker.changed, strict=True)
    ]
    rows = [[dot(flicker.labels, name), percent(c / t)] for name, t, c in shares if t]
    return (
        f"<h2>Flicker</h2><p>Share of pixels that change class between consecutive frames although the optical flow "
        f"says that they show the same thing: {flicker.pairs} pairs of frames of {text(flicker.source or 'a clip')}, "
        f"{percent(flicker.covered)} of the pixels could be followed.</p>"
        + table(["class in the earlier frame", "changed"], rows)
    )


def _pictures(title: str, shown: Sequence[Shown], labels: LabelSet) -> str:
    if not shown:
        return ""
    legend = "".join(f"<span>{dot(labels, name)}</span>" for name in labels.classes)
    return (
        f"<h2>{title}</h2><p>By the mean IoU of each picture. "
        "Errors are red; black, grey among the errors, has no truth.</p>"
        f'<div class="legend">{legend}</div>' + "".join(figure(s) for s in shown)
    )


def _about(report: Report) -> str:
    rows = [(f"{kind} {key}", value) for kind, facts in (("engine", report.engine), ("data", report.dataset))
            for key, value in facts.items()]  # fmt: skip
    body = "".join(f'<tr><td>{text(k)}</td><td class="text">{text(plain(v))}</td></tr>' for k, v in rows)
    return f"<h2>What was scored</h2><table>{body}</table>"
