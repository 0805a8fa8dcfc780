"""The loop: a killed run goes on as if nothing had happened, learns, averages and logs."""

from __future__ import annotations

import json
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
pytest.importorskip("tensorboard", reason="tensorboard (extra [train]) is not installed")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from tiny_runs import TINY, losses, tiny  # noqa: E402

from drivenet.cli.train import train  # noqa: E402
from drivenet.errors import SinkError, UsageError  # noqa: E402
from drivenet.files import sha256_of  # noqa: E402
from drivenet.labels import CAMVID, LabelSet  # noqa: E402
from drivenet.models import checkpoint  # noqa: E402
from drivenet.modelspec import LabelsSpec  # noqa: E402
from drivenet.training.assemble import prepare_run  # noqa: E402
from drivenet.training.trainer import Progress  # noqa: E402

#: Runs the settings on its standard input; says every finished iteration on its standard output.
CHILD = """
import json, sys
from pathlib import Path
import torch
from drivenet.training.assemble import prepare_run
from drivenet.training.settings import TrainSettings
torch.set_num_threads(1)
trainer = prepare_run(TrainSettings.model_validate(json.load(sys.stdin)), None, Path(sys.argv[1]), "cpu")
trainer.run(lambda p: print(p.iteration, flush=True))
"""


def assert_same_end(a: Path, b: Path) -> None:
    """Weights, averages and scores at the end of two runs are equal within float tolerance."""
    one, two = checkpoint.load(a / "last.pt"), checkpoint.load(b / "last.pt")
    for part in ("network", "ema"):
        for key, value in one[part].items():
            torch.testing.assert_close(value, two[part][key], rtol=1e-3, atol=1e-4, msg=f"{part} {key}")
    scores = [[h["val_miou"] for h in state["progress"]["history"]] for state in (one, two)]
    assert scores[0] == pytest.approx(scores[1], abs=2e-3)


def test_a_stopped_run_goes_on_with_the_same_losses(tmp_path: Path, whole: tuple[Path, dict[int, float]]) -> None:
    """Stopped one iteration after a checkpoint: that iteration is done again."""
    before = losses(tmp_path, tiny(), stop_after=5)[1]
    after = losses(tmp_path, tiny())[1]
    assert sorted(after) == [5, 6, 7, 8]
    assert {**before, **after} == pytest.approx(whole[1], rel=1e-3)
    assert before[5] == pytest.approx(after[5], rel=1e-3)
    assert_same_end(whole[0], tmp_path)


def test_a_killed_run_goes_on_to_the_same_end(tmp_path: Path, whole: tuple[Path, dict[int, float]]) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        child.stdin.write(json.dumps(TINY))
        child.stdin.close()
        for line in child.stdout:
            if int(line) == 3:
                child.kill()
                break
        assert child.wait() == -signal.SIGKILL
    after = losses(tmp_path, tiny())[1]
    assert 3 <= min(after) <= 7
    assert after == pytest.approx({i: whole[1][i] for i in after}, rel=1e-3)
    assert_same_end(whole[0], tmp_path)


def test_a_finished_run_stays_as_it_is(whole: tuple[Path, dict[int, float]]) -> None:
    trainer, again = losses(whole[0], tiny())
    assert again == {}
    assert [h["iteration"] for h in trainer.progress.history] == [4, 8]
    assert json.loads((whole[0] / "history.json").read_text()) == trainer.progress.history


def test_the_last_line_can_be_pasted(
    whole: tuple[Path, dict[int, float]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my run"
    shutil.copytree(whole[0], folder)
    (tmp_path / "tiny.yaml").write_text(json.dumps(TINY), encoding="utf-8")
    train(["--config", str(tmp_path / "tiny.yaml"), "--out", str(folder)], standalone_mode=False)
    line = capsys.readouterr().err.splitlines()[-1]
    assert shlex.split(line.partition("next: ")[2])[:3] == ["drivenet", "export", str(folder / "best.pt")]


def test_what_a_run_leaves(whole: tuple[Path, dict[int, float]]) -> None:
    """``best.pt`` holds the average at its best, the board holds every curve."""
    best = checkpoint.load(whole[0] / "best.pt")
    assert best["labels"] == "camvid"
    assert 0 <= best["progress"]["best"] <= 1
    assert best["iou"]["synthetic"]["Road"] >= 0
    board = EventAccumulator(str(whole[0])).Reload()
    assert set(board.Tags()["scalars"]) == {"lr", "loss", "val/miou", "val/synthetic"}
    assert [e.step for e in board.Scalars("val/miou")] == [4, 8]


def test_the_loss_falls_on_a_tiny_set(tmp_path: Path) -> None:
    plain = {"crop": [64, 96], "scale": [1, 1], "aspect": [1, 1], "flip": 0, "jitter": 0, "recolour_sky": 0}
    settings = tiny(augment=plain, iterations=24, validate_every=24, checkpoint_every=24)
    found = losses(tmp_path, settings)[1]
    assert np.mean([found[i] for i in range(20, 25)]) < 0.7 * np.mean([found[i] for i in range(1, 4)])


def test_a_folder_of_another_run_is_refused(whole: tuple[Path, dict[int, float]]) -> None:
    with pytest.raises(UsageError, match="choose another folder"):
        prepare_run(tiny(model={**TINY["model"], "options": {"width": 0.5}}), None, whole[0], "cpu")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": [{"dataset": "synthetic", "frames": 4}, {"dataset": "synthetic", "frames": 4, "name": "more"}]},
         r"last\.pt was selected on sources 1; expected 2, or the settings of before; choose another folder"),
        ({"data": [{"dataset": "synthetic", "frames": 8}]}, r"on frames of source 1 4; expected 8"),
        ({"input": [96, 96]}, r"on input \[64, 96\]; expected \[96, 96\]"),
    ],
)  # fmt: skip
def test_a_run_that_would_be_selected_on_other_pictures_is_another_run(
    whole: tuple[Path, dict[int, float]], changes: dict[str, Any], says: str
) -> None:
    """Its scores do not compare with the best one of before, which kept best.pt for good or gave it away."""
    with pytest.raises(UsageError, match=says):
        prepare_run(tiny(**changes), None, whole[0], "cpu")
    prepare_run(tiny(batch=4, optimiser={"lr": 1e-4}, iterations=16), None, whole[0], "cpu")


