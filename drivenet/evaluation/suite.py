"""Several data sets in one YAML file, and the table of all engines on all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from drivenet.config import Settings, load_labels, load_yaml
from drivenet.config_texts import Place
from drivenet.data import DatasetName, open_dataset
from drivenet.data.base import Dataset
from drivenet.data.views import Resized, WithInstances, WithoutFringes
from drivenet.engine.base import Engine
from drivenet.errors import ConfigError, UsageError
from drivenet.evaluation import Progress, Report, Scored, evaluate
from drivenet.label_mapping import LabelMapping
from drivenet.labels import LabelSet


class SetSettings(Settings):
    """One data set of a suite, by the names of the options of ``drivenet eval``."""

    name: str = Field(description="How the table calls it.")
    dataset: DatasetName = Field("folder", description="The layout of its files.")
    root: Place | None = Field(None, description="Its folder.")
    split: str = Field("val", description="train, val or test.")
    labels: Place | None = Field(
        None, description="What the ids mean, where the layout does not say it: NAME or FILE.yaml."
    )
    mapping: Place | None = Field(None, description="A label mapping of your own, FILE.yaml.")
    protocol: str | None = Field(None, description="WxH: pictures and labels are brought to that size first.")
    ignore_fringes: tuple[str, ...] = Field((), description="Classes whose rims thinner than 3 pixels have no truth.")
    instances: Place | None = Field(
        None, description="Folder of 8-bit PNG of single things, named as the images: 0 none, 255 not known."
    )


class SuiteSettings(Settings):
    """A suite: what ``drivenet eval --suite`` scores on."""

    sets: tuple[SetSettings, ...] = Field(min_length=1, description="The data sets, one column of the table each.")

    def check_names(self, where: Path) -> None:
        """ConfigError if two data sets have one name."""
        names = [one.name for one in self.sets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"{where} names two data sets {twice[0]!r}", "distinct names")


@dataclass(frozen=True, eq=False)
class Part:
    """One data set of a suite, opened.

    Args:
        name: how the table calls it.
        samples: its pictures.
        mapping: a file; None for the mapping that ships.
    """

    name: str
    samples: Dataset
    mapping: Path | None = None

    def score(
        self, engine: Engine, progress: Progress | None = None, visit: Callable[[Scored], None] | None = None
    ) -> Report:
        """As :func:`evaluate`."""
        return evaluate(engine, self.samples, progress, visit, self.mapping_to(engine.spec.label_set))

    def mapping_to(self, model: LabelSet) -> LabelMapping | None:
        """The mapping of the file; None leaves the choice to what ships."""
        return LabelMapping.of(self.samples.labels, model, self.mapping) if self.mapping else None


def load_suite(file: Path) -> list[Part]:
    """The data sets of a suite, opened, so that what is missing shows before anything is scored.

    Raises:
        ConfigError, UsageError: for a file that is not right.
        SourceError: for a data set that is missing.
    """
    settings = load_yaml(file, SuiteSettings)
    settings.check_names(file)
    return [_open(one) for one in settings.sets]


def view(
    samples: Dataset, protocol: str | None, ignore_fringes: tuple[str, ...], instances: Path | None = None
) -> Dataset:
    """A data set with the single things of a folder, without fringes, at the size of a protocol.

    Raises:
        UsageError: for a size or class that is none.
        SourceError: for a folder that is none.
    """
    if instances is not None:
        samples = WithInstances(samples, instances)
    if ignore_fringes:
        samples = WithoutFringes(samples, ignore_fringes)
    return Resized(samples, protocol_size(protocol)) if protocol else samples


def protocol_size(text: str) -> tuple[int, int]:
    """(height, width) of ``WxH``; UsageError for anything else."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) <= 16384 and 0 < int(height) <= 16384):
        raise UsageError(f"protocol {text!r}", "WIDTHxHEIGHT in pixels, 480x360 say")
    return int(height), int(width)


def _open(one: SetSettings) -> Part:
    labels = None if one.labels is None else load_labels(one.labels)
    samples = open_dataset(one.dataset, Path(one.root) if one.root else None, one.split, labels)
    if "split" in one.model_fields_set and samples.split != one.split:
        raise UsageError(f"split {one.split} of {one.name}: {one.root} has none of that name",
                         f"{one.split}/images and {one.split}/labels in it, or no split")  # fmt: skip
    mapping = Path(one.mapping) if one.mapping else None
    instances = Path(one.instances) if one.instances else None
    return Part(one.name, view(samples, one.protocol, one.ignore_fringes, instances), mapping)
