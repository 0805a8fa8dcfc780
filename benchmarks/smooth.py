"""Price and gain of ``--smooth``: added ms, flicker on a clip, mIoU and flicker on the synthetic drive.

    python benchmarks/smooth.py CLIP [--engine NAME] [--backend NAME] [--frames N] [--json FILE]

Both ways see the same inferences. Flicker is the fraction of pixels with certain motion whose class changes
(docs/evaluation.md).
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from drivenet import open_engine, open_source
from drivenet.classmap import Ids
from drivenet.evaluation.flicker import Flicker
from drivenet.frame import Frame
from drivenet.latency import Timeline, now_ns
from drivenet.metrics import ConfusionMatrix
from drivenet.prepare import prepare, resize_ids
from drivenet.record import Record
from drivenet.stages import default_stages, run_stages
from drivenet.stages.smooth import Smooth
from drivenet.synthetic import HELD_OUT_SEED, SyntheticDrive


def drawn(engine: Any, frames: int) -> Iterator[tuple[Frame, Ids]]:
    """Frames of a held-out drive with their true ids."""
    drive = SyntheticDrive(960, 540, fps=30, seed=HELD_OUT_SEED, labels=engine.spec.label_set)
    for index in range(frames):
        image, ids = drive.render(index)
        yield Frame(image, index, now_ns(), round(index * 1e9 / 30)), ids


def measured(engine: Any, frames: Iterable[tuple[Frame, Ids | None]]) -> dict[str, Any]:
    """Flicker, mIoU where the truth is known, and the stage's ms, without and with the smoothing."""
    labels, smooth, times = engine.spec.label_set, Smooth(), []
    flicker = {False: Flicker(labels), True: Flicker(labels)}
    score = {False: ConfusionMatrix.empty(labels), True: ConfusionMatrix.empty(labels)}
    before: dict[bool, Any] = {}
    for frame, truth in frames:
        plain = run_stages(Record(frame, labels, Timeline(frame.captured_ns)), default_stages(engine))
        done = run_stages(plain, [smooth])
        times.append(done.stages_ms["smooth"])
        for smoothed, record in ((False, plain), (True, done)):
            ids = record.classmap.ids
            grey = np.asarray(cv2.cvtColor(prepare(frame.image, ids.shape), cv2.COLOR_BGR2GRAY), np.uint8)
            if smoothed in before:
                flicker[smoothed].add(before[smoothed], (grey, ids))
            before[smoothed] = grey, ids
            if truth is not None:
                score[smoothed].add(truth, resize_ids(ids, frame.size))
    return {
        "frames": len(times),
        "smooth_ms_p50": round(float(np.median(times)), 2),
        "flicker": {str(k): round(v.rate, 5) for k, v in flicker.items()},
        "miou": {str(k): round(v.miou(), 4) for k, v in score.items()} if truth is not None else None,
    }


def main() -> None:
    """Print the figures, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("--engine")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with open_source(chosen.clip, paced=False) as source:
        engine = open_engine(chosen.engine, chosen.backend)
        clip = measured(engine, ((frame, None) for frame in itertools.islice(source, chosen.frames)))
    found = {"engine": engine.describe(), "clip": clip, "drive": measured(engine, drawn(engine, chosen.frames))}
    print(json.dumps(found, indent=1, default=str))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
