"""A TensorRT that records every call, computes with ONNX Runtime, and lacks all that the real one lacks.

What the real bindings have was listed from them: ``fixtures/tensorrt_api.json``. A name that is not there raises
AttributeError, as it would on the device.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from driver_double import RecordingDriver
from google.protobuf.message import DecodeError

from drivenet.host.nvidia import Gpu

API = json.loads((Path(__file__).parent / "fixtures" / "tensorrt_api.json").read_text(encoding="utf-8"))
GPU = Gpu(name="Orin", compute_capability="8.7", cuda="11.4")
_MAGIC = b"ptrt"


class Real:
    """Has only the public attributes that the real class has."""

    real: frozenset[str] = frozenset()

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name not in object.__getattribute__(self, "real") and name != "real":
            raise AttributeError(f"the real {type(self).__name__} has no {name}")
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name not in self.real:
            raise AttributeError(f"the real {type(self).__name__} has no {name}")
        object.__setattr__(self, name, value)


class Tensor(Real):
    def __init__(self, name: str, shape: tuple[int, ...], dtype: Any, value: Callable[[], Any] | None = None) -> None:
        self.name, self.shape, self.dtype, self._value = name, shape, dtype, value


class Layer(Real):
    def __init__(self, kind: Any, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        self.type, self._inputs, self._outputs = kind, inputs, outputs

    num_inputs = property(lambda self: len(self._inputs))
    num_outputs = property(lambda self: len(self._outputs))
    axes = 1 << 3

    def get_input(self, i: int) -> Tensor:
        return self._inputs[i]

    def get_output(self, i: int) -> Tensor:
        return self._outputs[i]

    def set_input(self, i: int, tensor: Tensor) -> None:
        self._inputs[i] = tensor


class Network(Real):
    def __init__(self, trt: Any, calls: list[str]) -> None:
        self._trt, self._calls, self._layers, self._outputs = trt, calls, [], []
        self._input: Any = None
        self._model = b""

    num_layers = property(lambda self: len(self._layers))

    def get_layer(self, i: int) -> Layer:
        return self._layers[i]  # type: ignore[no-any-return]

    def get_input(self, i: int) -> Tensor:
        return self._input  # type: ignore[no-any-return]

    def get_output(self, i: int) -> Tensor:
        return self._outputs[i]  # type: ignore[no-any-return]

    def _add(self, kind: str, inputs: list[Tensor], shape: Any, dtype: Any, value: Callable[[], Any]) -> Layer:
        tensor = self._trt.make(Tensor, "ITensor", f"t{len(self._layers)}", tuple(shape), dtype, value)
        layer = self._trt.make(Layer, "ILayer", getattr(self._trt.LayerType, kind), inputs, [tensor])
        self._layers.append(layer)
        return layer  # type: ignore[no-any-return]

    def add_slice(self, x: Tensor, start: list[int], shape: list[int], stride: list[int]) -> Layer:
        cut = tuple(slice(s, s + n, d) for s, n, d in zip(start, shape, stride, strict=True))
        return self._add("SLICE", [x], shape, x.dtype, lambda: x._value()[cut])

    def add_elementwise(self, a: Tensor, b: Tensor, op: Any) -> Layer:
        name = self._trt.ElementWiseOperation(op).name
        function = {"GREATER": np.greater, "MAX": np.maximum}[name]
        return self._add("ELEMENTWISE", [a, b], a.shape, a.dtype, lambda: function(a._value(), b._value()))

    def add_select(self, c: Tensor, a: Tensor, b: Tensor) -> Layer:
        assert a.dtype == b.dtype
        return self._add("SELECT", [c, a, b], c.shape, a.dtype, lambda: np.where(c._value(), a._value(), b._value()))

    def add_constant(self, shape: list[int], weights: np.ndarray) -> Layer:
        assert weights.dtype == np.float32
        return self._add("CONSTANT", [], shape, self._trt.DataType.FLOAT, lambda: weights.reshape(shape))

    def _check(self) -> str:
        """What TensorRT 8.5 says of uint8 at the ends, empty if it is content."""
        trt = self._trt
        casts = tuple(trt.LayerType[name] for name in ("IDENTITY", "CAST") if name in trt.LayerType.__members__)
        readers = [layer for layer in self._layers if any(t is self._input for t in layer._inputs)]
        if any(layer.type not in casts for layer in readers):
            return "uint8 input must be cast first"
        made = [tensor for layer in self._layers for tensor in layer._outputs if tensor.dtype == trt.DataType.UINT8]
        if {id(tensor) for tensor in made} - {id(out) for out in self._outputs}:
            return "uint8 within the network"
        makers = [(out, layer) for out in self._outputs for layer in self._layers if out in layer._outputs]
        good = all(
            maker.type in casts and out.dtype == trt.DataType.UINT8 and maker._inputs[0].dtype == trt.DataType.FLOAT
            for out, maker in makers
        )
        return "" if good else "uint8 output must be cast from float"


class Parser(Real):
    """Reads the layers of the test model; the TopK of TensorRT stands for its ArgMax.

    It refuses what the real ones refuse: uint8 in any layer but a cast, and 8.5 a uint8 that is not cast from float.
    """

    def __init__(self, network: Network, log: Any) -> None:
        self._network, self._errors = network, []

    num_errors = property(lambda self: len(self._errors))

    def get_error(self, i: int) -> Any:
        return SimpleNamespace(desc=lambda: self._errors[i])

    def parse(self, content: bytes) -> bool:
        network, trt = self._network, self._network._trt
        try:
            model = onnx.load_from_string(content)
        except DecodeError:
            self._errors.append("Failed to parse ONNX model")
            return False
        shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in model.graph.input}
        inferred = onnx.shape_inference.infer_shapes(model).graph
        for value in (*inferred.value_info, *inferred.output):
            shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        (frame,) = model.graph.input
        tensors = {frame.name: trt.make(Tensor, "ITensor", frame.name, shapes[frame.name], trt.DataType.UINT8)}
        kinds = {
            "Cast": "CAST" if "CAST" in trt.LayerType.__members__ else "IDENTITY",
            "ArgMax": "TOPK",
            "MatMul": "MATRIX_MULTIPLY",
            "Add": "ELEMENTWISE",
            "Transpose": "SHUFFLE",
        }
        for node in model.graph.node:
            inputs = [tensors[name] for name in node.input if name in tensors]
            to_uint8 = any(a.name == "to" and a.i == onnx.TensorProto.UINT8 for a in node.attribute)
            dtype = trt.DataType.UINT8 if to_uint8 else trt.DataType.FLOAT
            if node.op_type != "Cast" and any(tensor.dtype == trt.DataType.UINT8 for tensor in inputs):
                self._errors.append("Found unsupported input type of UINT8")
                return False
            if to_uint8 and inputs[0].dtype != trt.DataType.FLOAT and "CAST" not in trt.LayerType.__members__:
                self._errors.append("In node 5 (importCast): UNSUPPORTED_NODE: newType == DataType::kUINT8")
                return False
            (out,) = [trt.make(Tensor, "ITensor", n, shapes[n], dtype) for n in node.output]
            kind = getattr(trt.LayerType, kinds.get(node.op_type, node.op_type.upper()))
            tensors[out.name] = out
            if node.op_type == "ArgMax":  # a TopK, whose indices lose the axis of length 1
                found = [
                    trt.make(Tensor, "ITensor", n, (*out.shape, 1), trt.DataType.INT32) for n in ("best", "indices")
                ]
                network._layers.append(trt.make(Layer, "ILayer", kind, inputs, found))
                kind, inputs, out.dtype = trt.LayerType.SHUFFLE, found[1:], trt.DataType.INT32
            network._layers.append(trt.make(Layer, "ILayer", kind, inputs, [out]))
        network._input, network._model = tensors[frame.name], content
        network._outputs = [tensors[output.name] for output in model.graph.output]
        return True


class Config(Real):
    def __init__(self, calls: list[str], trt: Any) -> None:
        self._calls, self._trt = calls, trt

    default_device_type: Any = None
    DLA_core = -1

    def set_flag(self, flag: Any) -> None:
        self._calls.append(f"set_flag {flag.name}")

    def clear_flag(self, flag: Any) -> None:
        self._calls.append(f"clear_flag {flag.name}")

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._calls.append(f"set_memory_pool_limit {pool.name} {size}")

    def set_tactic_sources(self, sources: int) -> bool:
        self._calls.append(f"set_tactic_sources {sources}")
        return True

    def create_timing_cache(self, content: bytes) -> bytes:
        return content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        self._calls.append(f"set_timing_cache {cache!r}")
        return cache != b"of another GPU"

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: b"timed")


class Builder(Real):
    def __init__(self, log: Any) -> None:
        self._log, self._trt = log, log._trt

    num_DLA_cores = 2

    def create_network(self, flags: int) -> Network:
        self._trt.calls.append(f"create_network {flags}")
        return self._trt.make(Network, "INetworkDefinition", self._trt, self._trt.calls)  # type: ignore[no-any-return]

    def create_builder_config(self) -> Config:
        return self._trt.make(Config, "IBuilderConfig", self._trt.calls, self._trt)  # type: ignore[no-any-return]

    def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
        if reason := network._check():
            self._log.log(self._log.ERROR, reason)
            return None
        return _MAGIC + network._model


class Context(Real):
    def __init__(self, trt: Any, session: Any) -> None:
        self._trt, self._session, self._addresses = trt, session, {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._trt.calls.append(f"set_tensor_address {name}")
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        memory = self._trt.driver.memory

        def compute() -> None:
            names = [node.name for node in self._session.get_outputs()]
            frame = {"frame": memory[self._addresses["frame"]]}
            for name, value in zip(names, self._session.run(names, frame), strict=True):
                memory[self._addresses[name]][...] = value

        self._trt.driver.do(f"execute_async_v3 {stream}", compute)
        return not self._trt.fails


class CudaEngine(Real):
    num_io_tensors = property(lambda self: len(self._nodes))

    def __init__(self, trt: Any, model: bytes) -> None:
        self._trt, self._session = trt, ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._nodes = [*self._session.get_inputs(), *self._session.get_outputs()]

    def get_tensor_name(self, i: int) -> str:
        return str(self._nodes[i].name)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return next(tuple(n.shape) for n in self._nodes if n.name == name)

    def get_tensor_mode(self, name: str) -> Any:
        return self._trt.TensorIOMode.INPUT if name == self._nodes[0].name else self._trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return self._trt.DataType.UINT8

    def create_execution_context(self) -> Context:
        return self._trt.make(Context, "IExecutionContext", self._trt, self._session)  # type: ignore[no-any-return]


class Runtime(Real):
    DLA_core = -1

    def __init__(self, log: Any) -> None:
        self._log, self._trt = log, log._trt

    def deserialize_cuda_engine(self, plan: bytes) -> CudaEngine | None:
        self._trt.calls.append("deserialize_cuda_engine")
        if not plan.startswith(_MAGIC):
            self._log.log(self._log.ERROR, "Serialization assertion magicTagRead == kMAGIC_TAG failed")
            self._log.log(self._log.ERROR, "Internal Error (Engine deserialization failed.)")  # real ones add as much
            return None
        return self._trt.make(CudaEngine, "ICudaEngine", self._trt, plan[len(_MAGIC) :])  # type: ignore[no-any-return]


class TensorRt:
    """The module ``tensorrt`` of one version."""

    def __init__(self, version: str, driver: RecordingDriver) -> None:
        self.api = API[version]
        self.__version__, self.driver, self.calls, self.fails = self.api["version"], driver, driver.calls, False
        for name, members in self.api["enums"].items():
            setattr(self, name, IntEnum(name, members, start=0))
        classes = {"Builder": Builder, "OnnxParser": Parser, "Runtime": Runtime}
        for name, double in classes.items():
            if name in self.api["classes"]:
                setattr(self, name, self.real(double, name))
        self.ITopKLayer = self.real(Layer, "ILayer", ("axes",))
        self.Weights = np.asarray
        self.ILogger = self.real(
            type("ILogger", (Real,), {"ERROR": 1, "INTERNAL_ERROR": 0, "WARNING": 2}),
            "ILogger",
            ("reason", "failed", "begin"),
        )
        self.ILogger._trt = self

    def real(self, double: type, name: str, more: tuple[str, ...] = ()) -> Any:
        """A double that has only what the real class of that name has."""
        allowed = frozenset(self.api["classes"].get(name, [])) | set(more)
        return type(name, (double,), {"real": allowed})

    def make(self, double: type, name: str, *arguments: Any) -> Any:
        assert name in self.api["module"] or name in self.api["classes"], f"the real tensorrt has no {name}"
        return self.real(double, name)(*arguments)
