"""An evaluation as one HTML file that needs nothing else: tables, confusion matrix, best and worst pictures."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from drivenet.errors import SinkError
from drivenet.evaluation import Report
from drivenet.evaluation.calibration import BINS, Calibration
from drivenet.evaluation.confusion import confusion_svg
from drivenet.evaluation.flicker import Flicker
from drivenet.evaluation.gallery import Gallery, Shown
from drivenet.evaluation.reliability import reliability_svg
from drivenet.files import write_atomic
from drivenet.labels import LabelSet
from drivenet.metrics import TOLERANCE

PAGE = "index.html"

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1a1d21;--soft:#5c6570;--line:#d9dee3;--card:#f5f7f9;--bar:#3d7dca}
@media (prefers-color-scheme:dark){
:root{--bg:#14171a;--fg:#e6e9ec;--soft:#9aa5b1;--line:#30363d;--card:#1c2126;--bar:#5b9be8}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:76rem;background:var(--bg);color:var(--fg);
font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.5rem 0;overflow-wrap:anywhere}h2{font-size:1.2rem;margin:2.2rem 0 .4rem}
p{margin:.3rem 0 .8rem;color:var(--soft);max-width:46rem}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;margin:1rem 0}
.figures div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
.figures b{display:block;font-size:1.5rem}.figures span{color:var(--soft);font-size:.85rem}
.wide{overflow-x:auto}table{border-collapse:collapse}
th,td{padding:.25rem .9rem .25rem 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;
font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left}th{font-weight:600;color:var(--soft)}
td.text{text-align:left;white-space:normal;overflow-wrap:anywhere}
.dot{display:inline-block;width:.8em;height:.8em;border-radius:.2em;margin-right:.5em;border:1px solid var(--line)}
.bar{display:inline-block;width:6rem;height:.6em;background:var(--line);border-radius:.3em;overflow:hidden}
.bar i{display:block;height:100%;background:var(--bar)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.9rem;margin:.4rem 0 1rem}
figure{margin:0 0 1.4rem}figcaption{margin-bottom:.3rem;overflow-wrap:anywhere}
.four{display:grid;grid-template-columns:repeat(4,1fr);gap:.4rem}
.four img{width:100%;display:block;border-radius:.3rem}.four span{font-size:.8rem;color:var(--soft)}
@media (max-width:44rem){.four{grid-template-columns:repeat(2,1fr)}.bar{display:none}
th,td{padding-right:.5rem;font-size:.9rem}th{white-space:normal;vertical-align:bottom}}
svg{display:block}svg text{fill:var(--fg)}svg .cell{fill:var(--bar)}
svg .grid{fill:none;stroke:var(--line)}svg .exact{stroke:var(--fg)}
.beside{display:flex;flex-wrap:wrap;gap:1rem 3rem;align-items:flex-start}
"""


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
        f"<h1>{_text(title)}</h1>",
        _figures(report, flicker),
        _scores(report, labels),
        _groups(report),
        _confusion(report),
        _confidence(report.calibration) if report.calibration else "",
        _flicker(flicker) if flicker else "",
        _pictures("Best pictures", gallery.best(), labels),
        _pictures("Worst pictures", gallery.worst(), labels),
        _about(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _figures(report: Report, flicker: Flicker | None) -> str:
    figures = [
        ("mIoU", report.miou),
        ("mIoU of groups", report.group_miou),
        ("pixel accuracy", report.pixel_accuracy),
        ("boundary F-score", report.boundary.mean()),
    ]
    if report.calibration:
        figures.append(("calibration error", report.calibration.ece()))
    if flicker:
        figures.append(("flicker rate", flicker.rate))
    cells = "".join(f"<div><b>{_percent(v)}</b><span>{name}</span></div>" for name, v in figures if not math.isnan(v))
    note = "" if report.compared_on == "classes" else (
        "<p>Engine and data have other classes: both were reduced to groups before they were compared.</p>"
    )  # fmt: skip
    return f'<div class="figures">{cells}</div>{note}<p>{report.images} pictures.</p>'


def _scores(report: Report, labels: LabelSet) -> str:
    iou, edges = report.matrix.iou(), report.boundary.f_score()
    counts = report.matrix.counts
    total = max(1, int(counts.sum()))
    rows = [
        [_dot(labels, name), _percent(iou[name]), _bar(iou[name]), _percent(edges[name]),
         _percent(int(counts[i].sum()) / total)]
        for i, name in enumerate(report.matrix.labels.classes)
    ]  # fmt: skip
    what = "Classes" if report.compared_on == "classes" else "Groups, background included"
    return (
        f"<h2>{what}</h2><p>IoU: intersection over union of all pixels. Boundary F: outlines that agree within "
        f"{100 * TOLERANCE:g} % of the diagonal. A dash: neither in truth nor in prediction.</p>"
        + _table(["", "IoU", "", "boundary F", "share of truth"], rows)
    )


def _groups(report: Report) -> str:
    if report.compared_on != "classes":
        return ""
    rows = [[_text(name), _percent(v), _bar(v)] for name, v in report.matrix.group_iou().items()]
    return "<h2>Groups</h2><p>Classes of one group count as one.</p>" + _table(["", "IoU", ""], rows)


def _confusion(report: Report) -> str:
    return (
        "<h2>Confusion</h2><p>Each row is the truth of one class and adds up to 100 %: "
        "where its pixels went.</p>"
        f'<div class="wide">{confusion_svg(report.matrix)}</div>'
    )


def _confidence(calibration: Calibration) -> str:
    rows = [[f"{100 * k.threshold:.0f} %", _percent(k.share), _percent(k.accuracy)] for k in calibration.kept()]
    return (
        f"<h2>Confidence</h2><p>The softmax probability of the class that was taken: {_percent(calibration.right)} on "
        f"average where it is right, {_percent(calibration.wrong)} where it is wrong. Calibration error (ECE, {BINS} "
        f"bins) {_percent(calibration.ece())}: how far confidence and share of right pixels lie apart.</p>"
        f'<div class="beside">{reliability_svg(calibration)}'
        + _table(["confidence of at least", "share of pixels", "of these right"], rows)
        + "</div>"
    )


def _flicker(flicker: Flicker) -> str:
    shares = [
        (name, int(t), int(c))
        for name, t, c in zip(flicker.labels.classes, flicker.tracked, flicker.changed, strict=True)
    ]
    rows = [[_dot(flicker.labels, name), _percent(c / t)] for name, t, c in shares if t]
    return (
        f"<h2>Flicker</h2><p>Share of pixels that change class between consecutive frames although the optical flow "
        f"says that they show the same thing: {flicker.pairs} pairs of frames of {_text(flicker.source or 'a clip')}, "
        f"{_percent(flicker.covered)} of the pixels could be followed.</p>"
        + _table(["class in the earlier frame", "changed"], rows)
    )


def _pictures(title: str, shown: Sequence[Shown], labels: LabelSet) -> str:
    if not shown:
        return ""
    legend = "".join(f"<span>{_dot(labels, name)}</span>" for name in labels.classes)
    return (
        f"<h2>{title}</h2><p>By the mean IoU of each picture. "
        "Errors are red; black, grey among the errors, has no truth.</p>"
        f'<div class="legend">{legend}</div>' + "".join(_figure(s) for s in shown)
    )


def _figure(shown: Shown) -> str:
    views = (
        ("picture", "jpeg", shown.picture),
        ("truth", "png", shown.truth),
        ("prediction", "png", shown.predicted),
        ("errors", "png", shown.errors),
    )
    cells = "".join(
        f'<div><img alt="{name}" loading="lazy" src="data:image/{kind};base64,{base64.b64encode(content).decode()}">'
        f"<span>{name}</span></div>"
        for name, kind, content in views
    )
    caption = f"{_text(shown.name)}: mIoU {_percent(shown.miou)}"
    return f'<figure><figcaption>{caption}</figcaption><div class="four">{cells}</div></figure>'


def _about(report: Report) -> str:
    rows = [(f"{kind} {key}", value) for kind, facts in (("engine", report.engine), ("data", report.dataset))
            for key, value in facts.items()]  # fmt: skip
    body = "".join(f'<tr><td>{_text(k)}</td><td class="text">{_text(_plain(v))}</td></tr>' for k, v in rows)
    return f"<h2>What was scored</h2><table>{body}</table>"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_plain(v)}" for k, v in value.items())
    return " x ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(c)}</th>" for c in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _dot(labels: LabelSet, name: str) -> str:
    red, green, blue = labels.palette[labels.id_of(name)]
    return f'<i class="dot" style="background:rgb({red},{green},{blue})"></i>{_text(name)}'


def _bar(share: float) -> str:
    return "" if math.isnan(share) else f'<span class="bar"><i style="width:{100 * share:.1f}%"></i></span>'


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.2f} %"


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)
