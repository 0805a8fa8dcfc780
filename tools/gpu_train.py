#!/usr/bin/env python3
"""Train on a GPU machine without a network: pack here, run there.

python tools/gpu_train.py pack --config configs/train/accurate.yaml --out gpu_train.pack
python tools/gpu_train.py run gpu_train.pack gpu_train-2.pack --minutes 9 --config accurate --out runs/gpu

There it needs torch, torchvision, numpy, OpenCV and onnx, and nothing has to be installed; see docs/training.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if importlib.util.find_spec("drivenet") is None and str(ROOT) not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
    # A checkout that is not installed: start again where Python finds it, in every process that follows too.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONPATH": path})

from drivenet.errors import DrivenetError  # noqa: E402
from drivenet.training.pack import Pack, this_python  # noqa: E402

#: What GPU machines usually have.
USUAL_PYTHON = "3.12"


def main() -> int:
    """Do what the command line says; returns the exit code."""
    options = _parser().parse_args()
    try:
        options.do(options)
    except DrivenetError as error:
        print(f"gpu_train: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="pack|run")
    packing = commands.add_parser("pack", help="settings and the data sets that they name, into files")
    packing.add_argument("--root", type=Path, metavar="DIR", help="folder of the data set, for runs of one")
    packing.add_argument("--out", type=Path, default=Path("gpu_train.pack"))
    packing.add_argument("--config", type=Path, nargs="+", metavar="YAML", help="[default: configs/train/*.yaml]")
    packing.add_argument("--files", type=int, default=2, help="files that there may be [default: %(default)s]")
    packing.add_argument("--python", nargs="+", metavar="3.N", default=sorted({this_python(), USUAL_PYTHON}),
                         help="versions to bring the libraries for [default: %(default)s]")  # fmt: skip
    packing.set_defaults(do=_pack)
    running = commands.add_parser("run", help="train from such a file")
    running.add_argument("file", type=Path, nargs="+")
    running.add_argument("--config", nargs="+", required=True, metavar="NAME", help="settings in the pack")
    running.add_argument("--seeds", type=_numbers, default=[0], metavar="0,1,2")
    running.add_argument("--minutes", type=float, required=True, help="of this call, export and all")
    running.add_argument("--schedule", type=float, help="minutes of all calls together [default: this call's]")
    running.add_argument("--iterations", type=int, help="of each run, instead of a schedule")
    running.add_argument("--out", type=Path, default=Path("runs/gpu"))
    running.add_argument("--resume", action="store_true", help="go on with what lies in --out")
    running.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    running.add_argument("--compile", action="store_true", help="compile the networks: slow to start, then faster")
    running.set_defaults(do=_run)
    return parser


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _pack(options: argparse.Namespace) -> None:
    from drivenet.training.packing import write_pack

    configs = options.config or sorted((ROOT / "configs" / "train").glob("*.yaml"))
    done = write_pack(configs, options.python, options.out, options.root, files=options.files)
    print(f"wrote {', '.join(map(str, done.files))}: {done.size / 1e6:.1f} MB, "
          f"{done.pictures} pictures at JPEG quality {done.quality}, "
          f"settings {', '.join(done.names)}, for Python {', '.join(options.python)}")  # fmt: skip


def _run(options: argparse.Namespace) -> None:
    pack = Pack(options.file)
    pack.add_libraries()
    # What follows needs the libraries that the pack brought.
    from drivenet.export.onnx import export_checkpoint
    from drivenet.training.packed import Request, Sitting

    request = Request(
        options.config, options.seeds, options.minutes, options.schedule, options.iterations, options.out,
        options.resume, options.device, options.compile,
    )  # fmt: skip
    export = lambda best, out, machine: export_checkpoint(best, out, machine=machine)  # noqa: E731
    Sitting(pack, request, export, lambda line: print(line, flush=True)).run()


if __name__ == "__main__":
    sys.exit(main())
