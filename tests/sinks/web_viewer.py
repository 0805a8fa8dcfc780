"""What a viewer of the live page sees in a real browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from web_node import SIZE

from drivenet.result import Result
from drivenet.scene import Region

Page = Any
OpenPage = Callable[..., Page]


def drawn(page: Page, frame: int) -> None:
    """Until the page shows this frame or a later one."""
    page.wait_for_function("n => Number(document.body.dataset.frame) >= n", arg=frame)


def next_shown(page: Page) -> None:
    """Until the screen was renewed: what changed before is drawn."""
    page.evaluate("new Promise(requestAnimationFrame)")


def pixels(page: Page) -> Any:
    """The canvas as it is next shown, (H, W, 3) RGB."""
    next_shown(page)
    url = page.evaluate("document.querySelector('#picture').toDataURL('image/png').split(',')[1]")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url))).convert("RGB")).astype(int)


def vehicle(page: Page, result: Result) -> tuple[Region, float, float]:
    """The largest vehicle and where its middle is in the window."""
    region = max(result.scene.regions["vehicle"], key=lambda r: r.area)
    place = page.locator("#picture").bounding_box()
    scale = place["width"] / SIZE[1]
    x, y, w, h = region.box
    return region, place["x"] + scale * (x + w / 2), place["y"] + scale * (y + h / 2)
