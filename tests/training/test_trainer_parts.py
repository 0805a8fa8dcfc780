"""What a run starts from and imitates, and the parts that it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
pytest.importorskip("tensorboard", reason="tensorboard (extra [train]) is not installed")

from tiny_runs import TINY, losses, tiny  # noqa: E402

from drivenet.errors import UsageError  # noqa: E402
from drivenet.export.onnx import export_checkpoint  # noqa: E402
from drivenet.files import sha256_of  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.models import checkpoint, create  # noqa: E402
from drivenet.models.deployed import normalise  # noqa: E402
from drivenet.training.assemble import prepare_run  # noqa: E402
from drivenet.training.ema import Ema  # noqa: E402
from drivenet.training.networks import start_from, teacher_of  # noqa: E402
from drivenet.training.optimiser import learning_rate  # noqa: E402
from drivenet.training.settings import DistilSettings, OptimiserSettings  # noqa: E402


def _without(name: str, state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda s: _without("optimiser", s), "holds no state of an optimiser; expected last.pt of a run"),
        (lambda s: _without("ema", s), "cannot go on from .*last.pt: 'ema'"),
        (lambda s: {**s, "progress": {**s["progress"], "epochs": 1}}, "cannot go on from .*'epochs'"),
        (lambda s: {**s, "optimiser": {"state": {}, "param_groups": []}}, "cannot go on from .*parameter groups"),
        (lambda s: {**s, "settings": {**s["settings"], "optimiser": {"name": "sgd"}}},
         "was trained with optimiser sgd; expected adamw"),
    ],
)  # fmt: skip
def test_what_a_run_cannot_go_on_from_is_one_line(
    whole: tuple[Path, dict[int, float]], tmp_path: Path, damage: Any, says: str
) -> None:
    checkpoint.save(tmp_path / "last.pt", damage(checkpoint.load(whole[0] / "last.pt")))
    with pytest.raises(UsageError, match=says + ".*choose another folder"):
        prepare_run(tiny(), None, tmp_path, "cpu")


def test_a_run_starts_from_the_weights_that_fit(whole: tuple[Path, dict[int, float]], tmp_path: Path) -> None:
    """A wider head is new; all else is the other network's."""
    best = whole[0] / "best.pt"
    theirs = checkpoint.load(best)["network"]
    wider = {**TINY["model"], "options": {**TINY["model"]["options"], "head": 32}, "start": str(best)}
    trainer = prepare_run(tiny(model=wider), None, tmp_path, "cpu")
    for network in (trainer.network, trainer.ema.average):
        mine = network.state_dict()
        for name, value in theirs.items():
            if not name.startswith("head."):
                assert torch.equal(mine[name], value), name
    new = start_from(trainer.network, best)
    assert new
    assert all(name.startswith("head.") for name in new)


def test_a_start_that_shares_nothing_is_refused(tmp_path: Path) -> None:
    other = {"network": {"elsewhere": torch.zeros(1)}, "settings": {}}
    checkpoint.save(tmp_path / "other.pt", other)
    with pytest.raises(UsageError, match="shares no weights"):
        prepare_run(tiny(model={**TINY["model"], "start": str(tmp_path / "other.pt")}), None, tmp_path / "run", "cpu")


def test_a_run_with_a_teacher_resumes_to_the_same_losses(whole: tuple[Path, dict[int, float]], tmp_path: Path) -> None:
    settings = tiny(distil={"teacher": str(whole[0] / "best.pt"), "weight": 0.5}, iterations=4)
    trainer, once = losses(tmp_path / "once", settings)
    before = losses(tmp_path / "twice", settings, stop_after=3)[1]
    after = losses(tmp_path / "twice", settings)[1]
    assert {**before, **after} == pytest.approx(once, rel=1e-3)
    assert all(once[i] > whole[1][i] for i in (1, 2))
    digest = sha256_of(whole[0] / "best.pt")[:12]
    lineage = {"teacher": {"name": f"{whole[0].name}/best", "sha256": digest}}
    assert checkpoint.load(tmp_path / "twice" / "best.pt")["lineage"] == lineage
    assert trainer.teacher is not None
    assert not trainer.teacher.training
    assert not any(p.requires_grad for p in trainer.teacher.parameters())


