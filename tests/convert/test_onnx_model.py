"""``drivenet import --from onnx``: the file gives what the original gives behind its declared preprocessing."""

from __future__ import annotations

import dataclasses
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx (extra [import]) is not installed")

import onnxruntime as ort  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from drivenet import Segmenter  # noqa: E402
from drivenet.convert.declaration import PRESETS, Declaration, preset  # noqa: E402
from drivenet.convert.onnx_model import Request, convert_onnx, import_onnx  # noqa: E402
from drivenet.convert.reference import compare, resize  # noqa: E402
from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import DrivenetError, EngineError, UsageError  # noqa: E402
from drivenet.labels import CITYSCAPES, LabelSet  # noqa: E402
from drivenet.prepare import prepare_for  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from tests.convert.foreign_models import Net  # noqa: E402

FIVE = LabelSet("five", tuple("abcde"), tuple((i, 0, 0) for i in range(5)), dict.fromkeys("abcde", "background"))
TWO = LabelSet("two", ("rest", "lane"), ((0, 0, 0), (9, 9, 9)), {"rest": "background", "lane": "road"})


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    drive = SyntheticDrive(160, 120, seed=3)
    return [drive.render(i * 60)[0] for i in range(3)]


def convert(file: Path, pictures: list[np.ndarray], declared: Declaration, labels: LabelSet = FIVE, **more: Any) -> Any:
    out = file.with_name("out.onnx")
    return convert_onnx(Request(file, out, declared, labels, **more), pictures, "the test"), out


def expected(file: Path, image: np.ndarray, declared: Declaration, layout: str = "nchw", output: int = 0) -> np.ndarray:
    """The first output on an image of the input's size, by the formula that people write down."""
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    pixels = image[..., ::-1] if declared.colour == "rgb" else image
    x = ((pixels * declared.scale - np.array(declared.mean)) / np.array(declared.std))[None]
    x = x.transpose(0, 3, 1, 2) if layout == "nchw" else x
    port = session.get_inputs()[0]
    return session.run(None, {port.name: x.astype(np.float16 if "16" in port.type else np.float32)})[output]


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 21])
@pytest.mark.parametrize("name", ["smp", "mmseg", "paddleseg"])
def test_scores_at_a_stride_by_opset_and_preset(tmp_path: Path, pictures: list, opset: int, name: str) -> None:
    file = Net().write(tmp_path / "net.onnx", opset=opset)
    made, out = convert(file, pictures, preset(name))
    with closing(open_engine(out, backend="onnxruntime")) as engine:
        for picture in pictures:
            image = prepare_for(picture, made.spec)
            scores = expected(file, image, PRESETS[name])[0]
            assert scores.shape == (5, 16, 24)
            assert np.mean(engine.infer(image) == resize(scores, (64, 96)).argmax(0)) > 0.999
    assert (made.spec.input, made.spec.output, made.agreement.pictures) == ((64, 96), (64, 96), 3)
    assert made.agreement.equal > 0.999


@pytest.mark.parametrize("declared", [
    Declaration(colour="bgr", scale=1.0), Declaration(colour="bgr", mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4)),
    Declaration(layout="nhwc", mean=(0.5, 0.4, 0.3)), Declaration(layout="nhwc", colour="bgr"),
])  # fmt: skip
def test_layouts_and_colours(tmp_path: Path, pictures: list, declared: Declaration) -> None:
    file = Net(layout=declared.layout).write(tmp_path / "net.onnx")
    made, out = convert(file, pictures, declared)
    image = prepare_for(pictures[0], made.spec)
    scores = expected(file, image, declared, declared.layout)[0]
    with closing(open_engine(out, backend="onnxruntime")) as engine:
        assert np.mean(engine.infer(image) == resize(scores, (64, 96)).argmax(0)) > 0.999


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_a_network_that_cuts_the_bonnet_off_first(tmp_path: Path, pictures: list, colour: Any) -> None:
    """Its Slice was taken for the one that turns the channels round, and the import was refused."""
    net = Net()
    for name, value in (("starts", 0), ("ends", 48), ("axes", 2)):
        net.tensors.append(onnx.numpy_helper.from_array(np.array([value], np.int64), name))
    net.nodes[0].input[0] = "road"
    net.nodes.insert(0, helper.make_node("Slice", ["image", "starts", "ends", "axes"], ["road"], "cut"))
    made, _ = convert(net.write(tmp_path / "net.onnx"), pictures, Declaration(colour=colour))
    assert made.agreement.equal > 0.999


