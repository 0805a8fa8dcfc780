"""Every training YAML of the repository loads and builds its network; mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from tiny_runs import TINY, tiny  # noqa: E402

from drivenet.config import check, load_labels, load_yaml  # noqa: E402
from drivenet.errors import ConfigError, UsageError  # noqa: E402
from drivenet.models import create  # noqa: E402
from drivenet.training.assemble import prepare_run  # noqa: E402
from drivenet.training.settings import TrainSettings  # noqa: E402

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs" / "train").glob("*.yaml"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda f: f.stem)
def test_a_configuration_loads_and_its_network_exists(file: Path) -> None:
    settings = load_yaml(file, TrainSettings)
    with torch.device("meta"):
        network = create(settings.model.architecture, len(load_labels(settings.labels)), settings.model.options).eval()
        logits = network(torch.zeros(1, 3, *settings.input))
    assert logits.shape[2:] == tuple(v // network.stride for v in settings.input)


def test_configurations_have_distinct_names() -> None:
    assert CONFIGS
    assert len({load_yaml(f, TrainSettings).name for f in CONFIGS}) == len(CONFIGS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batches": 3}, "unknown key batches, did you mean batch"),
        ({"augment": {"crop": [64, 100]}}, "multiples of 32"),
        ({"augment": {"crop": [0, 64]}}, r"augment\.crop \(0, 64\) must be multiples of 32"),
        ({"input": [60, 100]}, r"input \(60, 100\) must be multiples of 32"),
        ({"input": [-64, 96]}, "multiples of 32"),
        ({"augment": {"scale": [0, 2]}}, r"augment\.scale\.0: must be above 0, got 0"),
        ({"augment": {"aspect": [1.4, 0.9]}}, r"aspect is from 1\.4 to 0\.9, the least has to come first"),
        ({"seed": -1}, "seed: must be at least 0, got -1"),
        ({"iterations": None, "minutes": float("inf")}, "minutes: .* finite"),
        ({"minutes": 3}, "either iterations or minutes"),
        ({"iterations": None}, "either iterations or minutes"),
        ({"optimiser": {"lr": 0}}, "optimiser.lr"),
        ({"data": {"dataset": "synthetic"}}, "data: .*a list of sources is wanted"),
        ({"data": []}, "data: .*a list of sources is wanted"),
        ({"data": [{"dataset": "synthetic", "frames": 6}]}, r"data\.0\.frames"),
        ({"data": [{"dataset": "synthetic"}] * 2}, "two sources to select on are called synthetic, give one of them"),
        ({"optimiser": {"name": "adam"}}, "optimiser.name"),
    ],
)
def test_a_mistake_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check({**TINY, **change}, TrainSettings, "here")


def test_nothing_to_learn_from_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no pictures to train on"):
        prepare_run(tiny(data=[{"dataset": "synthetic", "frames": 0, "select": 0}]), None, tmp_path, "cpu")
