"""Videos to cut, and what a batch writes of them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from onnx_models import SIZE, paint

from drivenet.labels import CITYSCAPES

FRAMES, KEYS, LEAST = 30, 8, 10


#: Of the containers that do not hold H.264, or not with frames out of order.
CODECS = {".mpg": "mpeg2video", ".avi": "mpeg4", ".webm": "libvpx"}


def clip(file: Path, seed: int, frames: int = FRAMES, b_frames: int = 2) -> Path:
    """A small video with a key frame every eight frames, at least, and frames stored out of order."""
    file.parent.mkdir(parents=True, exist_ok=True)
    ids = np.full(SIZE, CITYSCAPES.id_of("road"), np.uint8)
    with av.open(str(file), "w") as container:
        codec, options = CODECS.get(file.suffix, "libx264"), {"bf": str(b_frames), "sc_threshold": "0"}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = SIZE[1], SIZE[0]
        stream.gop_size = KEYS
        for i in range(frames):
            shown = ids.copy()
            shown[4:12, (seed + i) % 36 : (seed + i) % 36 + 10] = CITYSCAPES.id_of("car")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(paint(shown, CITYSCAPES), format="bgr24")))
        container.mux(stream.encode())
    return file


OPENER = {"engine": "city.onnx", "backend": "onnxruntime", "threads": 1}


COMMAND = (
    "batch",
    "videos/**/*.m*",
    "--engine",
    "city.onnx",
    "--backend",
    "onnxruntime",
    "--threads",
    1,
    "--out",
    "out",
)


def videos(folder: Path) -> list[Path]:
    return sorted((folder / "videos").rglob("*.m*"))


def outputs(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}
