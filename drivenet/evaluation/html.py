"""HTML pages that need nothing else: their style, tables and rows of pictures. Everything in them is escaped."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence

from drivenet.evaluation.gallery import Shown
from drivenet.labels import LabelSet

STYLE = """
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


def document(title: str, parts: Sequence[str], style: str = "") -> str:
    """A whole page of some parts that are HTML already."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}{style}</style></head><body>\n"
        + "\n".join(parts) + "\n</body></html>\n"
    )  # fmt: skip


def figure(shown: Shown) -> str:
    """A picture beside truth, prediction and errors."""
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
    caption = f"{text(shown.name)}: mIoU {percent(shown.miou)}"
    return f'<figure><figcaption>{caption}</figcaption><div class="four">{cells}</div></figure>'


def plain(value: object) -> str:
    """A value of a dictionary as people write it: [height, width] as WIDTHxHEIGHT, nothing for None."""
    if isinstance(value, dict):
        return ", ".join(f"{k}: {plain(v)}" for k, v in value.items() if v is not None)
    if isinstance(value, (list, tuple)):
        return f"{value[1]}x{value[0]}" if [*map(type, value)] == [int, int] else ", ".join(map(str, value))
    return "" if value is None else str(value)


def table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are HTML already."""
    head = "".join(f"<th>{text(c)}</th>" for c in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def dot(labels: LabelSet, name: str) -> str:
    """A class with its colour."""
    red, green, blue = labels.palette[labels.id_of(name)]
    return f'<i class="dot" style="background:rgb({red},{green},{blue})"></i>{text(name)}'


def bar(share: float) -> str:
    """A share, 0..1, as a bar."""
    return "" if math.isnan(share) else f'<span class="bar"><i style="width:{100 * share:.1f}%"></i></span>'


def percent(share: float) -> str:
    """A share, 0..1, in per cent; a dash for NaN."""
    return "–" if math.isnan(share) else f"{100 * share:.2f} %"


def text(value: object) -> str:
    """Any text, escaped."""
    return html.escape(str(value), quote=True)
