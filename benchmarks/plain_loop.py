"""The loop most people write: OpenCV reads, ONNX Runtime infers, OpenCV blends and writes; one after the other.

    python benchmarks/plain_loop.py CLIP engines/fast.onnx OUT.mp4 --logits

With ``--logits`` the network gives float scores and NumPy takes the best class, as people write it; without, the ids
come from the graph, as ``drivenet export`` writes it. It is a measure for ``benchmarks/compare_loops.py``, and nothing
else uses it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort

ALPHA = 0.5


def with_logits(model: bytes) -> bytes:
    """The same ONNX with the float scores that its last ArgMax takes as its only output."""
    graph = onnx.load_from_string(model)
    best = next(node for node in reversed(graph.graph.node) if node.op_type == "ArgMax")
    del graph.graph.output[:]
    graph.graph.output.append(onnx.helper.make_tensor_value_info(best.input[0], onnx.TensorProto.FLOAT, None))
    return graph.SerializeToString()


def palette(onnx_file: Path) -> np.ndarray[Any, Any]:
    """(256, 1, 3) uint8 BGR from the JSON beside the ONNX."""
    colours = json.loads(onnx_file.with_suffix(".json").read_text())["labels"]["palette"]
    table = np.zeros((256, 1, 3), np.uint8)
    table[: len(colours), 0] = np.array(colours, np.uint8)[:, ::-1]
    return table


class PlainLoop:
    """A session, opened once; :meth:`run` takes it over a clip.

    Args:
        onnx_file: the model, with its JSON beside it.
        logits: whether NumPy takes the best class.
    """

    def __init__(self, onnx_file: Path, logits: bool) -> None:
        content = onnx_file.read_bytes()
        self.session = ort.InferenceSession(
            with_logits(content) if logits else content, providers=["CPUExecutionProvider"]
        )
        self.output = self.session.get_outputs()[0].name
        self.logits, self.table = logits, palette(onnx_file)
        _, self.height, self.width, _ = self.session.get_inputs()[0].shape

    def run(self, clip: Path, out: Path, frames: int | None = None) -> int:
        """Segment and record a clip; how many frames there were."""
        capture = cv2.VideoCapture(str(clip))
        size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        writer = cv2.VideoWriter(str(out), cv2.VideoWriter_fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS), size)
        count = 0
        while count != frames:
            good, frame = capture.read()
            if not good:
                break
            image = cv2.resize(frame, (self.width, self.height))
            (found,) = self.session.run([self.output], {"frame": image[None]})
            ids = found[0].argmax(0).astype(np.uint8) if self.logits else found[0]
            colours = cv2.applyColorMap(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST), self.table)
            writer.write(cv2.addWeighted(frame, 1 - ALPHA, colours, ALPHA, 0))
            count += 1
        writer.release()
        capture.release()
        return count


def main() -> None:
    """Run it once and print frames a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--logits", action="store_true")
    parser.add_argument("--frames", type=int)
    told = parser.parse_args()
    loop = PlainLoop(told.onnx, told.logits)
    started = time.monotonic()
    count = loop.run(told.clip, told.out, told.frames)
    print(f"{count / (time.monotonic() - started):.1f} frames/s over {count} frames")


if __name__ == "__main__":
    main()
