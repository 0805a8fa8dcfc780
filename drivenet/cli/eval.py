"""``drivenet eval``: score the deployed artefact through the path that a run takes."""

from __future__ import annotations

from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import click

from drivenet.artefacts.catalog import files_read
from drivenet.cli.agreement import agreement, show_agreement
from drivenet.cli.engine_options import engine_options
from drivenet.cli.eval_suite import percent as _percent
from drivenet.cli.eval_suite import score_suite
from drivenet.cli.given import given, refuse
from drivenet.cli.output import check_file, console, progress, table, write_json
from drivenet.cli.output import report as shown
from drivenet.cli.record import check_record, write_record
from drivenet.config import load_labels, yaml_file
from drivenet.data import DATASETS, SPLITS, WITHOUT_LABEL_SET, open_dataset
from drivenet.data.base import Dataset
from drivenet.data.sequences.files import snippets
from drivenet.engine.base import Engine
from drivenet.engine.laned import open_for_many
from drivenet.errors import UsageError
from drivenet.evaluation import Report
from drivenet.evaluation.calibration import Calibration
from drivenet.evaluation.comparison import compare
from drivenet.evaluation.flicker import Flicker, evaluate_flicker
from drivenet.evaluation.gallery import Gallery
from drivenet.evaluation.page import PAGE, write_page
from drivenet.evaluation.parted import found_things
from drivenet.evaluation.suite import Part, view
from drivenet.labels import LabelSet
from drivenet.panoptic.quality import PanopticQuality
from drivenet.sinks.target import check_writable
from drivenet.sources import files_of, kind_of, open_source

#: The one of the thresholds, 0..1, that the line about confidence tells of.
SURE = 0.9
#: The options of one data set, by the names of their parameters.
_OF_ONE = ("dataset", "root", "split", "labels", "mapping", "protocol", "ignore_fringes", "instances", "flicker",
           "flicker_frames", "same", "record", "folder")  # fmt: skip
#: Those that labelled pictures are asked for with; without one of them, --flicker and --agreement need none.
_SCORING = (
    "dataset",
    "root",
    "split",
    "labels",
    "mapping",
    "protocol",
    "ignore_fringes",
    "instances",
    "record",
    "folder",
)
#: Those that make another score of it than the one that an artefact records.
_OTHERWISE = ("mapping", "protocol", "ignore_fringes")
#: The data sets that --labels is for.
_UNNAMED = "|".join(WITHOUT_LABEL_SET)


@click.command("eval")
@click.argument("engines", nargs=-1, metavar="[ENGINE]...")
@click.option("--dataset", type=click.Choice(sorted(DATASETS)), default="synthetic", show_default=True,
              help="Labelled images to score on.")  # fmt: skip
