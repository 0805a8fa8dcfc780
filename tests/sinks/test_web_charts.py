"""The charts of the page in a real browser: what they draw of given times."""

from __future__ import annotations

import pytest

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from web_node import Node
from web_viewer import OpenPage

#: By asked second before now, whether the stacked chart of frames at these times is filled there.
_FILLED = """async ([window, ends, step, asked]) => {
  const { Charts } = await import("./charts.js");
  const stages = document.body.appendChild(document.createElement("div"));
  stages.style.width = "600px";
  const charts = Object.create(Charts.prototype);
  Object.assign(charts, { elements: { stages }, window, stages: ["infer"], colours: ["#ff0000"], samples: [] });
  for (const [first, last] of ends) {
    for (let s = first; s <= last + 1e-6; s += step) charts.samples.push([100_000 + 1000 * s, 5]);
  }
  charts.drawStages();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const plot = charts.stackPlot;
  return asked.map((s) => {
    const [x, y] = [plot.valToPos(s, "x", true), plot.valToPos(2, "y", true)].map(Math.round);
    const [red, green] = plot.ctx.getImageData(x, y, 1, 1).data;
    return red > 200 && green < 60;
  });
}"""


@pytest.mark.parametrize("window", ["60", "300", "run"])
@pytest.mark.parametrize("step", [0.04, 1.5], ids=["25 fps", "2 in 3 s"])
def test_nothing_is_drawn_over_a_time_without_frames(node: Node, open_page: OpenPage, step: float, window: str) -> None:
    """A ramp led from the latency before to that behind; frames that seldom come are one surface as before."""
    asked = [-50, -45.3, -42, -25, -11, -5.6, -1]
    filled = open_page(node).evaluate(_FILLED, [window, [(-54, -40), (-12, 0)], step, asked])
    assert filled == [True, True, True, False, True, True, True]
