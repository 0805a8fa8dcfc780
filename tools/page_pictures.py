#!/usr/bin/env python3
"""The pictures of the live page in docs/img: the drawn drive through the default engine, in headless Chromium.

    python tools/page_pictures.py                  # on a machine that does nothing else: they show its latency

The drive is drawn before it is shown, so that its frames come at 30 Hz on any machine. With the extra [web].
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from playwright.sync_api import sync_playwright
from watchers import chromium_path

from drivenet import Pipeline, open_engine
from drivenet.frame import Frame
from drivenet.latency import now_ns
from drivenet.overlay import Painter
from drivenet.sinks.web import WebSink
from drivenet.sources.base import Source
from drivenet.synthetic import SyntheticDrive

WIDTH, HEIGHT, RATE = 960, 540, 30.0
#: Where in which drive cars, people and signs are seen at once.
SEED, MIDDLE = 2, 550
#: Of drive after the picture: a busy browser takes seconds for one, in which the source must not be lost.
AFTER_S = 6.0
_DESKTOP = {"viewport": {"width": 1280, "height": 1140}, "color_scheme": "dark"}
_LOST = {**_DESKTOP, "viewport": {"width": 1280, "height": 900}}
_PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True,
          "color_scheme": "light"}  # fmt: skip
_JPEG_QUALITY = 82


class Drive(Source):
    """Frames at their rate; after the last one, nothing more comes."""

    name, fps, size, live = f"synthetic://{WIDTH}x{HEIGHT}@{RATE:g}", RATE, (HEIGHT, WIDTH), True

    def __init__(self, images: list[Any]) -> None:
        self._images = images
        self._stop = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        start = now_ns()
        for index, image in enumerate(self._images):
            if self._stop.wait(max(0.0, (start - now_ns()) / 1e9 + index / RATE)):
                return
            yield Frame(image, index, now_ns())
        self._stop.wait()

    def close(self) -> None:
        self._stop.set()


@contextmanager
def playing(images: list[Any]) -> Iterator[str]:
    """The address of a page that shows these."""
    engine, source = open_engine(), Drive(images)
    painter = Painter(engine.spec.label_set)
    sink = WebSink("127.0.0.1", 0, token=None, allow_anonymous=False, painter=painter, source=source.name,
                   engine=engine.describe())  # fmt: skip
    pipeline = Pipeline(source, engine, [sink], policy="latest", painter=painter)
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        yield sink.url
    finally:
        pipeline.stop()
        thread.join()


def picture(browser: Any, url: str, frame: int, out: Path, how: dict[str, Any], *, lost: bool = False) -> None:
    """Save the page as it is at a frame, or 4 s after it was the last one."""
    with browser.new_context(**how) as context:
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("#window option[value='10']", state="attached")
        page.select_option("#window", "10")
        page.wait_for_function("n => Number(document.body.dataset.frame) >= n", arg=frame, timeout=120_000)
        if lost:
            page.wait_for_function("() => document.querySelector('#banner').innerText.endsWith(' 4 s')")
        elif not how.get("has_touch"):
            point(page, url)
        shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        cv2.imwrite(str(out), shot, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1))
        click.echo(f"wrote {out}", err=True)


def point(page: Any, url: str) -> None:
    """Put the pointer on the largest vehicle."""
    regions = page.request.get(f"{url}stats.json").json()["frame"]["groups"]["vehicle"]["regions"]
    x, y, w, h = max(regions, key=lambda region: region["area"])["box"]
    place = page.locator("#picture").bounding_box()
    scale = place["width"] / WIDTH
    page.mouse.move(place["x"] + scale * (x + w / 2), place["y"] + scale * (y + h / 2))
    time.sleep(0.1)


@click.command()
@click.option("--seconds", default=14, show_default=True, help="Of drive before the picture: the chart shows 10.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("docs/img"), show_default=True)
def main(seconds: int, out: Path) -> None:
    """Write web-desktop.jpg, web-phone.jpg and web-lost.jpg."""
    drive, before = SyntheticDrive(WIDTH, HEIGHT, seed=SEED), round(seconds * RATE)
    after = round(AFTER_S * RATE)
    images = [drive.render(max(0, MIDDLE - before + i))[0] for i in range(before + after)]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        with playing(images) as url:
            picture(browser, url, before - 3, out / "web-desktop.jpg", _DESKTOP)
        with playing(images) as url:
            picture(browser, url, before - 3, out / "web-phone.jpg", _PHONE)
        with playing(images[:before]) as url:
            picture(browser, url, before - 30, out / "web-lost.jpg", _LOST, lost=True)
        browser.close()


if __name__ == "__main__":
    main()
