"""Time the working tree against its parent commit: `drivenet bench` of both in turns, and the ratio of their p50."""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Student's t for 95 %, two-sided, by degrees of freedom.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def main() -> None:
    """Print one line an engine; further arguments go to `drivenet bench`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each tree, 2 to 10")
    options, more = parser.parse_known_args()
    parent = "HEAD" if _git("status", "--porcelain", "--untracked-files=no") else "HEAD^"
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "parent")
        _git("worktree", "add", "--detach", str(tree), parent)
        try:
            pairs = [(_bench(ROOT, more), _bench(tree, more)) for _ in range(options.rounds)]
        finally:
            _git("worktree", "remove", "--force", str(tree))
    for name in pairs[0][0].keys() & pairs[0][1].keys():
        _tell(name, [math.log(now[name] / before[name]) for now, before in pairs], parent)


def _bench(tree: Path, more: list[str]) -> dict[str, float]:
    """By engine the p50 in ms."""
    done = subprocess.run(
        [sys.executable, "-m", "drivenet", "bench", *more, "--json", "-"], cwd=tree, check=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tree)},
    )  # fmt: skip
    rows = json.loads(done.stdout)["rows"]
    return {f"{row['model']} {row['engine']['backend']} {row['engine']['precision']}": row["latency_ms"]["p50"]
            for row in rows}  # fmt: skip


def _tell(name: str, logs: list[float], parent: str) -> None:
    middle = statistics.mean(logs)
    margin = STUDENT[len(logs) - 1] * statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    low, high = math.exp(middle - margin), math.exp(middle + margin)
    verdict = "slower" if low > 1 else "faster" if high < 1 else "no more than noise"
    print(f"{name}: p50 {math.exp(middle):.3f} of {parent} ({low:.3f} to {high:.3f}), {verdict}")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
