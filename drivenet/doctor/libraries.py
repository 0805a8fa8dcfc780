"""The doctor on the libraries: backends, video, and the models that ship."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from drivenet.artefacts.catalog import find, list_models
from drivenet.backends import BACKENDS, added
from drivenet.doctor.jetpack import installed_jetpack, tensorrt_cure, tensorrt_fault
from drivenet.doctor.machine import is_jetson
from drivenet.doctor.row import Row, State
from drivenet.engine.cuda.driver import open_driver
from drivenet.engine.openvino.model import without_telemetry
from drivenet.errors import DrivenetError, EngineError
from drivenet.host.nvidia import probe
from drivenet.resources import engines_dir

#: Distributions that write into the one folder ``onnxruntime``.
_RUNTIMES = {"onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-qnn"}
#: What an output needs, by the extra that brings it.
_OUTPUTS = {
    "web": ("h11", "prometheus_client", "starlette", "uvicorn", "websockets"),
    "robotics": ("mcap",),
    "mqtt": ("paho",),
    "ros2": ("rclpy or cyclonedds",),
    "zenoh": ("zenoh",),
}
#: Starts TensorRT and prints why it does not.
_START_TENSORRT = """
from drivenet.engine.tensorrt.session import import_tensorrt, make_log, start
from drivenet.errors import EngineError
trt = import_tensorrt()
log = make_log(trt)
try:
    start(trt, "Runtime", log)
except EngineError as error:
    raise SystemExit(error.received)
