"""YOLO26n-sem (random weights) and engines of drivenet through the same harness: infer, closed loop and open loop.

It needs an environment of its own, since Ultralytics is AGPL-3.0:

    python -m venv yolo && yolo/bin/pip install ".[train,openvino,import]" ultralytics
    yolo/bin/python benchmarks/compare_yolo.py out --engine fast --rate 17

writes out/yolo26n-sem.onnx, out/MODE.json and out/table.md. Weights are random, so that only times mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from drivenet.synthetic import SyntheticDrive

MODES = ("infer", "closed", "open")


def main() -> None:
    """Export, import, run the three modes, and write the table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--engine", action="append", help="of drivenet; may be repeated [default: fast]")
    parser.add_argument("--size", default="512x288", metavar="WIDTHxHEIGHT", help="input of YOLO26n-sem")
    parser.add_argument("--rate", default="17", metavar="HZ", help="of the open loop")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--dataset", default="synthetic-video")
    parser.add_argument("--root", default=None)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    model = options.out / "yolo26n-sem.onnx"
    if not model.is_file():
        _import(_export(options.out, tuple(map(int, reversed(options.size.split("x"))))), model)
    rows = {mode: _bench(options, model, mode) for mode in MODES}
    (options.out / "table.md").write_text(_table(rows), encoding="utf-8")
    print(_table(rows))


def _export(folder: Path, size: tuple[int, ...]) -> Path:
    """The ONNX of Ultralytics' exporter, with random weights."""
    os.environ.setdefault("YOLO_OFFLINE", "true")
    _stand_in_for_nms()
    import torch
    from ultralytics import YOLO

    torch.manual_seed(0)
    model = YOLO("yolo26n-sem.yaml")
    _settle(model.model, size)
    written = model.export(format="onnx", imgsz=list(size), simplify=False)
    target = folder / "ultralytics.onnx"
    Path(written).replace(target)
    return target


def _settle(network: Any, size: tuple[int, ...]) -> None:
    """Give the normalisations the statistics of two images: with those of nothing, one class wins everywhere."""
    import torch

    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
            module.reset_running_stats()
    drive = SyntheticDrive(size[1], size[0])
    images = np.stack([drive.render(40 * i)[0] for i in range(2)])
    network.train()
    with torch.no_grad():
        network(torch.from_numpy(images[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255)
    network.eval()


def _stand_in_for_nms() -> None:
    """On PyTorch's CPU build torchvision looks for operators that are not there; nothing here calls them."""
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["_kept"] = library


def _import(exported: Path, model: Path) -> None:
    _drivenet("import", exported, "--from", "onnx", "--preset", "ultralytics-semantic", "--labels", "cityscapes",
              "--out", model)  # fmt: skip


def _bench(options: argparse.Namespace, model: Path, mode: str) -> list[dict[str, object]]:
    file = options.out / f"{mode}.json"
    root = ("--root", options.root) if options.root else ()
    rate = ("--rate", options.rate) if mode == "open" else ()
    _drivenet("bench", *(options.engine or ["fast"]), model, "--backend", options.backend, "--dataset",
              options.dataset, *root, "--mode", mode, *rate, "--json", file)  # fmt: skip
    found: list[dict[str, object]] = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return found


def _drivenet(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "drivenet", *map(str, arguments)], check=True)


def _table(modes: dict[str, list[dict]]) -> str:
    lines = ["| mode | engine | p50 ms | of YOLO26n-sem | published of captured |", "| --- | --- | --- | --- | --- |"]
    for mode, rows in modes.items():
        ms = [(row["overall"]["latency_ms"].get("end_to_end") or row["overall"]["latency_ms"]["infer"])["p50"]
              for row in rows]  # fmt: skip
        for row, one in zip(rows, ms, strict=True):
            part, name = row["overall"], Path(row["engine"]["file"]).name
            lines.append(f"| {mode} | {name} | {one:.2f} | {one / ms[-1]:.2f} | {part['published']} of "
                         f"{part['captured']} |")  # fmt: skip
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
