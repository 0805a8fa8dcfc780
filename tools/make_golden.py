#!/usr/bin/env python3
"""Write the golden ids of the default engine: what a short synthetic clip must always be segmented into.

    python tools/make_golden.py tests/golden/default.npz

Run it only when the default engine or the synthetic drive was changed on purpose.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from drivenet.artefacts.catalog import find
from drivenet.engine import open_engine
from drivenet.files import sha256_of
from drivenet.prepare import prepare
from drivenet.resources import engines_dir
from drivenet.synthetic import SyntheticDrive

WIDTH, HEIGHT, FPS, SEED, FRAMES = 640, 360, 10.0, 2_000_100, 6


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
def main(out: Path) -> None:
    """Write OUT: ``ids`` (N, H', W') uint8, the clip's parameters, the engine's SHA-256, and its maps of things."""
    file = find("fast", engines_dir())
    engine = open_engine(file, "onnxruntime")
    drive = SyntheticDrive(WIDTH, HEIGHT, FPS, SEED)
    found = [engine.infer_things(prepare(drive.render(i)[0], engine.spec.input)) for i in range(FRAMES)]
    engine.close()
    maps = [one for _, one in found if one is not None]
    things = {name: np.stack([getattr(one, name) for one in maps]) for name in ("centres", "offsets") if maps}
    clip = np.array([WIDTH, HEIGHT, FPS, SEED], np.float64)
    np.savez_compressed(out, ids=np.stack([ids for ids, _ in found]), clip=clip, engine=sha256_of(file), **things)


if __name__ == "__main__":
    main()
