"""Where a named set of pictures or videos is opened."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from drivenet.errors import UsageError, nearest

SPLITS = ("train", "val", "test")


def opener_of(
    kind: str, homes: Mapping[str, str], rootless: Collection[str], name: str, root: Path | None, split: str
) -> Callable[..., Any]:
    """The function that opens a set, when name, root and split can be right.

    Args:
        kind: what messages call such a set.
        homes: ``module:function`` by name.
        rootless: names of those that are drawn, and have no root.
        name, root, split: as they were asked for.

    Raises:
        UsageError: for an unknown name or split, a missing root, or one that nobody would read.
    """
    if name not in homes:
        raise UsageError(f"no {kind} {name!r}", cure=nearest(name, homes))
    if split not in SPLITS:
        raise UsageError(f"no split {split!r} of {name}", cure=nearest(split, SPLITS))
    if root is None and name not in rootless:
        raise UsageError(
            f"no root for {name}", f"the folder or YAML file of the {kind}", "give --root DIR or FILE.yaml"
        )
    if root is not None and name in rootless:
        rooted = "|".join(sorted(homes.keys() - set(rootless)))
        raise UsageError(f"root {root} for {name}, which is drawn", rooted, "leave root out, or name its data set")
    module, function = homes[name].split(":")
    opener: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return opener
