"""A folder of images to masks with class ids: ``python folder_to_masks.py IMAGES MASKS``."""

import sys
from pathlib import Path

import cv2

from drivenet import Segmenter


def main(images, masks):
    masks.mkdir(parents=True, exist_ok=True)
    files = sorted(file for file in images.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    with Segmenter() as segmenter:
        for file, found in zip(files, segmenter.segment_many(files), strict=True):
            cv2.imwrite(str(masks / f"{file.stem}.png"), found.ids)
    print(f"{len(files)} masks in {masks}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
