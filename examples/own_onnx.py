"""The ONNX of another program as an engine: ``python own_onnx.py MODEL.onnx LABELS [IMAGE]``.

Needs the extra [import]. LABELS is a built-in label set or a YAML file. The preprocessing is that of
segmentation_models.pytorch; the import fails if the result differs from the original's.
"""

import sys
from pathlib import Path

import cv2

from drivenet import Segmenter, import_onnx


def main(model, labels, image):
    mine = Path(model).with_name("mine.onnx")
    imported = import_onnx(model, mine, labels, preset="smp")
    print(imported.agreement)
    if image:
        with Segmenter(mine) as segmenter:
            cv2.imwrite("overlay.jpg", segmenter.segment(image).overlay())
        print("wrote overlay.jpg")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