raise SystemExit(log.reason if log.failed else 0)
"""
#: CUDA's number of a driver that is older than the CUDA of a library.
_OLD_DRIVER = "error: 35"
_START_S = 60.0


def check_cuda_package() -> Row:
    """pycuda, else cuda-bindings, as an engine would take the device. Without a driver neither can be tried."""
    part, cure = "pycuda", "pip install pycuda, or where it cannot be compiled: pip install cuda-bindings"
    installed = {name: version for name in ("pycuda", "cuda-bindings") if (version := _version(name))}
    if not installed:
        return Row(part, "missing", "neither pycuda nor cuda-bindings", cure)
    if probe().missing:
        found = ", ".join(f"{name} {version}" for name, version in installed.items())
        return Row(part, "missing", f"{found}, no driver to use it with", "see GPU and driver")
    try:
        with ThreadPoolExecutor(1) as thread:  # the context stays with the thread that opened it
            taken = thread.submit(_try_driver).result()
    except EngineError as error:
        return Row(part, "broken", error.received, error.cure or cure)
    return Row(part, "ok", f"{taken} {installed.get(taken, '')}")


def _try_driver() -> str:
    """The package that an engine goes through; EngineError if it cannot take the device."""
    driver = open_driver()
    driver.close()
    return driver.package


def check_tensorrt() -> Row:
    """The package; it is imported only where there is a driver, since it may crash without."""
    cure = 'pip install "drivenet[tensorrt]"'
    if platform.machine() != "x86_64":  # the extra is for those alone
        cure = "docs/jetson.md; on other machines: pip install tensorrt"
    if is_jetson():
        cure = tensorrt_cure(installed_jetpack())
    if importlib.util.find_spec("tensorrt") is None:
        return Row("TensorRT", "missing", "the package tensorrt is not installed", cure)
    if probe().missing:
        return Row("TensorRT", "missing", "installed, no driver to use it with", "see GPU and driver")
    error = _import_error("tensorrt")
    if error:
        return Row("TensorRT", "broken", error, cure)
    version = str(importlib.import_module("tensorrt").__version__)
    fault = tensorrt_fault(installed_jetpack(), version, probe().compute_capability)
    return fault or _started(version, cure) or Row("TensorRT", "ok", version)


def _started(version: str, cure: str) -> Row | None:
    """None if TensorRT starts with this driver. Tried in a process of its own: one that does not fit may crash."""
    paths = os.pathsep.join(path or os.curdir for path in sys.path)
    command, env = [sys.executable, "-c", _START_TENSORRT], os.environ | {"PYTHONPATH": paths}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_START_S, check=False)
    except subprocess.TimeoutExpired:
        return Row("TensorRT", "broken", f"{version} does not start within {_START_S:.0f} s", cure)
    if not done.returncode:
        return None
    told = (done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode < 0:
        told = f"TensorRT {version} crashes when it starts (signal {-done.returncode})"
    if _OLD_DRIVER in told and not is_jetson():
        cuda = probe().cuda
        cure = f"a newer driver, or TensorRT for its CUDA {cuda}: pip install tensorrt-cu{cuda.partition('.')[0]}"
    return Row("TensorRT", "broken", told, cure)


def check_openvino() -> Row:
    """The package and its devices."""
    cure = 'pip install "drivenet[openvino]"'
    if importlib.util.find_spec("openvino") is None:
        return Row("OpenVINO", "missing", "the package openvino is not installed", cure)
    with without_telemetry():
        error = _import_error("openvino")
    if error:
        return Row("OpenVINO", "broken", error, cure)
    openvino: Any = importlib.import_module("openvino")
    return Row("OpenVINO", "ok", f"{openvino.__version__}, devices {', '.join(openvino.Core().available_devices)}")


def check_onnxruntime() -> Row:
    """The package and the execution providers that really start, not only those that it was compiled with."""
    error = _import_error("onnxruntime")
    if error:
        return Row("ONNX Runtime", "broken", error, "pip install onnxruntime")
    ort: Any = importlib.import_module("onnxruntime")
    names = ", ".join(p.removesuffix("ExecutionProvider") for p in ort.get_available_providers())
    found = f"{ort.__version__}, providers {names}"
    both = sorted({d.name for d in importlib.metadata.distributions()} & _RUNTIMES)
    if len(both) > 1:  # they write into one folder, and which one won is chance
        cure = f"pip uninstall -y {' '.join(both)}, then install the wanted one with --no-deps"
        return Row("ONNX Runtime", "broken", f"{found}; installed twice: {', '.join(both)}", cure)
    if told := _cuda_error(ort):
        cure = "install the CUDA and cuDNN that it asks for: pip install onnxruntime-gpu[cuda,cudnn]"
        return Row("ONNX Runtime", "broken", f"{found}; CUDA does not start: {told}", cure)
    return Row("ONNX Runtime", "ok", found)


def _cuda_error(ort: Any) -> str:
    """Why the default model does not start on the CUDA that is there, empty if it does or there is none."""
    from drivenet.engine.onnxruntime.engine import usable_providers
    from drivenet.engine.onnxruntime.file import CPU, open_session  # they import onnxruntime, which may be broken

    providers = usable_providers()
    if providers == CPU:
        return ""
    try:
        open_session(find(None), ort.SessionOptions(), providers)
    except DrivenetError as error:
        return str(error)
    return ""


def check_opencv() -> Row:
    """Version, windows and GStreamer; only CSI cameras need the last."""
    error = _import_error("cv2")
    if "numpy" in error:  # a system's OpenCV was built for the NumPy of that system
        return Row("OpenCV", "broken", error, 'pip install "numpy<2"')
    if error:
        cure = "apt-get install libgl1 libglib2.0-0, or pip install opencv-python-headless"
        return Row("OpenCV", "broken", error, cure)
    cv2: Any = importlib.import_module("cv2")
    build = cv2.getBuildInformation()
    gstreamer = bool(re.search(r"GStreamer:\s+YES", build))
    window = match[1] if (match := re.search(r"^\s*GUI:\s+(\S+)", build, re.MULTILINE)) else "none"
    found = f"{cv2.__version__}, windows {window}, GStreamer {'yes' if gstreamer else 'no'}"
    if is_jetson() and not gstreamer:
        return Row("OpenCV", "missing", f"{found}, which CSI cameras need", "docs/jetson.md: JetPack's own OpenCV")
    return Row("OpenCV", "ok", found)


def check_pyav() -> Row:
    """The codecs that files, streams and recordings need."""
    cure = "pip install --force-reinstall av"
    error = _import_error("av")
    if error:
        return Row("PyAV", "broken", error, cure)
    av: Any = importlib.import_module("av")
    wanted = {"h264": "r", "hevc": "r", "mjpeg": "r", "libx264": "w"}
    lacking = [name for name, mode in wanted.items() if not _has_codec(av, name, mode)]
    if lacking:
        return Row("PyAV", "broken", f"{av.__version__} without {', '.join(lacking)}", cure)
    return Row("PyAV", "ok", f"{av.__version__}, reads h264, hevc, mjpeg, writes libx264")


def check_backends() -> Row | None:
    """Those of other packages, if there are any."""
    try:
        for name in added():
            BACKENDS[name].load("open")
    except EngineError as error:
        return Row("backends", "broken", str(error), "install again or remove the package that adds it")
    return Row("backends", "ok", f"of other packages: {', '.join(added())}") if added() else None


def check_outputs() -> Row:
    """The outputs that are extras, by the extra; none is needed, so one that is there is enough."""
    lacking = [extra for extra, packages in _OUTPUTS.items() if not all(map(_is_there, packages))]
    found = ", ".join(extra for extra in _OUTPUTS if extra not in lacking) or "none"
    if not lacking:
        return Row("outputs", "ok", found)
    state: State = "missing" if found == "none" else "ok"
    return Row("outputs", state, f"{found}; not {', '.join(lacking)}", f'pip install "drivenet[{",".join(lacking)}]"')


def _is_there(packages: str) -> bool:
    return any(importlib.util.find_spec(package) for package in packages.split(" or "))


def check_engines() -> Row:
    """The models that ship."""
    try:
        names = [str(row["name"]) for row in list_models()]
    except DrivenetError as error:
        return Row("models", "broken", str(error), "install drivenet again: pip install .")
    if not names:
        return Row("models", "broken", f"none in {engines_dir()}", "install drivenet again: pip install .")
    return Row("models", "ok", ", ".join(names))


def _has_codec(av: Any, name: str, mode: str) -> bool:
    try:
        av.codec.Codec(name, mode)
    except ValueError:  # av.codec.codec.UnknownCodecError
        return False
    return True


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _import_error(module: str) -> str:
    """Why a module cannot be imported, empty if it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 (a library that lacks a system library may raise anything)
        return f"{module} cannot be imported: {error}"
    return ""


LIBRARIES = (
    check_cuda_package,
    check_tensorrt,
    check_openvino,
    check_onnxruntime,
    check_opencv,
    check_pyav,
    check_backends,
    check_outputs,
    check_engines,
)