def swapped(name: str) -> LabelSet:
    """CamVid with two classes the other way round."""
    rows = list(zip(CAMVID.classes, CAMVID.palette, strict=True))
    rows[3], rows[4] = rows[4], rows[3]
    return LabelSet(name, *(tuple(part) for part in zip(*rows, strict=True)), CAMVID.groups)


def test_classes_in_another_order_are_another_run(whole: tuple[Path, dict[int, float]], tmp_path: Path) -> None:
    """A YAML of classes that was edited after a kill keeps its name; so it may for a teacher, and among averages."""
    shutil.copytree(whole[0], tmp_path / "run")
    for name in ("last.pt", "best.pt"):
        state = checkpoint.load(tmp_path / "run" / name)
        changed = {**state, "label_set": LabelsSpec.of(swapped("camvid")).model_dump(mode="json")}
        checkpoint.save(tmp_path / "run" / name, changed)
    told = r"of other labels camvid: class 3 is Pavement; expected Road"
    with pytest.raises(UsageError, match=rf"last\.pt {told}; choose another folder"):
        prepare_run(tiny(), None, tmp_path / "run", "cpu")
    best = tmp_path / "run" / "best.pt"
    with pytest.raises(UsageError, match=rf"teacher .*best\.pt {told}"):
        prepare_run(tiny(distil={"teacher": str(best)}), None, tmp_path / "new", "cpu")
    with pytest.raises(UsageError, match=rf"best\.pt {told}"):
        checkpoint.average([best, whole[0] / "best.pt"])


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    trainer = prepare_run(tiny(), None, tmp_path, "cpu")
    trainer.network.head[-1].bias.data.fill_(float("nan"))  # type: ignore[index, union-attr]
    with pytest.raises(UsageError, match=r"loss nan at iteration 0; expected a finite loss; lower optimiser\.lr"):
        trainer.run()
    assert not (tmp_path / "last.pt").exists()


def test_weights_that_are_no_numbers_are_never_kept(whole: tuple[Path, dict[int, float]], tmp_path: Path) -> None:
    """The loss is one iteration older than the weights; a run that went on from them could not be mended."""
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    before = sha256_of(tmp_path / "last.pt")
    trainer = prepare_run(tiny(), None, tmp_path, "cpu")
    trainer.network.head[-1].bias.data.fill_(float("inf"))  # type: ignore[index, union-attr]
    with pytest.raises(UsageError, match=r"no numbers after iteration 7; .*optimiser\.lr; .*choose another folder"):
        trainer.run()
    assert sha256_of(tmp_path / "last.pt") == before


def test_the_best_average_is_written_again_where_it_was_moved_away(
    whole: tuple[Path, dict[int, float]], tmp_path: Path
) -> None:
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "best.pt").unlink()
    trainer, _ = losses(tmp_path, tiny())
    assert [row["iteration"] for row in trainer.progress.history] == [4, 8]
    assert checkpoint.load(tmp_path / "best.pt")["progress"]["best"] == trainer.progress.history[-1]["val_miou"]


def test_options_of_the_optimiser_count_from_a_resume_on(whole: tuple[Path, dict[int, float]]) -> None:
    """PyTorch takes back the groups of before: another weight decay or encoder_lr did nothing."""
    trainer = prepare_run(tiny(optimiser={**TINY["optimiser"], "weight_decay": 0.5}), None, whole[0], "cpu")
    assert {group["weight_decay"] for group in trainer.optimiser.param_groups} == {0.5, 0.0}
    assert trainer.optimiser.state


def test_a_checkpoint_without_room_is_named_and_the_one_before_stays(
    whole: tuple[Path, dict[int, float]], tmp_path: Path
) -> None:
    """Behind a file size limit, which the kernel sets as a full disk would: errno alone told of no file."""
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    before = sha256_of(tmp_path / "last.pt")
    trainer = prepare_run(tiny(iterations=10), None, tmp_path, "cpu")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(SinkError, match=r"cannot write .*last\.pt: File too large; .*has room"):
            trainer.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sha256_of(tmp_path / "last.pt") == before


def test_a_folder_that_another_run_trains_in_is_refused(tmp_path: Path) -> None:
    """Each wrote its own last.pt, and over a best.pt of the other that was better."""
    first, second = (prepare_run(tiny(iterations=2, seed=seed), None, tmp_path, "cpu") for seed in (0, 1))

    def meanwhile(progress: Progress) -> None:
        if progress.iteration == 1:
            with pytest.raises(SinkError, match="is being written by another program; expected an output of its own"):
                second.run()

    assert first.run(meanwhile).iteration == 2
    assert second.progress.iteration == 0
    assert second.run().iteration == 2, "the first one has ended"
