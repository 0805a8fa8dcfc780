"""A made Cityscapes-video tree scored by drivenet and by Cityscapes' official code, and what an open loop loses there.

    pip install ".[test]"
    python benchmarks/official_scores.py out --engine fast

makes two cities with six drawn sequences of 30 frames at 1024x512 in out/tree, and writes out/table.md.
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

REPOSITORY = Path(__file__).resolve().parents[1]
RATE, SLOWER_MS = "30", "80"
#: Tried in turn until a run drops nothing.
CALM_RATES = ("4", "2", "1")


def main() -> None:
    """Make the tree, run, compare, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--engine", default="fast")
    parser.add_argument("--backend", default="onnxruntime")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.out / "tree").is_dir():
        run(REPOSITORY / "tools/make_video_set.py", options.out / "tree")
    found = {
        "dis": bench(options, "dis", "--predictions", options.out / "ids", "--format", "cityscapes"),
        "exact": bench(options, "exact", "--flow", options.out / "tree/flow", "--predictions", options.out / "panoptic",
                       "--format", "coco-panoptic"),
        "open": bench(options, "open", "--mode", "open", "--rate", RATE),
        "slow": bench(options, "slow", "--mode", "open", "--rate", RATE, "--slow-down", SLOWER_MS),
    }  # fmt: skip
    calm_rate, found["calm"] = without_drops(options)
    np.in1d = np.isin  # NumPy 2.4 has the latter alone
    told = scores_table(found, {**by_pixels(options.out), "pq": by_segments(options.out)})
    told += "\n" + open_loop_table(found, calm_rate)
    (options.out / "table.md").write_text(told, encoding="utf-8")
    print(told)


def bench(options: argparse.Namespace, name: str, *more: object) -> dict[str, Any]:
    """The figures of one run over the whole tree."""
    file = options.out / f"{name}.json"
    run("-m", "drivenet", "bench", options.engine, "--backend", options.backend, "--dataset", "cityscapes-video",
        "--root", options.out / "tree", "--json", file, *more)  # fmt: skip
    overall: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["rows"][0]["overall"]
    return overall


def without_drops(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The rate and the figures of an open loop that this machine keeps up with."""
    for rate in CALM_RATES:
        part = bench(options, "calm", "--mode", "open", "--rate", rate)
        if not sum(part["dropped"].values()):
            return rate, part
    raise SystemExit(f"frames are dropped even at {rate} Hz: a machine with less to do is needed")


def run(*arguments: object) -> None:
    """Python with these arguments; an exception if it fails."""
    subprocess.run([sys.executable, *map(str, arguments)], check=True)


def by_pixels(out: Path) -> dict[str, float]:
    """The mIoU and iIoU of cityscapesScripts."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official

    truths = sorted((out / "tree/gtFine/val").rglob("*_gtFine_labelIds.png"))
    stems = [truth.name.removesuffix("_gtFine_labelIds.png") for truth in truths]
    predictions = [next((out / "ids").rglob(f"{stem}_pred_labelIds.png")) for stem in stems]
    official.args.evalPixelAccuracy = official.args.JSONOutput = official.CSUPPORT = False
    official.args.quiet = True
    scores = official.evaluateImgLists([*map(str, predictions)], [*map(str, truths)], official.args)
    return {"miou": scores["averageScoreClasses"], "iiou": scores["averageScoreInstClasses"]}


def by_segments(out: Path) -> float:
    """The PQ of cityscapesScripts."""
    os.environ["CITYSCAPES_DATASET"] = str(out / "tree")
    from cityscapesscripts.evaluation.evalPanopticSemanticLabeling import evaluatePanoptic
    from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic

    (out / "truth").mkdir(exist_ok=True)
    convert2panoptic(str(out / "tree/gtFine"), str(out / "truth"), True, ["val"])
    truth = out / "truth/cityscapes_panoptic_val_trainId"
    evaluatePanoptic(f"{truth}.json", str(truth), str(out / "panoptic/panoptic.json"), str(out / "panoptic/panoptic"),
                     str(out / "pq.json"))  # fmt: skip
    return float(json.loads((out / "pq.json").read_text(encoding="utf-8"))["All"]["pq"])


def scores_table(found: dict[str, Any], official: dict[str, float]) -> str:
    """Our figures beside those of others, as Markdown."""
    dis, exact = found["dis"]["scores"], found["exact"]["scores"]
    rows = [(name.replace("iou", "IoU").replace("pq", "PQ"), exact[name], theirs, "cityscapesScripts")
            for name, theirs in official.items()]  # fmt: skip
    rows.append(("TC by DIS", dis["tc"], exact["tc"], "TC by exact flow"))
    lines = ["| figure | drivenet | reference | difference | of |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {name} | {ours:.10f} | {theirs:.10f} | {abs(ours - theirs):.1e} | {what} |"
              for name, ours, theirs, what in rows]  # fmt: skip
    return "\n".join([*lines, ""])


def open_loop_table(found: dict[str, Any], calm_rate: str) -> str:
    """What became of the frames, and what that cost, as Markdown."""
    lines = ["| open loop | captured | published | dropped | mIoU of all frames | streaming mIoU |",
             "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    titles = {"calm": f"{calm_rate} Hz", "open": f"{RATE} Hz", "slow": f"{RATE} Hz, {SLOWER_MS} ms longer"}
    for name, title in titles.items():
        part, scores = found[name], found[name]["scores"]
        dropped = sum(part["dropped"].values())
        assert part["captured"] == part["published"] + dropped
        assert dropped or scores["streaming_miou"] == scores["miou"]
        lines.append(f"| {title} | {part['captured']} | {part['published']} | {dropped} | "
                     f"{scores['miou']:.4f} | {scores['streaming_miou']:.4f} |")  # fmt: skip
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
