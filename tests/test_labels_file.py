"""Label sets from YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivenet.config import load_labels
from drivenet.errors import ConfigError, UsageError
from drivenet.labels import CAMVID
from drivenet.resources import configs_dir


def test_every_shipped_label_file_loads() -> None:
    files = sorted((configs_dir() / "labels").glob("*.yaml"))
    assert files
    for file in files:
        labels = load_labels(str(file))
        assert labels.ids_of_group("road")


def test_a_name_is_a_built_in_set() -> None:
    assert load_labels("camvid") is CAMVID


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nclasses:\n  - {name: a, color: [1, 2, 3]}\n")
    with pytest.raises(ConfigError, match=r"classes\.0\.color, did you mean colour"):
        load_labels(str(file))
    file.write_text("name: mine\nclasses:\n  - {name: a, colour: [1, 2, 3], group: raod}\n")
    with pytest.raises(UsageError, match="did you mean road"):
        load_labels(str(file))
