"""Write the synthetic drive in the layout of Cityscapes' video set, with exact flow: two cities, six sequences."""

from __future__ import annotations

import argparse
from pathlib import Path

from drivenet.data.sequences.synthetic import open_synthetic_video
from drivenet.data.sequences.write import write_cityscapes_video


def main() -> None:
    """Write to the folder of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder of leftImg8bit_sequence, gtFine and flow")
    drives = open_synthetic_video(None, "val").sequences
    write_cityscapes_video(parser.parse_args().root, "val", [("drawnham", drives[:3]), ("sketchford", drives[3:])])


if __name__ == "__main__":
    main()