def test_the_record_states_mean_and_std_as_every_spec_does(tmp_path: Path, pictures: list) -> None:
    declared = Declaration(colour="bgr", scale=1.0, mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395))
    made, _ = convert(Net().write(tmp_path / "net.onnx"), pictures, declared)
    assert made.spec.mean == pytest.approx((0.485, 0.456, 0.406), abs=1e-3)
    assert made.spec.std == pytest.approx((0.229, 0.224, 0.225), abs=1e-3)
    assert made.spec.params == (8 * 27 + 8) + (5 * 72 + 5)


def test_external_data_listed_weights_and_half_precision(tmp_path: Path, pictures: list) -> None:
    files = [
        Net().write(tmp_path / "external.onnx", external=True),
        Net().write(tmp_path / "listed.onnx", opset=11, listed=True),
        Net(half=True).write(tmp_path / "half.onnx"),
    ]
    for file in files:
        made, out = convert(file, pictures, preset("smp"))
        assert made.agreement.equal > 0.999
        assert made.spec.precision == "fp32"
        assert TensorProto.FLOAT16 not in {t.data_type for t in onnx.load(out).graph.initializer}
    (tmp_path / "external.onnx.data").unlink()
    with pytest.raises(UsageError, match=r"cannot read .*external\.onnx"):
        convert(files[0], pictures, preset("smp"))


def test_ports_without_a_shape(tmp_path: Path, pictures: list) -> None:
    """Some exporters leave the shapes of outputs to the runtime; onnx refuses such files."""
    file = Net().write(tmp_path / "net.onnx")
    model = onnx.load(file)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, file)
    made, _ = convert(file, pictures, preset("smp"))
    assert made.agreement.equal > 0.999
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, file)
    with pytest.raises(UsageError, match=r"the input .* has no shape; expected axes"):
        convert(file, pictures, preset("smp"))


def test_open_axes_need_a_size(tmp_path: Path, pictures: list) -> None:
    file = Net(axes=("height", "width")).write(tmp_path / "net.onnx")
    with pytest.raises(UsageError, match=r"of any size.*give --size"):
        convert(file, pictures, preset("smp"))
    made, _ = convert(file, pictures, preset("smp"), size=(96, 128), tail="half")
    assert (made.spec.input, made.spec.output) == ((96, 128), (48, 64))
    fixed = Net().write(tmp_path / "fixed.onnx")
    with pytest.raises(UsageError, match=r"--size 128x96, but .*expected 96x64"):
        convert(fixed, pictures, preset("smp"), size=(96, 128))


def ids_net(file: Path, keepdims: int, kind: int = TensorProto.INT64, trailing: bool = False) -> Path:
    net = Net().add("ArgMax", axis=1, keepdims=keepdims)
    if kind != TensorProto.INT64:
        net.add("Cast", to=kind)
    if trailing:
        net.add("Transpose", perm=[0, 2, 3, 1])
    return net.write(file, (net.end, kind, 3 + keepdims))


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8])
def test_ids_stay_as_they_come(tmp_path: Path, pictures: list, keepdims: int, kind: int) -> None:
    made, _ = convert(ids_net(tmp_path / "net.onnx", keepdims, kind), pictures, preset("mmseg"))
    assert (made.spec.output, made.agreement.equal) == ((16, 24), 1.0)
    with pytest.raises(UsageError, match="--tail half for a model that gives ids"):
        convert(tmp_path / "net.onnx", pictures, preset("mmseg"), tail="half")


def test_ids_with_a_last_axis_and_ids_as_floats(tmp_path: Path, pictures: list) -> None:
    made, _ = convert(
        ids_net(tmp_path / "net.onnx", 1, TensorProto.INT32, trailing=True), pictures, preset("nvidia-tao")
    )
    assert made.spec.output == (16, 24)
    file = ids_net(tmp_path / "floats.onnx", 0, TensorProto.FLOAT)
    with pytest.raises(UsageError, match=r"one channel for each of 5 classes.*--output ids"):
        convert(file, pictures, preset("smp"))
    made, _ = convert(file, pictures, dataclasses.replace(preset("smp"), kind="ids"))
    assert made.spec.output == (16, 24)


