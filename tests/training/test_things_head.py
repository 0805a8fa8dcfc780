"""The head for single things: its truth, its loss, its training on frozen features, and its export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
pytest.importorskip("onnx", reason="onnx (extra [train]) is not installed")

import onnx  # noqa: E402
import onnxruntime as ort  # noqa: E402

from drivenet.build.build import build  # noqa: E402
from drivenet.build.request import BuildRequest  # noqa: E402
from drivenet.build.tensorrt_precision import float16_onnx  # noqa: E402
from drivenet.data.base import Sample  # noqa: E402
from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import UsageError  # noqa: E402
from drivenet.export.onnx import export_onnx  # noqa: E402
from drivenet.export.things import add_things  # noqa: E402
from drivenet.host.cpu_features import native_precisions  # noqa: E402
from drivenet.labels import CITYSCAPES, LabelSet  # noqa: E402
from drivenet.models import create  # noqa: E402
from drivenet.models.checkpoint import save  # noqa: E402
from drivenet.models.things_head import Maps, ThingsHead, read_head  # noqa: E402
from drivenet.models.trunk import Trunk, features_of  # noqa: E402
from drivenet.modelspec import LabelsSpec, ModelSpec  # noqa: E402
from drivenet.onnx_graph import fill  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from drivenet.things import UNSURE  # noqa: E402
from drivenet.training.instances import targets, things_loss  # noqa: E402
from drivenet.training.things import augmented, train_head  # noqa: E402

SIZE = (96, 128)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployed model with random weights."""
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("model") / "random.onnx"
    network = create("efficientnet_fpn", len(CITYSCAPES)).eval()
    spec = {"name": "random", "architecture": "efficientnet_fpn", "labels": LabelsSpec.of(CITYSCAPES)}
    export_onnx(network, spec, out, SIZE)
    return out


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    drive = SyntheticDrive(160, 112, seed=0, labels=CITYSCAPES)
    frames = [drive.frame(i) for i in (10, 40)]
    return [Sample(f.image, f.ids, str(i), f.instances) for i, f in enumerate(frames)]


