"""What every test needs: one thread for OpenCV, the rule for GPU tests, and the wheel built from this tree."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import cv2
import pytest
from hypothesis import HealthCheck, settings
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]

# The same examples on every machine, and no verdict from how busy it is.
settings.register_profile(
    "drivenet", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("drivenet")


@functools.lru_cache(maxsize=1)
def missing_gpu() -> str:
    """What keeps GPU tests from running here, empty if nothing does."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return f"no NVIDIA driver ({error})"
    status = driver.cuInit(0)
    if status:
        return f"the NVIDIA driver does not start (cuInit returned {status})"
    count = ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    return "" if count.value else "the NVIDIA driver sees no GPU"


# A shell that starts a job in the background has it ignore SIGINT, nohup SIGHUP, and children inherit that.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip GPU tests without a GPU, or a package that their marker names; with DRIVENET_REQUIRE_GPU=1 fail them."""
    marker = item.get_closest_marker("gpu")
    if marker is None:
        return
    absent = [f"{name} is not installed" for name in marker.args if importlib.util.find_spec(name) is None]
    missing = "; ".join(filter(None, [missing_gpu(), *absent]))
    if not missing:
        return
    if os.environ.get("DRIVENET_REQUIRE_GPU") == "1":
        pytest.fail(f"DRIVENET_REQUIRE_GPU=1, but {missing}", pytrace=False)
    pytest.skip(f"needs a GPU: {missing}")


@pytest.fixture(scope="session", autouse=True)
def _engines_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests build for the user goes to a folder of theirs; what this user has built does not count."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))
    engines = tmp_path_factory.mktemp("engines")
    (engines / "catalog.json").write_text('{"default": "fast"}')  # whatever this processor has
    os.environ["DRIVENET_ENGINES"] = str(engines)
    os.environ["DRIVENET_BACKGROUND_BUILD"] = "0"


@pytest.fixture(autouse=True)
def _one_opencv_thread() -> None:
    """Tests run side by side, and each core already has one."""
    cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def one_torch_thread() -> Iterator[None]:
    """One thread for PyTorch where it is installed: threads that wait for each other make tiny runs slow."""
    if importlib.util.find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built from a copy so that the checkout stays as it is."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copyfile(REPOSITORY / name, tree / name)
    for name in ("drivenet", "engines", "configs"):
        shutil.copytree(REPOSITORY / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.plan", ".*"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-build-isolation", "--no-deps"]
    done = subprocess.run([*pip, "--no-index", "-w", out, tree], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Message:
    """What the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="session")
def base_requirements(metadata: Message) -> set[str]:
    """The distributions that a plain ``pip install drivenet`` asks for here."""
    requirements = [Requirement(r) for r in metadata.get_all("Requires-Dist", [])]
    return {r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Any]:
    """A running MQTT broker that anybody may use, a ``mqtt_broker.Broker``."""
    from mqtt_broker import Broker  # needs the extra [mqtt]

    running = Broker(tmp_path, "allow_anonymous true")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A running Chromium, a ``playwright.sync_api.Browser``; a page of its ``new_page`` has cookies of its own."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium on the PATH")
    with driver.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()
