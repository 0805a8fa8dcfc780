"""``drivenet batch``: many video files, in segments, by one process or several."""

from __future__ import annotations

import glob
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from drivenet.artefacts.catalog import files_read
from drivenet.batch.plan import SEGMENT_FRAMES
from drivenet.batch.run import MANIFEST, executor, run
from drivenet.batch.work import Job, is_output
from drivenet.cli.engine_options import engine_options
from drivenet.cli.output import check_file, console, progress
from drivenet.engine import open_engine
from drivenet.errors import SourceNotFoundError, UsageError


@click.command()
@click.argument("videos", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder of the outputs.")
@click.option("--engine", metavar="FILE|NAME", help="A model file, or a name from drivenet models.")
@engine_options
@click.option("--workers", type=click.IntRange(min=1), metavar="N",
              help="Processes with an engine each. [default: 1; with --address as many as fit]")  # fmt: skip
@click.option("--address", metavar="ray://HOST:PORT|local",
              help="Ray cluster to use; local starts one on this machine.")  # fmt: skip
@click.option("--overlay", is_flag=True, help="Also write overlays, losslessly.")
@click.option("--segment-frames", type=click.IntRange(min=1), default=SEGMENT_FRAMES, show_default=True, metavar="N",
              help="A segment ends at the first key frame after so many frames.")  # fmt: skip
def batch(videos: tuple[str, ...], out: Path, workers: int | None, address: str | None, overlay: bool,
          segment_frames: int, **opener: Any) -> None:  # fmt: skip
    """Segment VIDEOS, files or quoted globs: class maps, scenes and things of every frame.

    Each file is cut into segments at key frames. After a kill, the same command again does only what is missing;
    the outputs are the same bytes for any number of workers.

    \b
    drivenet batch "videos/**/*.mp4" --out found --workers 4
    drivenet batch drive.mp4 --out found --engine fast --overlay
    drivenet batch "videos/**/*.mp4" --out found --address ray://head:10001
    """
    if find_spec("pyarrow") is None:
        raise UsageError("drivenet batch needs pyarrow", cure="pip install 'drivenet[batch]'")
    for part in () if address is None else ("ray", "grpc") if ":" in address else ("ray",):
        if find_spec(part) is None:
            raise UsageError(f"--address {address} needs {part}", cure="pip install 'drivenet[cluster]'")
    found = (file for pattern in videos for file in _files(pattern))
    files = list({file.parent.resolve() / file.name: file for file in found}.values())
    check_file(str(out / MANIFEST), *files, *files_read(opener["engine"], opener["backend"]))
    open_engine(**opener).close()  # an engine that is not there is told before the workers start
    with progress() as bar:
        task = bar.add_task("segments", total=None, note="")
        done = run(
            files, opener, Job(out, overlay), executor(workers, address),
            lambda n, total: bar.update(task, completed=n, total=total), segment_frames,
        )  # fmt: skip
    console.print(f"{done} segments done now; {out / MANIFEST} lists all")


def _files(pattern: str) -> list[Path]:
    """A file, or those of a glob; but for what a batch has written, which may lie beside the videos."""
    if Path(pattern).is_file():
        return [Path(pattern)]
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    files = [file for file in found if file.is_file() and not is_output(file)]
    if not files:
        raise SourceNotFoundError(f"no videos match {pattern}", "a file, or a quoted glob such as 'videos/**/*.mp4'")
    return files
