"""Label sets meet: the label of a data set is a set of the classes of a model (Zhao et al. 2020, ECCV)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field

from drivenet.config import Settings, load_yaml
from drivenet.errors import UsageError
from drivenet.labels import IGNORE_ID, LabelSet

#: The mappings that ship, one file a data set.
FOLDER = Path(__file__).with_name("mappings")


class MappingSettings(Settings):
    """A mapping in a YAML file: for each class of a data set the model's classes that it may be."""

    dataset: str = Field(description="The label set of the data set, by name.")
    model: str = Field(description="The label set of the model, by name.")
    members: dict[str, tuple[str, ...]] = Field(description="By class of the data set, the model's classes.")


@dataclass(frozen=True)
class LabelMapping:
    """What the labels of a data set mean in the classes of a model.

    Args:
        dataset: the label set of the data set.
        model: the label set of the model.
        members: for each class of the data set, in order, the ids of the model's classes that it may be; empty where
            the model has none.
    """

    dataset: LabelSet
    model: LabelSet
    members: tuple[frozenset[int], ...]

    @classmethod
    def of(cls, dataset_labels: LabelSet, model_labels: LabelSet, file: Path | None = None) -> LabelMapping:
        """The mapping between two label sets: a file's, else the identity, else one that ships.

        Raises:
            UsageError, ConfigError: if there is none, or the file names other sets or classes.
        """
        if file is None and dataset_labels.classes == model_labels.classes:
            return cls(dataset_labels, model_labels, tuple(frozenset({i}) for i in range(len(model_labels))))
        shipped = FOLDER / f"{dataset_labels.name}.yaml"
        read = load_yaml(file or shipped, MappingSettings) if file or shipped.is_file() else None
        if read is None or (read.dataset, read.model) != (dataset_labels.name, model_labels.name):
            raise UsageError(
                f"no mapping from {dataset_labels.name} to {model_labels.name}"
                + (f" in {file}, which maps {read.dataset} to {read.model}" if file and read else ""),
                f"the same classes, or one of the mappings {', '.join(f.stem for f in shipped_mappings())}",
                "write one as YAML: dataset, model, members",
            )
        for name in read.members:
            dataset_labels.id_of(name)
        if missing := [name for name in dataset_labels.classes if name not in read.members]:
            raise UsageError(
                f"the mapping from {read.dataset} to {read.model} leaves out {', '.join(missing)}",
                "every class of the data set, with [] where the model has none",
            )
        sets = (frozenset(map(model_labels.id_of, read.members[name])) for name in dataset_labels.classes)
        return cls(dataset_labels, model_labels, tuple(sets))

    @cached_property
    def exclusive(self) -> bool:
        """Whether no class of the model belongs to two classes of the data set."""
        return sum(map(len, self.members)) == len(frozenset().union(*self.members))

    @cached_property
    def to_dataset(self) -> npt.NDArray[np.uint8]:
        """(256,) uint8: from the model's class that won to the data set's class, 255 where it has none.

        A class of the model that belongs to two classes of the data set becomes the first.
        """
        table = np.full(256, IGNORE_ID, np.uint8)
        for i in reversed(range(len(self.members))):
            table[list(self.members[i])] = i
        return table

    @cached_property
    def truth(self) -> npt.NDArray[np.uint8]:
        """(256,) uint8: the data set's class as it is scored, 255 where the model has none of what it may be."""
        table = np.full(256, IGNORE_ID, np.uint8)
        told = [i for i, members in enumerate(self.members) if members]
        table[told] = told
        return table


def shipped_mappings() -> list[Path]:
    """The files of the mappings that ship."""
    return sorted(FOLDER.glob("*.yaml"))