def test_scores_with_a_last_axis(tmp_path: Path, pictures: list) -> None:
    net = Net().add("Transpose", perm=[0, 2, 3, 1])
    made, _ = convert(net.write(tmp_path / "net.onnx"), pictures, preset("smp"))
    assert made.spec.output == (64, 96)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_one_channel_for_two_classes(tmp_path: Path, pictures: list, sigmoid: bool) -> None:
    net = Net(classes=1, stride=2)
    if sigmoid:
        net.add("Sigmoid")
    file = net.write(tmp_path / "net.onnx")
    made, out = convert(file, pictures, preset("smp"), TWO)
    image = prepare_for(pictures[0], made.spec)
    plane = resize(expected(file, image, PRESETS["smp"])[0], (64, 96))[0]
    with closing(open_engine(out, backend="onnxruntime")) as engine:
        assert np.mean(engine.infer(image) == (plane > (0.5 if sigmoid else 0))) > 0.999
    with pytest.raises(UsageError, match="two classes for a single channel"):
        convert(file, pictures, preset("smp"))


def test_several_outputs_have_to_be_chosen_from(tmp_path: Path, pictures: list) -> None:
    net = Net()
    net.nodes.append(helper.make_node("Sigmoid", [net.end], ["aux"]))
    file = net.write(tmp_path / "net.onnx", ("aux", net.type, 4), (net.end, net.type, 4))
    with pytest.raises(UsageError, match=f"2 outputs; expected one of aux, {net.end}"):
        convert(file, pictures, preset("smp"))
    _, out = convert(file, pictures, dataclasses.replace(preset("smp"), outputs=("nothing", net.end)))
    assert "Sigmoid" not in {node.op_type for node in onnx.load(out).graph.node}


def test_a_letterbox_is_done_and_undone(tmp_path: Path) -> None:
    """The best of three channels of a picture's own colours; the picture is higher than the input is."""
    net = Net(classes=3, stride=1, axes=(64, 64))
    net.nodes, net.tensors, net.end = [], [], "image"
    net.add("Identity")
    picture = np.zeros((120, 40, 3), np.uint8)
    for i, part in enumerate(np.array_split(np.arange(120), 3)):
        picture[part, :, i] = 200  # blue, green, red
    labels = LabelSet("rgb", ("red", "green", "blue"), ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
                      dict.fromkeys(("red", "green", "blue"), "background"))  # fmt: skip
    made, out = convert(net.write(tmp_path / "net.onnx"), [picture], preset("ultralytics-semantic"), labels)
    assert made.spec.letterbox == 114
    with Segmenter(out) as segmenter:
        found = segmenter.segment(picture)
    rows = (slice(36), slice(44, 76), slice(84, 120))
    assert [np.unique(found.ids[part]).tolist() for part in rows] == [[2], [1], [0]]
    assert sum(found.scene.classes.values()) == pytest.approx(1)


def test_what_differs_is_refused_with_the_figure(tmp_path: Path, pictures: list) -> None:
    wanted = [(np.arange(100) == 0).astype(np.uint8).reshape(10, 10)] * len(pictures)
    with pytest.raises(EngineError, match=r"99.0000% of pixels .* expected at least 99.9%"):
        compare(wanted, lambda image: np.zeros((10, 10), np.uint8), pictures, "x", "ab")


def test_pictures_with_one_class_prove_nothing(tmp_path: Path) -> None:
    black = [np.zeros((64, 96, 3), np.uint8)]
    net = Net(classes=5, stride=1)
    net.tensors = net.tensors[:2]
    net.nodes, net.end = net.nodes[:2], net.nodes[1].output[0]
    net.add("ReduceMean", axes=[1, 2, 3], keepdims=1)
    net.add("Expand", np.array([1, 5, 64, 96], np.int64))
    with pytest.raises(UsageError, match=r"nothing but a on .*--samples DIR"):
        convert(net.write(tmp_path / "net.onnx"), black, preset("smp"))