def test_a_published_teacher_sees_pictures_as_it_was_trained(tmp_path: Path) -> None:
    """It saw them as the student does, and gave other classes than it would: nobody was told."""
    theirs: dict[str, Any] = {"mean": (0.3, 0.5, 0.4), "std": (0.2, 0.3, 0.25)}
    network = create("bisenetv2", len(CAMVID), TINY["model"]["options"]).eval()
    state = {"network": network.state_dict(), "settings": {"model": TINY["model"]}, "labels": "camvid", "spec": theirs}
    checkpoint.save(tmp_path / "t.pt", state)
    teacher = teacher_of(DistilSettings(teacher=str(tmp_path / "t.pt")), CAMVID, network, torch.device("cpu"))
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    assert teacher is not None
    assert not teacher.training
    with torch.no_grad():
        wanted = network(normalise(images, **theirs))
        torch.testing.assert_close(teacher(normalise(images)), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("spec", [{}, {"mean": (0.3, 0.5, 0.4), "std": (0.2, 0.3, 0.25)}])
def test_a_teacher_sees_a_larger_picture_and_answers_at_the_students_size(spec: dict[str, Any], tmp_path: Path) -> None:
    network = create("bisenetv2", len(CAMVID), TINY["model"]["options"]).eval()
    file = published(tmp_path / "t.pt", network, spec=spec)
    teacher = teacher_of(DistilSettings(teacher=str(file), scale=1.6), CAMVID, network, torch.device("cpu"))
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    assert teacher is not None
    with torch.no_grad():
        given = torch.nn.functional.interpolate(normalise(images, **spec), (96, 160), mode="bilinear")
        wanted = torch.nn.functional.interpolate(network(given), network(normalise(images)).shape[2:], mode="bilinear")
        torch.testing.assert_close(teacher(normalise(images)), wanted, rtol=1e-3, atol=1e-4)


THEIRS: dict[str, Any] = {"mean": (0.3, 0.5, 0.4), "std": (0.2, 0.3, 0.25)}


def published(file: Path, network: torch.nn.Module, **changes: Any) -> Path:
    """A checkpoint as an import writes it, of a publisher with another normalisation."""
    state = {"network": network.state_dict(), "settings": {"model": TINY["model"]}, "labels": "camvid", "spec": THEIRS}
    checkpoint.save(file, {**state, **changes})
    return file


def test_a_run_from_a_published_network_shows_it_pictures_as_its_publisher_did(tmp_path: Path) -> None:
    """In training, to a teacher of the project's own, on val, in the exported graph, and after a resume."""
    network = create("bisenetv2", len(CAMVID), TINY["model"]["options"]).eval()
    start = published(tmp_path / "start.pt", network)
    ours = published(tmp_path / "ours.pt", network, spec={})
    distil = {"teacher": str(ours)}
    settings = tiny(model={**TINY["model"], "start": str(start)}, distil=distil, iterations=2, validate_every=2)
    trainer = prepare_run(settings, None, tmp_path / "run", "cpu")
    seen: list[torch.Tensor] = []
    trainer.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    trainer._step(images, torch.zeros(2, 64, 96, dtype=torch.uint8))
    torch.testing.assert_close(seen[0], normalise(images, **THEIRS))
    assert trainer.teacher is not None
    with torch.no_grad():
        wanted = network(normalise(images))
        torch.testing.assert_close(trainer.teacher(normalise(images, **THEIRS)), wanted, rtol=1e-3, atol=1e-4)
    trainer.run()
    spec = export_checkpoint(tmp_path / "run" / "best.pt", tmp_path / "best.onnx")
    assert (spec.mean, spec.std) == (THEIRS["mean"], THEIRS["std"])
    scored: list[torch.Tensor] = []
    again = prepare_run(tiny(distil=distil), None, tmp_path / "run", "cpu")  # without start: as last.pt says
    again.ema.average.register_forward_pre_hook(lambda _, given: scored.append(given[0]))
    again.validation(again.ema.average)
    shown = next(iter(again.validation._parts.values()))._prepared()
    torch.testing.assert_close(scored[0], normalise(next(shown)[0].permute(0, 3, 1, 2), **THEIRS), rtol=1e-3, atol=1e-4)
    with pytest.raises(UsageError, match=r"start\.pt is of pictures less \(0\.3, 0\.5, 0\.4\) over .*; expected"):
        checkpoint.average([start, ours])


def test_a_teacher_of_other_labels_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "t.pt", {"network": {}, "settings": {}, "labels": "cityscapes"})
    with pytest.raises(UsageError, match=r"teacher .*t\.pt of labels cityscapes; expected camvid"):
        prepare_run(tiny(distil={"teacher": str(tmp_path / "t.pt")}), None, tmp_path / "run", "cpu")