@pytest.fixture(scope="module")
def trained(model: Path, samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """A head of a few iterations, and its losses."""
    out, losses = tmp_path_factory.mktemp("head") / "head.pt", []
    train_head(Trunk(model), samples, out, iterations=60, batch=2, width=16, report=lambda _, x: losses.append(x))
    return out, losses


def test_the_truth_points_from_every_pixel_to_the_centre_of_its_thing() -> None:
    instances = np.zeros((48, 64), np.uint16)
    instances[8:24, 8:40], instances[32:40, 48:56] = 1, 7
    truth = targets(instances, (12, 16))
    heat, offsets, sure = truth.heat[0, 0], truth.offsets[0], truth.sure[0, 0]
    assert sorted(map(tuple, torch.nonzero(heat == 1).tolist())) == [(4, 6), (8, 12)]
    rows, columns = torch.nonzero(sure[:8] > 0, as_tuple=True)
    assert len(rows) == 32
    assert torch.allclose(rows + offsets[0][rows, columns], torch.tensor(3.5))
    assert torch.allclose(columns + offsets[1][rows, columns], torch.tensor(5.5))
    assert truth.counted.all()


def test_things_without_a_sure_id_teach_nothing() -> None:
    instances = np.zeros((48, 64), np.uint16)
    instances[8:24, 8:40] = UNSURE
    truth = targets(instances, (12, 16))
    assert not truth.sure.any()
    assert truth.heat.max() == 0
    maps = Maps(torch.zeros(1, 1, 12, 16, requires_grad=True), torch.zeros(1, 2, 12, 16, requires_grad=True))
    things_loss(maps, truth).backward()
    assert not maps.offsets.grad.any()
    there = maps.centres.grad[0, 0]
    assert not there[2:6, 2:10].any()
    assert there[9:].all()


def test_a_crop_keeps_image_and_instances_together(samples: list[Sample]) -> None:
    """Mirrored and scaled alike: the colours under each thing stay about what they were."""
    rng = np.random.default_rng(3)
    flat = np.stack([(samples[0].instances > 0).astype(np.uint8) * 200] * 3, -1)
    for _ in range(6):
        image, instances = augmented(Sample(flat, samples[0].ids, "flat", samples[0].instances), SIZE, rng)
        assert image.shape == (*SIZE, 3)
        inside = instances > 0
        assert image[inside].mean() > 5 * max(1.0, image[~inside].mean())
    with pytest.raises(UsageError, match="no instances"):
        augmented(Sample(flat, samples[0].ids, "flat"), SIZE, rng)


def test_training_lowers_the_loss_and_leaves_the_ids_as_they_are(
    model: Path, trained: tuple[Path, list[float]], tmp_path: Path
) -> None:
    head, losses = trained
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    spec = add_things(model, head, tmp_path / "with.onnx")
    assert spec.things is not None
    assert spec.things.cells == (24, 32)
    assert ModelSpec.from_json(spec.to_json(), "spec") == spec
    plain, parted = open_engine(model, "onnxruntime"), open_engine(tmp_path / "with.onnx", "onnxruntime")
    image = SyntheticDrive(SIZE[1], SIZE[0], seed=1).render(0)[0]
    ids, maps = parted.infer_things(image)
    np.testing.assert_array_equal(ids, plain.infer(image))
    assert plain.infer_things(image)[1] is None
    assert (maps.centres.shape, maps.offsets.shape) == ((24, 32), (2, 24, 32))
    assert (plain.describe()["things"], parted.describe()["things"]) == ("components", "centres")


def test_a_peak_is_the_highest_of_its_window(model: Path, trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    add_things(model, trained[0], tmp_path / "with.onnx")
    image = SyntheticDrive(SIZE[1], SIZE[0], seed=1).render(0)[0]
    _, maps = open_engine(tmp_path / "with.onnx", "onnxruntime").infer_things(image)
    rows, columns = np.nonzero(maps.centres)
    assert len(rows)
    for y, x in zip(rows, columns, strict=True):
        assert maps.centres[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].max() == maps.centres[y, x]


def test_openvino_gives_the_same_maps(model: Path, trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    add_things(model, trained[0], tmp_path / "with.onnx")
    image = SyntheticDrive(SIZE[1], SIZE[0], seed=1).render(0)[0]
    (_, ours), (_, theirs) = (
        open_engine(tmp_path / "with.onnx", backend).infer_things(image) for backend in ("onnxruntime", "openvino")
    )
    assert np.abs(ours.offsets.astype(int) - theirs.offsets).max() <= 1
    assert np.mean((ours.centres > 0) != (theirs.centres > 0)) < 0.01


def test_sixteen_bits_move_few_offsets(model: Path, trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    """As TensorRT computes in fp16, and OpenVINO in bf16 where the processor has it."""
    add_things(model, trained[0], tmp_path / "with.onnx")
    image = SyntheticDrive(SIZE[1], SIZE[0], seed=1).render(0)[0]
    _, exact = open_engine(tmp_path / "with.onnx", "onnxruntime").infer_things(image)
    half = ort.InferenceSession(float16_onnx((tmp_path / "with.onnx").read_bytes()), providers=["CPUExecutionProvider"])
    assert [o.type for o in half.get_outputs()] == ["tensor(uint8)"] * 3
    _, centres, offsets = half.run(None, {"frame": image[None]})
    assert np.mean(np.abs(offsets[0].astype(int) - exact.offsets) <= 1) > 0.99
    assert np.mean((centres[0] > 0) != (exact.centres > 0)) < 0.02


@pytest.mark.skipif("bf16" not in native_precisions(), reason="this processor lacks bf16")
def test_bf16_of_openvino_moves_few_offsets(model: Path, trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    add_things(model, trained[0], tmp_path / "with.onnx")
    image = SyntheticDrive(SIZE[1], SIZE[0], seed=1).render(0)[0]
    built = build(BuildRequest(tmp_path / "with.onnx", "openvino", "bf16", accept_parity=True))
    (_, exact), (_, ours) = (open_engine(f).infer_things(image) for f in (tmp_path / "with.onnx", built.file))
    assert np.mean(np.abs(ours.offsets.astype(int) - exact.offsets) <= 2) > 0.95


def test_a_head_of_another_model_is_refused(model: Path, trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    network = create("efficientnet_fpn", len(CITYSCAPES)).eval()
    spec = {"name": "other", "architecture": "efficientnet_fpn", "labels": LabelsSpec.of(CITYSCAPES)}
    export_onnx(network, spec, other, SIZE)
    with pytest.raises(UsageError, match="trained on another model"):
        add_things(other, trained[0], tmp_path / "with.onnx")
    save(tmp_path / "best.pt", {"network": network.state_dict(), "settings": {"model": {}}})
    with pytest.raises(UsageError, match=r"best\.pt is no head for single things"):
        add_things(other, tmp_path / "best.pt", tmp_path / "with.onnx")
    add_things(model, trained[0], tmp_path / "with.onnx")
    with pytest.raises(UsageError, match="parts things already"):
        add_things(tmp_path / "with.onnx", trained[0], tmp_path / "twice.onnx")


def test_a_label_set_without_things_is_refused(trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    labels = LabelSet("ground", ("road", "grass"), ((1, 1, 1), (2, 2, 2)), {"road": "road", "grass": "background"})
    network = create("efficientnet_fpn", 2).eval()
    spec = {"name": "ground", "architecture": "efficientnet_fpn", "labels": LabelsSpec.of(labels)}
    export_onnx(network, spec, tmp_path / "ground.onnx", SIZE)
    with pytest.raises(UsageError, match="label set ground counts nothing; expected classes of the groups"):
        add_things(tmp_path / "ground.onnx", trained[0], tmp_path / "with.onnx")
    assert not (tmp_path / "with.onnx").exists()


def test_a_head_goes_on_from_another_one(
    model: Path, samples: list[Sample], trained: tuple[Path, list[float]], tmp_path: Path
) -> None:
    again: list[float] = []
    train_head(
        Trunk(model), samples, tmp_path / "again.pt", iterations=5, batch=2, lr=1e-4, start=trained[0],
        report=lambda _, x: again.append(x),
    )  # fmt: skip
    assert read_head(tmp_path / "again.pt").width == 16
    assert np.mean(again) < np.mean(trained[1][:5])


@pytest.mark.parametrize("length", [{"iterations": 0}, {"minutes": 0.0}, {"minutes": 1e-9}])
def test_a_training_that_ends_before_it_begins_is_refused(
    model: Path, samples: list[Sample], tmp_path: Path, length: dict[str, float]
) -> None:
    with pytest.raises(UsageError, match="no iteration in"):
        train_head(Trunk(model), samples, tmp_path / "head.pt", batch=2, width=16, **length)
    assert not (tmp_path / "head.pt").exists()


@pytest.mark.parametrize("known", [None, [1, 24]])
def test_features_whose_shape_nobody_knows_are_refused(model: Path, tmp_path: Path, known: list[int] | None) -> None:
    """An operator that is none of ONNX makes them: nothing is inferred behind it."""
    found = onnx.load(model)
    name, _ = features_of(found, "x")
    maker = next(node for node in found.graph.node if name in node.output)
    maker.op_type, maker.domain = "Other", "somewhere"
    found.opset_import.append(onnx.helper.make_opsetid("somewhere", 1))
    typed = [value for value in found.graph.value_info if value.name != name]
    typed += [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, known)] if known else []
    fill(found.graph.value_info, typed)
    with pytest.raises(UsageError, match=r"x: the shape of .* before its last convolution is unknown"):
        features_of(found, "x")


def test_a_checkpoint_of_a_network_is_no_head(tmp_path: Path) -> None:
    save(tmp_path / "best.pt", {"network": {"a": torch.zeros(1)}, "settings": {}})
    with pytest.raises(UsageError, match="is no head for single things; expected one that tools"):
        read_head(tmp_path / "best.pt")


def test_the_head_costs_little() -> None:
    """At most 0.15 GMAC at 736x416."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        ThingsHead(64).eval()(torch.zeros(1, 64, 104, 184))
    assert counter.get_total_flops() / 2e9 < 0.15


def middle(mask: np.ndarray) -> np.ndarray:
    """Row and column of the centre of what is there, as fractions of the map."""
    return np.array([(places.mean() + 0.5) / side for places, side in zip(np.nonzero(mask), mask.shape, strict=True)])


def test_cells_that_teach_a_thing_lie_where_it_lies() -> None:
    """The cell of which the middle is a thing's, not its upper left corner: that one is half a cell beside it."""
    rng, away = np.random.default_rng(0), []
    for _ in range(200):
        (top, left), (high, wide) = rng.integers(0, (100, 160)), rng.integers(16, 60, 2)
        instances = np.zeros((160, 240), np.uint16)
        instances[top : top + high, left : left + wide] = 300
        sure = targets(instances, (20, 30)).sure[0, 0].numpy() > 0
        away.append((middle(sure) - middle(instances > 0)) * (20, 30))
    np.testing.assert_allclose(np.mean(away, 0), 0, atol=0.1)


def test_a_crop_and_its_instances_are_scaled_alike() -> None:
    instances = np.zeros((180, 320), np.uint16)
    instances[60:120, 100:200] = 1
    image = np.repeat(instances[..., None] * 200, 3, -1).astype(np.uint8)
    sample, away = Sample(image, np.full(instances.shape, 255, np.uint8), "x", instances), []
    for seed in range(60):
        shown, found = augmented(sample, SIZE, np.random.default_rng(seed), (96, 160))
        if not (found[0].any() or found[-1].any() or found[:, 0].any() or found[:, -1].any()):
            away.append((middle(found > 0) - middle(shown[..., 0] > shown[..., 0].max() / 2)) * SIZE)
    assert len(away) > 20
    np.testing.assert_allclose(np.mean(away, 0), 0, atol=0.05)