@click.option("--root", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the data set.")
@click.option("--split", type=click.Choice(SPLITS), default="val", show_default=True)
@engine_options
@click.option("--labels", metavar="NAME|FILE.yaml", help=f"What the ids of --dataset {_UNNAMED} mean.")
@click.option(
    "--mapping",
    type=click.Path(path_type=Path),
    metavar="FILE.yaml",
    help="What each label may be in the engine's classes [default: what ships].",
)
@click.option("--protocol", metavar="WxH", help="Resize images and labels to this size first [default: their own].")
@click.option(
    "--ignore-fringes",
    multiple=True,
    metavar="CLASS",
    help="Rims of this class thinner than 3 pixels have no truth; may be repeated.",
)
@click.option(
    "--instances",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="8-bit PNG of single things, named as the images: 0 none, 255 not known [default: the data set's own].",
)
@click.option(
    "--suite",
    type=click.Path(path_type=Path),
    metavar="FILE.yaml",
    help="One table over the data sets of a file, for each ENGINE [default: all that drivenet models lists].",
)
@click.option("--flicker", metavar="SOURCE", help="Also the flicker rate on consecutive frames of a clip, folder ...")
@click.option("--flicker-frames", type=click.IntRange(min=2), default=250, show_default=True, metavar="N",
              help="Frames of --flicker.")  # fmt: skip
@click.option(
    "--agreement",
    "same",
    metavar="SOURCE",
    help="Also the fraction of equal ids of its fp32 engines, over every frame of a clip, folder ...",
)
@click.option("--record", is_flag=True, help="Record the val mIoU in ENGINE (an ONNX) and its JSON.")
@click.option("--report", "folder", type=click.Path(path_type=Path), metavar="DIR", help=f"Write DIR/{PAGE}.")
@click.option("--json", "json_file", metavar="FILE", help="Write the scores as JSON; - is standard output.")
def evaluate(engines: tuple[str, ...], dataset: str, root: Path | None, split: str, labels: str | None,
             mapping: Path | None, protocol: str | None, ignore_fringes: tuple[str, ...], instances: Path | None,
             suite: Path | None, flicker: str | None, flicker_frames: int, same: str | None, record: bool,
             folder: Path | None, json_file: str | None, **how: Any) -> None:  # fmt: skip
    """Score ENGINE (a file or a name; without it, the default model) on labelled images.

    Images are resized to the engine's input, and class ids (nearest) to the label's size. One confusion matrix counts
    all pixels that have a label.

    \b
    drivenet eval --dataset synthetic
    drivenet eval fast --dataset camvid --root CamVid --split test --json s.json
    drivenet eval --dataset folder --root mine --labels mine.yaml --report out
    drivenet eval fast accurate --suite sets.yaml --json table.json
    drivenet eval fast --flicker drive.mp4
    drivenet eval fast --agreement drive.mp4
    """
    if suite is not None:
        refuse(_OF_ONE, "--suite, which names its data sets", "none of them")
        return score_suite(engines, suite, json_file, **how)
    if record:
        refuse(_OTHERWISE, "--record", "a score of all pixels at the labels' own size")
    engine = _only(engines)
    clips = [clip for clip in (flicker, same) if clip]
    read = [*files_read(engine, how["backend"]), *chain.from_iterable(map(files_of, clips))]
    check_file(json_file, *read, yaml_file(Path(labels)) if labels else None, mapping)
    if folder is not None:
        check_writable(folder / PAGE)
    for clip in clips:
        open_source(clip, paced=False).close()  # one that is not there is told before the pictures are scored
    part = None
    if not clips or given(_SCORING):
        samples = _samples(dataset, root, split, None if labels is None else load_labels(labels))
        part = Part(dataset, view(samples, protocol, ignore_fringes, instances), mapping)
        check_file(json_file, *part.samples.files)
    loaded = open_for_many(engine, **how)
    if record and part:
        check_record(loaded, part.samples)
    gallery = Gallery()
    try:
        if instances and part:
            _check_instances(loaded, part)
        report = _score(loaded, part, gallery if folder else None) if part else None
        flickers = _flicker(loaded, flicker, flicker_frames) if flicker else None
    finally:
        loaded.close()
    if record and report:
        write_record(Path(loaded.file), report.miou)
    agreed = agreement(engine, same, how["threads"]) if same else None
    if json_file != "-":
        _show(report, flickers)
        if agreed:
            show_agreement(agreed)
    more = {"flicker": flickers.to_dict() if flickers else None, "agreement": agreed}
    scores = report.to_dict() if report else {"engine": loaded.describe()}
    write_json(json_file, {**scores, **{name: what for name, what in more.items() if what}})
    if folder is not None and report:
        console.print(f"wrote {write_page(folder, report, gallery, flickers)}")


def _score(engine: Engine, part: Part, gallery: Gallery | None) -> Report:
    with progress() as bar:
        task = bar.add_task("pictures", total=len(part.samples), note="")
        return part.score(engine, lambda done, _: bar.update(task, completed=done), gallery.visit if gallery else None)


def _check_instances(engine: Engine, part: Part) -> None:
    """UsageError where single things would be compared with nothing."""
    if engine.spec.things is None:
        raise UsageError(f"--instances for {engine.file}, which separates no single things", "an engine that does")
    model = engine.spec.label_set
    if compare(model, part.samples.labels, part.mapping_to(model)).on != "classes":
        told = f"--instances of {part.samples.labels.name} for {engine.file}, which has other classes"
        raise UsageError(told, "--mapping FILE.yaml, as groups have no single things")


def _only(engines: tuple[str, ...]) -> str | None:
    if len(engines) > 1:
        raise UsageError(f"{len(engines)} engines: {', '.join(engines)}", "one", "score several with --suite FILE.yaml")
    return engines[0] if engines else None


def _samples(dataset: str, root: Path | None, split: str, labels: LabelSet | None) -> Dataset:
    samples = open_dataset(dataset, root, split, labels)
    if samples.split != split:
        refuse(["split"], f"{root}, which has no {split}", f"{split}/images and {split}/labels in it, or no --split")
    return samples


def _flicker(engine: Engine, uri: str, limit: int) -> Flicker:
    source = open_source(uri, paced=False)
    starts = _starts(uri)
    try:
        with progress() as bar:
            task = bar.add_task("frames", total=min(limit, source.frames or limit), note="")
            return evaluate_flicker(
                engine, source, limit, lambda done: bar.update(task, completed=done), source.name, starts
            )
    finally:
        source.close()


def _starts(uri: str) -> frozenset[int]:
    """The frames of a folder or glob of images at which another snippet begins."""
    if kind_of(uri) != "images":
        return frozenset()
    lengths = [len(part) for part in snippets(files_of(uri))]
    return frozenset(accumulate(lengths))


def _show(report: Report | None, flicker: Flicker | None) -> None:
    if report:
        _show_scores(report)
    if flicker:
        shown.print(
            f"flicker {_percent(flicker.rate)} % of the followed pixels "
            f"({_percent(flicker.covered)} % of all, {flicker.pairs} pairs of frames)"
        )


def _show_scores(report: Report) -> None:
    iou = report.matrix.iou() if report.compared_on == "classes" else {}
    edges = report.boundary.f_score()
    rows = [[name, _percent(v), _percent(edges[name])] for name, v in iou.items()]
    rows += [[f"group {name}", _percent(v), ""] for name, v in report.matrix.group_iou().items()]
    data = report.dataset
    at = "{1}x{0}".format(*report.compared_at) if report.compared_at else "the labels' own sizes"
    table(
        f"IoU on {data['name']} {data['split']}, {report.images} pictures at {at}",
        ["class", "IoU %", "boundary F %"],
        rows,
    )
    classes = report.compared_on == "classes"
    headline = f"mIoU {_percent(report.miou)} %" if classes else f"mIoU of groups {_percent(report.group_miou)} %"
    shown.print(
        f"{headline}, pixel accuracy {_percent(report.pixel_accuracy)} %, "
        f"boundary F {_percent(report.boundary.mean())} %"
    )
    if not classes:
        shown.print("engine and labels have other classes: compared on groups, background not in the mIoU")
    if report.panoptic:
        told = f"; {report.parted} of {report.images} pictures have instances"
        shown.print(_things(report.panoptic) + (told if report.parted < report.images else ""))
    if report.calibration:
        shown.print(_confidence(report.calibration))


def _things(quality: PanopticQuality) -> str:
    means = quality.means()
    parts = [f"{part} {' '.join(_percent(means[part][key]) for key in ('pq', 'sq', 'rq'))}" for part in means]
    found = found_things(quality, lambda share: f"{_percent(share)} %")
    return f"PQ, SQ, RQ of {', '.join(parts)} %; {found}"


def _confidence(calibration: Calibration) -> str:
    sure = next(kept for kept in calibration.kept() if kept.threshold == SURE)
    return (
        f"confidence {_percent(calibration.right)} % where right, {_percent(calibration.wrong)} % where wrong, "
        f"calibration error {_percent(calibration.ece())} %; "
        f"at {SURE:.0%} or more {_percent(sure.share)} % of the pixels, {_percent(sure.accuracy)} % of them right"
    )
