"""A benchmark on a video set as one HTML file: figures, charts, the worst frames and the most flickering seconds."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from drivenet.benchmark.charts import Point, scatter, timeline, waterfall
from drivenet.benchmark.outputs import EngineGallery, Strip
from drivenet.benchmark.video import SequenceResult
from drivenet.benchmark.video_report import latency, set_title
from drivenet.errors import SinkError
from drivenet.evaluation.html import document, dot, figure, plain, table, text
from drivenet.evaluation.page import PAGE
from drivenet.files import write_atomic
from drivenet.latency import STAGES

_STYLE = """
.s0{fill:#3d7dca;stroke:#3d7dca}.s1{fill:#d9822b;stroke:#d9822b}.s2{fill:#3a9d5d;stroke:#3a9d5d}
.s3{fill:#b5495b;stroke:#b5495b}.s4{fill:#8764b8;stroke:#8764b8}.s5{fill:#6b7280;stroke:#6b7280}
svg{max-width:100%;height:auto}svg text{stroke:none}svg polyline{fill:none;stroke-width:1.3}
svg line.grid{stroke:var(--line)}svg text.soft{fill:var(--soft);font-size:11px}
.told{float:left;color:var(--soft);white-space:normal;text-align:left;padding-left:1rem}
.strip{display:grid;grid-template-columns:repeat(6,1fr);gap:.2rem}.strip img{width:100%;display:block}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:.3rem 0}.key svg{display:inline-block;width:.9em;height:.9em;
margin-right:.4em;vertical-align:-.1em}
@media (max-width:44rem){.wide svg{max-width:none;width:44rem}.strip{grid-template-columns:repeat(3,1fr)}
.scores table,.scores thead,.scores tbody{display:block}.scores th,.scores td{border:0;padding:0}
.scores tr{display:grid;grid-template-columns:minmax(7.5rem,1fr) repeat(var(--engines),6rem);padding:.3rem 0;
border-bottom:1px solid var(--line)}.scores td:last-child{grid-column:1/-1}
.scores .told{display:block;float:none;padding:0;max-width:calc(100vw - 2rem)}}
"""
#: What the first table shows of the scores, by the name of its row: their member, and what that is.
_SCORES = {
    "mIoU": ("miou", "mean over classes of intersection over union, on the labelled frames"),
    "streaming mIoU": ("streaming_miou", "the same of what the output showed: a dropped frame keeps the last result"),
    "mIoU at due time": ("at_due_miou", "the same of the last result that was out when the frame fell due"),
    "iIoU": ("iiou", "IoU in which every thing weighs alike, whatever its size"),
    "mIoU of groups": ("group_miou", "road, sign, pedestrian, vehicle"),
    "boundary F": ("boundary_f", "how well outlines lie"),
    "PQ": ("pq", "panoptic quality: things one by one, and stuff"),
    "STQ": ("stq", "things followed over a sequence, and classes"),
    "VPQ": ("vpq", "panoptic quality of tubes of 1 to 4 frames"),
    "TC": ("tc", "temporal consistency: mIoU with the frame before, carried along the optical flow"),
    "mTC": ("mtc", "the same by pairs of frames"),
    "mVC 8": ("mvc8", "constant pixels that are right in 8 frames on end"),
    "mVC 16": ("mvc16", "in 16"),
    "flicker": ("flicker", "followed pixels that change class from frame to frame"),
}
#: Modes as a sentence begins with them.
_MODES = {"infer": "The engines alone", "closed loop": "The whole node in closed loop", "open loop": "The whole node"}


def write_page(folder: Path, found: Mapping[str, Any], names: Sequence[str],
               results: Sequence[Sequence[SequenceResult]], galleries: Sequence[EngineGallery]) -> Path:  # fmt: skip
    """Write ``folder/index.html``, whole or not at all, and give it.

    Args:
        folder: made if it is not there.
        found: of :func:`~drivenet.benchmark.video_report.report`.
        names: of the engines.
        results: of :func:`~drivenet.benchmark.video.run_set`.
        galleries: by engine.

    Raises:
        SinkError: if it cannot be written there.
    """
    file = folder / PAGE
    try:
        write_atomic(file, build_page(found, names, results, galleries))
    except OSError as error:
        raise SinkError(f"cannot write {file}: {error.strerror or error}", "a writable folder") from error
    return file


def build_page(found: Mapping[str, Any], names: Sequence[str], results: Sequence[Sequence[SequenceResult]],
               galleries: Sequence[EngineGallery]) -> str:  # fmt: skip
    """The page as text."""
    what, contract = found["set"], found["contract"]
    title = f"{', '.join(names)} on {set_title(what)}"
    rate = f" in open loop at {contract['rate_hz']:g} Hz" if contract["rate_hz"] else ""
    parts = [
        f"<h1>{text(title)}</h1>",
        f"<p>{what['sequences']} sequences, {what['frames']} frames, {what['labelled']} of them labelled. "
        f"{_MODES[contract['mode']]}{rate}. Latency: {text(contract['start'])} → {text(contract['end'])}.</p>",
        _figures(found, names), _timeline(found, names, results), _stages(found, names), _scatter(found, names),
        _groups(found, names), _classes(found, names),
    ]  # fmt: skip
    parts.append(_not_shown(what["sequences"] - len(galleries[0].sequences)))
    for name, gallery in zip(names, galleries, strict=True):
        parts += [_worst(name, gallery), _strips(name, gallery)]
    return document(title, [*parts, _about(found)], _STYLE)


def _figures(found: Mapping[str, Any], names: Sequence[str]) -> str:
    parts = [row["overall"] for row in found["rows"]]
    rows = []
    for title, (key, what) in _SCORES.items():
        values = [part["scores"].get(key) for part in parts]
        if any(value is not None for value in values):
            rows.append([title, *map(_percent, values), what])
    for title, key, what in (
        ("p50, ms", "p50", "half of the frames were quicker"),
        ("p90, ms", "p90", "nine of ten were"),
        ("max, ms", "max", "the slowest"),
    ):
        ms = [part["latency_ms"].get("end_to_end") or part["latency_ms"].get("infer", {}) for part in parts]
        rows.append([title, *(f"{one[key]:.2f}" if key in one else "–" for one in ms), what])
    rows.append(["frames a second", *(f"{part['fps']:.1f}" if part["fps"] else "–" for part in parts),
                 "one inference after the other" if found["contract"]["mode"] == "infer" else "published"])  # fmt: skip
    rows.append(
        [
            "published",
            *(f"{part['published']} of {part['captured']}" for part in parts),
            "of the frames captured; the rest was dropped",
        ]
    )
    if "deadline_misses" in parts[0]:
        rows.append(["later than a period", *(str(part["deadline_misses"]) for part in parts), "of those published"])
    figures = table(["", *map(text, names), ""], [[*row[:-1], _told(row[-1])] for row in rows])
    return f'<h2>Figures</h2><div class="scores" style="--engines:{len(names)}">{figures}</div>'


def _timeline(found: Mapping[str, Any], names: Sequence[str], results: Sequence[Sequence[SequenceResult]]) -> str:
    series = [(name, [t.end_to_end_ms for result in one for t in result.run.timed])
              for name, one in zip(names, results, strict=True)]  # fmt: skip
    rate, ends = found["contract"]["rate_hz"], accumulate((len(one.run.timed) for one in results[0]), initial=0)
    firsts = [(first, one.sequence) for first, one in zip(ends, results[0], strict=False)]
    told = " Ticks below are frames that were dropped; the dashed line is one period." if rate else ""
    return (f"<h2>Latency over time</h2><p>Every frame of every sequence, in order.{told}</p>{_key(names)}"
            f'<div class="wide">{timeline(series, 1e3 / rate if rate else None, firsts)}</div>')  # fmt: skip


def _stages(found: Mapping[str, Any], names: Sequence[str]) -> str:
    rows = []
    for name, row in zip(names, found["rows"], strict=True):
        ms = row["overall"]["latency_ms"]
        rows.append((name, [(stage, ms[stage]["p50"]) for stage in STAGES if ms.get(stage)]))
    if max(len(stages) for _, stages in rows) < 2:
        return ""  # one bar of one colour says no more than the table
    return (f"<h2>Stages</h2><p>The p50 of each, one after the other.</p>{_key([s for s, _ in rows[0][1]])}"
            f'<div class="wide">{waterfall(rows)}</div>')  # fmt: skip


def _scatter(found: Mapping[str, Any], names: Sequence[str]) -> str:
    key = next((k for k in ("miou", "group_miou") if all(
        row["overall"]["scores"][k] is not None for row in found["rows"])), None)  # fmt: skip
    if key is None or len(names) < 2:
        return ""
    points = []
    for name, row in zip(names, found["rows"], strict=True):
        ms = latency(row["overall"])
        points.append(Point(name, ms.value, ms.low, ms.high, row["overall"]["scores"][key]))
    label = "mIoU" if key == "miou" else "mIoU of groups"
    return f'<h2>Accuracy against latency</h2><div class="wide">{scatter(points, label)}</div>'


def _groups(found: Mapping[str, Any], names: Sequence[str]) -> str:
    groups = list(found["rows"][0]["groups"])
    if len(groups) < 2:
        return ""
    rows = []
    for group in groups:
        for name, row in zip(names, found["rows"], strict=True):
            part = row["groups"][group]
            ms = part["latency_ms"].get("end_to_end") or part["latency_ms"].get("infer", {})
            rows.append([text(group), text(name), _percent(part["scores"]["miou"]),
                         _percent(part["scores"]["group_miou"]), _percent(part["scores"]["tc"]),
                         f"{ms['p50']:.2f}" if ms else "–", f"{part['published']} of {part['captured']}"])  # fmt: skip
    return "<h2>Groups of sequences</h2>" + table(
        ["", "engine", "mIoU", "mIoU of groups", "TC", "p50, ms", "published"], rows)  # fmt: skip


def _classes(found: Mapping[str, Any], names: Sequence[str]) -> str:
    scores = [row["overall"]["scores"] for row in found["rows"]]
    classes = list(dict.fromkeys(name for one in scores for name in one.get("iou", {})))
    rows = [[text(name), *(_percent(one.get("iou", {}).get(name)) for one in scores)] for name in classes]
    told = "<h2>IoU by class</h2><p>–: neither in the truth nor predicted.</p>"
    return told + table(["", *map(text, names)], rows) if rows else ""


def _not_shown(sequences: int) -> str:
    """What the pictures leave out; the figures are of all sequences."""
    if not sequences:
        return ""
    some = "1 sequence that was" if sequences == 1 else f"{sequences} sequences that were"
    return f"<p>No frames of {some} done by an earlier command are among the worst and the most flickering ones.</p>"


def _worst(name: str, gallery: EngineGallery) -> str:
    shown = gallery.worst.shown[:10]
    if not shown:
        return ""
    legend = "".join(f"<span>{dot(gallery.labels, cls)}</span>" for cls in gallery.labels.classes)
    return (f"<h2>Worst frames of {text(name)}</h2><p>By the mean IoU of each frame. Errors are red; grey has no truth."
            f'</p><div class="legend">{legend}</div>' + "".join(map(figure, shown)))  # fmt: skip


def _strips(name: str, gallery: EngineGallery) -> str:
    if not gallery.strips:
        return ""
    return (f"<h2>Most flickering seconds of {text(name)}</h2><p>Mean share of the followed pixels that change class "
            "from frame to frame.</p>" + "".join(map(_strip, gallery.strips)))  # fmt: skip


def _strip(strip: Strip) -> str:
    images = "".join(f'<img alt="" loading="lazy" src="data:image/jpeg;base64,{base64.b64encode(thumb).decode()}">'
                     for thumb in strip.thumbs)  # fmt: skip
    return (f"<figure><figcaption>{text(strip.sequence)} from {text(strip.first)}: {100 * strip.rate:.2f} %"
            f'</figcaption><div class="strip">{images}</div></figure>')  # fmt: skip


def _about(found: Mapping[str, Any]) -> str:
    facts = {**found["provenance"], **found["environment"], **found["contract"], **found["set"]}
    for i, row in enumerate(found["rows"]):
        facts |= {f"engine {i + 1} {key}": value for key, value in row["engine"].items()}
        facts[f"engine {i + 1} used"] = row["usage"]
    facts["command"] = " ".join(found["provenance"]["command"])
    told = {key: plain(value) for key, value in facts.items()}
    body = "".join(f'<tr><td>{text(k)}</td><td class="text">{text(v)}</td></tr>' for k, v in told.items() if v)
    return f"<h2>What was run</h2><table>{body}</table>"


def _key(names: Sequence[str]) -> str:
    squares = "".join(
        f'<span><svg viewBox="0 0 10 10"><rect class="s{i % 6}" width="10" height="10"/></svg>{text(name)}</span>'
        for i, name in enumerate(names)
    )
    return f'<div class="key">{squares}</div>'


def _told(what: str) -> str:
    return f'<span class="told">{text(what)}</span>'


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