@pytest.mark.parametrize(("net", "labels", "message"), [
    (Net(classes=4), FIVE, r"\[1, 4, 16, 24\].*5 channels, one for each class"),
    (Net(layout="nhwc"), FIVE, "did you mean --layout nhwc"),
])  # fmt: skip
def test_a_contradiction_is_told(tmp_path: Path, pictures: list, net: Net, labels: LabelSet, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convert(net.write(tmp_path / "net.onnx"), pictures, preset("smp"), labels)


@pytest.mark.parametrize(("shift", "found"), [(-4, "-[1-4]"), (250, "25[0-9]"), (300, "30[0-9]")])
def test_ids_that_no_class_has_are_told_as_the_original_gives_them(
    tmp_path: Path, pictures: list, shift: int, found: str
) -> None:
    net = Net().add("ArgMax", axis=1, keepdims=0).add("Add", np.array(shift, np.int64))
    file = net.write(tmp_path / "net.onnx", (net.end, TensorProto.INT64, 3))
    with pytest.raises(UsageError, match=rf"the original gives class id {found}; expected ids 0\.\.4 of its labels"):
        convert(file, pictures, Declaration())


def test_ids_without_a_class_on_other_pictures_are_told_of_the_file_that_was_given(
    tmp_path: Path, pictures: list
) -> None:
    """On flat grey it gives 255. The message named a temporary file."""
    net = Net().add("ArgMax", axis=1, keepdims=0)
    ids, net.end = net.end, "image"
    net.add("ReduceMin", keepdims=0).add("Greater", np.float32(0.45)).add("Cast", to=TensorProto.INT64)
    net.add("Mul", np.int64(255))
    net.nodes.append(helper.make_node("Max", [ids, net.end], ["found"]))
    file = net.write(tmp_path / "net.onnx", ("found", TensorProto.INT64, 3))
    with pytest.raises(EngineError, match=rf"^{re.escape(str(file))} gave class id 255; expected ids 0\.\.4 of"):
        convert(file, pictures, Declaration())


def test_a_sigmoid_inside_a_function_is_one(tmp_path: Path, pictures: list) -> None:
    net = Net(classes=1, stride=2)
    plain = onnx.load(net.add("Sigmoid").write(tmp_path / "plain.onnx"))
    inside = helper.make_node("Sigmoid", ["x"], ["y"])
    function = helper.make_function("mine", "Probability", ["x"], ["y"], [inside], [helper.make_opsetid("", 17)])
    plain.functions.append(function)
    plain.opset_import.append(helper.make_opsetid("mine", 1))
    plain.graph.node[-1].op_type, plain.graph.node[-1].domain = "Probability", "mine"
    onnx.save(plain, tmp_path / "function.onnx")
    made, out = convert(tmp_path / "function.onnx", pictures, preset("smp"), TWO)
    image = prepare_for(pictures[0], made.spec)
    planes = resize(expected(tmp_path / "function.onnx", image, PRESETS["smp"])[0], (64, 96))
    with closing(open_engine(out, backend="onnxruntime")) as engine:
        assert np.mean(engine.infer(image) == (planes[0] > 0.5)) > 0.999


def test_what_is_declared_in_vain_is_told(tmp_path: Path, pictures: list) -> None:
    file = Net().write(tmp_path / "net.onnx")
    with pytest.raises(UsageError, match=r"--threshold 0\.3, and the output .* holds logits; expected a single"):
        convert(file, pictures, Declaration(threshold=0.3))
    with pytest.raises(UsageError, match=r"--pad 9 with --fit stretch; expected --fit letterbox"):
        import_onnx(file, tmp_path / "out.onnx", FIVE, pad=9)
    net = Net(layout="nhwc")
    net.inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 64, 96, 3])]
    net.nodes.insert(0, helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT))
    net.nodes[1].input[0] = "floats"
    with pytest.raises(UsageError, match=r"takes uint8 and is declared with scale 2; expected bytes as they are"):
        convert(net.write(tmp_path / "bytes.onnx"), pictures, Declaration(layout="nhwc", scale=2.0))
    assert not (tmp_path / "out.onnx").exists()


def test_what_is_no_such_model(tmp_path: Path, pictures: list) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    old = Net().write(tmp_path / "old.onnx", opset=9)
    for file, message in ((tmp_path / "text.onnx", "cannot read"), (tmp_path / "none.onnx", "cannot read"),
                          (old, "opset 9; expected 11 or newer")):  # fmt: skip
        with pytest.raises(DrivenetError, match=message):
            convert(file, pictures, preset("smp"), CITYSCAPES)
