"""``drivenet run`` with a recording against Ultralytics' stream of YOLO26n-sem through OpenVINO with saving, in turns.

It needs the environment of ``benchmarks/compare_yolo.py``:

    yolo/bin/python benchmarks/compare_stream.py CLIP OUT --onnx engines/fast.onnx [--threads N]

Both decode, infer, draw and write the first frames of the clip, in interleaved turns of one process. Weights of
YOLO26n-sem are random, so that only times mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from compare_loops import drivenet_turn, engines, measure
from compare_yolo import _settle, _stand_in_for_nms


class Stream:
    """YOLO26n-sem compiled by OpenVINO, opened once; :meth:`run` takes it over a clip.

    Args:
        folder: where the export is kept.
        size: (height, width) of its input.
    """

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        os.environ.setdefault("YOLO_OFFLINE", "true")
        _stand_in_for_nms()
        import torch
        from ultralytics import YOLO

        kept = folder / f"yolo26n-sem-{size[1]}x{size[0]}_openvino_model"
        if not kept.is_dir():
            torch.manual_seed(0)
            model = YOLO("yolo26n-sem.yaml")
            _settle(model.model, size)
            Path(model.export(format="openvino", imgsz=list(size))).rename(kept)
        self._model, self._size = YOLO(str(kept), task="semantic"), size

    def run(self, clip: Path, frames: int) -> None:
        """Segment and save."""
        with tempfile.TemporaryDirectory() as out:
            found: Any = self._model.predict(
                str(clip), stream=True, save=True, imgsz=list(self._size), project=out, verbose=False
            )
            for _ in zip(range(frames), found, strict=False):
                pass
            found.close()
            for writer in self._model.predictor.vid_writer.values():
                writer.release()


def main() -> None:
    """Compare, and print one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--onnx", type=Path, default=Path("engines/fast.onnx"))
    parser.add_argument("--size", default="512x288", metavar="WIDTHxHEIGHT", help="input of YOLO26n-sem")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--frames", type=int, default=120)
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    width, height = map(int, told.size.split("x"))
    stream = Stream(told.out, (height, width))
    turns = {"YOLO26n-sem, Ultralytics stream": lambda _: stream.run(told.clip, told.frames)}
    for name, engine in engines(told.onnx, told.clip).items():
        turns[name] = lambda out, engine=engine: drivenet_turn(engine, told.clip, out, told.frames)
    rows = measure(turns, told.turns, told.frames)
    base = rows["YOLO26n-sem, Ultralytics stream"]["fps"]
    for row in rows.values():
        row["times"] = round(row["fps"] / base, 2)
    print(json.dumps({"turns": told.turns, "frames": told.frames, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
