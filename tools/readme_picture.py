"""The moving picture of the README: overlays of the synthetic drive as an animated WebP.

python tools/readme_picture.py docs/img/drive.webp
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
from PIL import Image

from drivenet import Segmenter, open_source

#: Of the file, frames of the drive for one of it, how many, a second.
SIZE, STEP, FRAMES, RATE = (640, 360), 3, 60, 10


def main(out: Path) -> None:
    pictures = []
    source = open_source(f"synthetic://960x540@30?frames={STEP * FRAMES}", paced=False)
    with Segmenter() as segmenter:
        for frame in source:
            if frame.index % STEP == 0:
                overlay = cv2.resize(segmenter.segment(frame).overlay(alpha=0.5), SIZE, interpolation=cv2.INTER_AREA)
                pictures.append(Image.fromarray(cv2.cvtColor(overlay, cv2.COLOR_BGR2RGB)))
    first, *others = pictures
    first.save(out, save_all=True, append_images=others, duration=1000 // RATE, loop=0, quality=45, method=6)
    print(f"{out}: {len(pictures)} frames, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
