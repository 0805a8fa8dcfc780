"""The single files that training settings name: label sets, mappings, checkpoints to start from and to imitate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from drivenet.errors import UsageError
from drivenet.training.pack import FILES
from drivenet.training.settings import TrainSettings


class NamedFiles:
    """Where each of them lies in a pack.

    Args:
        settings: by name.
        root: folder of the data set, for runs of one.

    Raises:
        UsageError: if some are missing, or folders beside the labels, naming all of these.
    """

    def __init__(self, settings: Mapping[str, TrainSettings], root: Path | None = None) -> None:
        named = [(place, f"{name}: {key}") for name, one in settings.items() for key, place in _named(one)]
        missing = [f"{place} ({key})" for place, key in named if not Path(place).is_file()]
        missing += [f"{folder} ({name}: {key})" for name, one in settings.items()
                    for key, folder in _folders(one, root) if not folder.is_dir()]  # fmt: skip
        if missing:
            raise UsageError(f"missing: {', '.join(dict.fromkeys(missing))}", "all that the settings name",
                             "bring it here, or pack without these settings")  # fmt: skip
        #: The name in the pack by the place that the settings give.
        self.names = {place: _name(i, Path(place)) for i, place in enumerate(dict.fromkeys(p for p, _ in named))}

    def entries(self) -> list[tuple[str, bytes]]:
        """Names and contents."""
        return [(name, Path(place).read_bytes()) for place, name in self.names.items()]

    def packed(self, place: str | None) -> str | None:
        """A value of the settings as the pack has it; what names no file stays."""
        return None if place is None else self.names.get(place, place)


def _named(settings: TrainSettings) -> Iterator[tuple[str, str]]:
    """Key and place of each file."""
    sources = [(f"data.{i}", one) for i, one in enumerate(settings.data)]
    for key, labels in [("labels", settings.labels), *((f"{key}.labels", one.labels) for key, one in sources)]:
        if labels is not None and labels.endswith((".yaml", ".yml")):
            yield key, labels
    yield from ((f"{key}.mapping", one.mapping) for key, one in sources if one.mapping is not None)
    if settings.model.start not in (None, "imagenet"):
        yield "model.start", str(settings.model.start)
    if settings.distil is not None:
        yield "distil.teacher", settings.distil.teacher


def _folders(settings: TrainSettings, root: Path | None) -> Iterator[tuple[str, Path]]:
    """Key and place of the folders of further labels that are learned from."""
    for i, one in enumerate(settings.data):
        patterns = {"refine.folder": one.refine and one.refine.folder, "instances": one.instances}
        for key, pattern in patterns.items():
            for split in one.splits if pattern else ():
                yield f"data.{i}.{key}", one.place(str(pattern), split, root)


def _name(number: int, file: Path) -> str:
    """With the folder that it was in: records call a checkpoint by both."""
    return "/".join(filter(None, (f"{FILES}{number}", file.parent.name, file.name)))
