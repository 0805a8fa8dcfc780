"""The page of ``drivenet bench --report``, as a browser lays it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cli_parts import call
from onnx_models import paint, palette_model

from drivenet.labels import CITYSCAPES

#: Texts of a table that a reader has to scroll for, or that lie upon each other.
HIDDEN = """() => [...document.querySelectorAll('.scores tr')].flatMap(row => {
  const cells = [...row.children].filter(c => c.textContent).map(c => {
    const range = document.createRange()
    range.selectNodeContents(c)
    return [c.textContent, range.getBoundingClientRect()]
  })
  return cells.filter(([, a], i) => a.right > innerWidth || cells.slice(0, i).some(([, b]) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)).map(([text]) => text)
})"""


def write_page(folder: Path) -> Path:
    """The page of two engines on three frames."""
    engines = [palette_model(folder, name, CITYSCAPES) for name in ("fast", "accurate")]
    ids = np.full((32, 48), CITYSCAPES.id_of("road"), np.uint8)
    for name in ("drive", "labels"):
        (folder / name).mkdir()
    for i in range(3):
        assert cv2.imwrite(str(folder / "drive" / f"{i}.png"), paint(ids, CITYSCAPES))
    assert cv2.imwrite(str(folder / "labels" / "1.png"), ids)
    (folder / "set.yaml").write_text("name: mine\nsequences:\n  - {frames: drive, labels: labels}\n")
    how = ("--backend", "onnxruntime", "--threads", 1, "--dataset", "listed", "--root", folder / "set.yaml")
    assert call("bench", *engines, *how, "--report", folder / "page") == 0
    return folder / "page" / "index.html"


@pytest.mark.parametrize("width", [1280, 360])
def test_figures_and_what_they_are_can_be_read_without_scrolling_sideways(
    tmp_path: Path, browser: Any, width: int
) -> None:
    file = write_page(tmp_path)
    page = browser.new_page(viewport={"width": width, "height": 740})
    page.goto(file.as_uri())
    assert page.locator(".told").count() > 5
    assert page.evaluate(HIDDEN) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
