"""A small drive to quantise on."""

from __future__ import annotations

from drivenet.synthetic import SyntheticDrive

SIZE = (64, 96)
DRIVE = SyntheticDrive(96, 64, seed=5)
PICTURES = [DRIVE.render(60 * i)[0] for i in range(6)]
