"""Several processes, one run: two real ones on the CPU keep equal weights, write once, and go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from tiny_runs import TINY, tiny  # noqa: E402

from drivenet.data.base import Sample  # noqa: E402
from drivenet.errors import UsageError  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.models import checkpoint  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from drivenet.training.assemble import prepare_run  # noqa: E402
from drivenet.training.augment import Augment  # noqa: E402
from drivenet.training.ranks import Ranks  # noqa: E402
from drivenet.training.samples import Batches, Order, Source  # noqa: E402
from drivenet.training.sets import SetCodes  # noqa: E402
from drivenet.training.settings import AugmentSettings  # noqa: E402

#: A rank's run: settings on standard input; its losses, weights and gradients go to a file of its own.
RANK = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from drivenet.training.assemble import prepare_run
from drivenet.training.ranks import Ranks
from drivenet.training.settings import TrainSettings
settings, run, out = TrainSettings.model_validate(json.loads(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
ranks, losses = Ranks.from_environment(), {}
with ranks.joined(ranks.device("cpu")):
    trainer = prepare_run(settings, None, run, "cpu", ranks)
    trainer.run(lambda p: losses.update({p.iteration: p.loss}))
    weights = {n: p.detach() for n, p in trainer.network.named_parameters()}
    gradients = {n: p.grad for n, p in trainer.network.named_parameters()}
    minutes = trainer.progress.minutes
    torch.save({"w": weights, "g": gradients, "losses": losses, "minutes": minutes}, out / f"{ranks.rank}.pt")
"""


def together(folder: Path, settings: dict[str, Any], out: str) -> list[dict[str, Any]]:
    """Two processes, started as ``torchrun`` starts them; what each of them found."""
    script, target = folder / "rank.py", folder / out
    script.write_text(RANK)
    target.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, json.dumps(settings), folder / "run", target], env=environment, check=True, timeout=300)
    return [torch.load(target / f"{rank}.pt") for rank in range(2)]


@pytest.mark.timeout(400)
def test_two_processes_train_one_network_and_go_on(tmp_path: Path) -> None:
    short = {**TINY, "iterations": 3, "validate_every": 100, "checkpoint_every": 2}
    for settings, out, iterations in ((short, "first", [1, 2, 3]), ({**short, "iterations": 5}, "then", [4, 5])):
        one, two = together(tmp_path, settings, out)
        for part in "wg":
            assert all(torch.equal(one[part][n], two[part][n]) for n in one[part])
        assert one["losses"] == two["losses"]
        assert sorted(one["losses"]) == iterations
        assert one["minutes"] == two["minutes"] > 0
    state = checkpoint.load(tmp_path / "run" / "last.pt")
    assert state["progress"]["iteration"] == 5
    assert all(torch.equal(state["network"][n], w) for n, w in one["w"].items())
    assert [h["iteration"] for h in state["progress"]["history"]] == [3, 5]
    assert len(list((tmp_path / "run").glob("events.*"))) <= 2  # one sitting, one file


def test_two_processes_see_what_one_of_twice_the_batch_sees() -> None:
    samples = [Sample(*SyntheticDrive(160, 96, seed=3).render(i), str(i)) for i in range(5)]
    augment = Augment(AugmentSettings(crop=(64, 96)), SetCodes(CAMVID))
    order = Order([Source(samples, 0.7), Source(samples[:1], 0.3, drawn=True)], 1)

    def at(batch: int, ranks: Ranks) -> list[torch.Tensor]:
        return list(Batches(order, augment, (96, 160), batch, ranks).at(4)[0])

    halves = at(2, Ranks(0, 2, 0)) + at(2, Ranks(1, 2, 1))
    assert all(torch.equal(a, b) for a, b in zip(at(4, Ranks()), halves, strict=True))


def test_the_environment_says_which_process_this_is() -> None:
    assert Ranks.from_environment({}) == Ranks(0, 1, 0)
    found = Ranks.from_environment({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"})
    assert (found.rank, found.world, found.local, found.first) == (5, 8, 1, False)
    with pytest.raises(UsageError, match="RANK='x'; expected a number"):
        Ranks.from_environment({"RANK": "x"})
    with pytest.raises(UsageError, match="rank 2 of 2"):
        Ranks(2, 2, 0)


def test_a_process_without_a_gpu_of_its_own_is_told() -> None:
    gpus = torch.cuda.device_count()
    told = f"at most its {gpus} GPUs; use --device cpu" if gpus else "device cuda without a GPU; .*; use --device cpu"
    with pytest.raises(UsageError, match=told):
        Ranks(gpus, gpus + 1, gpus).device("cuda")


def test_batch_statistics_over_cpus_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sync_batch_norm on cpu; expected CUDA"):
        prepare_run(tiny(sync_batch_norm=True), None, tmp_path, "cpu")