def test_a_teacher_with_logits_of_another_size_is_refused(tmp_path: Path) -> None:
    model = {"architecture": "deeplabv3plus_mobilenetv3", "options": {}}
    weights = create("deeplabv3plus_mobilenetv3", len(CAMVID)).state_dict()
    for network, told in (
        (weights, r"teacher .*t\.pt with logits at 1/4; expected 1/8"),
        ({}, r"teacher .*t\.pt does not hold the weights of the network that its settings name"),
    ):
        checkpoint.save(tmp_path / "t.pt", {"network": network, "settings": {"model": model}, "labels": "camvid"})
        with pytest.raises(UsageError, match=told):
            prepare_run(tiny(distil={"teacher": str(tmp_path / "t.pt")}), None, tmp_path / "run", "cpu")


def test_one_sample_a_batch_is_told_where_the_network_norms_over_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="batch 1 for a network that norms over the batch; expected 2 or more"):
        prepare_run(tiny(batch=1), None, tmp_path / "run", "cpu").run()


def test_only_the_hardest_pixels_raise_the_loss(whole: tuple[Path, dict[int, float]], tmp_path: Path) -> None:
    """At first every class gets more than a hundredth, so that only the hardest sixteenth counts."""
    mined = losses(tmp_path, tiny(loss={"ohem": 0.01}, iterations=1))[1]
    assert mined[1] > 1.1 * whole[1][1]


def test_norms_and_biases_do_not_decay(tmp_path: Path) -> None:
    trainer = prepare_run(tiny(), None, tmp_path, "cpu")
    decayed, free = trainer.optimiser.param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.02, 0.0)
    assert {p.ndim for p in decayed["params"]} == {4}
    assert {p.ndim for p in free["params"]} == {1}
    count = sum(p.numel() for group in (decayed, free) for p in group["params"])
    assert count == sum(p.numel() for p in trainer.network.parameters())


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    options = OptimiserSettings(lr=1.0, warmup=10, power=2.0)
    assert learning_rate(options, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(options, 9, 0.0) == pytest.approx(1.0)
    assert learning_rate(options, 50, 0.5) == pytest.approx(0.25)
    assert 0 < learning_rate(options, 100, 1.0) < 1e-5


def test_the_average_follows_fast_at_first_and_slowly_later() -> None:
    network, average = (torch.nn.BatchNorm1d(1) for _ in range(2))
    ema = Ema(network, average, 0.99)
    network.weight.data.fill_(3.0)
    network.running_mean.fill_(1.0)  # type: ignore[union-attr]
    ema.update(network, 1)
    assert float(average.weight) == pytest.approx(1 + 2 * (1 - 2 / 11))
    assert float(average.running_mean) == pytest.approx(1 - 2 / 11)  # type: ignore[arg-type]
    ema.update(network, 10_000)
    assert float(average.running_mean) == pytest.approx(1 - 2 / 11 * 0.99)  # type: ignore[arg-type]
    assert not average.training


def test_what_is_frozen_keeps_its_weights_and_statistics(tmp_path: Path) -> None:
    model = {"architecture": "efficientnet_fpn", "options": {"width": 16, "head": 16}, "freeze": 2}
    trainer = prepare_run(tiny(model=model, iterations=2, checkpoint_every=2), None, tmp_path, "cpu")
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.run()
    changed = {name for name, value in trainer.network.state_dict().items() if not torch.equal(value, before[name])}
    frozen = ("encoder.stem.", "encoder.stages.0.")
    assert not [name for name in changed if name.startswith(frozen)]
    assert {name for name in before if not name.startswith(frozen)} == changed
