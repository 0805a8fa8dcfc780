"""JetPack by the release of Jetson Linux that it comes with, and which TensorRT runs on which module.

From NVIDIA's JetPack pages and, for 7.1 and 7.2, what was read on devices (roboflow/inference#2531); that TensorRT
10.13.3 for servers has no kernels of Orin is from NVIDIA-ISAAC-ROS/isaac-ros-cli#22.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from drivenet.doctor.row import Row

#: Compute capability of Orin.
_ORIN = "8.7"
#: The TensorRT that has no kernels of Orin: that of JetPack 7.0 and 7.1, which are for Thor, and of servers.
_WITHOUT_ORIN = (10, 13)
_SYSTEM = "sudo apt-get install nvidia-jetpack python3-libnvinfer"


@dataclass(frozen=True)
class JetPack:
    """A release.

    Args:
        name: of JetPack.
        linux: the first release of Jetson Linux that has it, major and minor.
        python: of its TensorRT bindings.
        cuda: its version.
        tensorrt: its version.
        modules: that it is for.
    """

    name: str
    linux: tuple[int, int]
    python: str
    cuda: str
    tensorrt: str
    modules: str


JETPACKS = (
    JetPack("5.1", (35, 2), "3.8", "11.4", "8.5", "Xavier and Orin"),
    JetPack("6.0", (36, 2), "3.10", "12.2", "8.6", "Orin"),
    JetPack("6.1", (36, 4), "3.10", "12.6", "10.3", "Orin"),
    JetPack("7.0", (38, 2), "3.12", "13.0", "10.13", "Thor"),
    JetPack("7.1", (38, 4), "3.12", "13.0", "10.13", "Thor"),
    JetPack("7.2", (39, 2), "3.12", "13.2", "10.16", "Orin and Thor"),
)
#: Within Jetson Linux 36.4 the patch level tells: 36.4.3 and later are 6.2, with the same CUDA and TensorRT.
_SIX_TWO = (36, 4, 3)


def jetpack_of(release: str) -> JetPack | None:
    """The JetPack of the text in ``/etc/nv_tegra_release``; None for one that is not known.

    >>> found = jetpack_of("# R39 (release), REVISION: 2.0, GCID: 1")
    >>> found and (found.name, found.tensorrt)
    ('7.2', '10.16')
    """
    match = re.search(r"R(\d+)\D+REVISION:\s*(\d+)\.(\d+)", release)
    if not match:
        return None
    major, minor, patch = (int(part) for part in match.groups())
    fitting = [known for known in JETPACKS if known.linux[0] == major and known.linux[1] <= minor]
    if not fitting:
        return None
    found = fitting[-1]
    is_62 = (major, minor, patch) >= _SIX_TWO and found.name == "6.1"
    return JetPack("6.2", found.linux, found.python, found.cuda, found.tensorrt, found.modules) if is_62 else found


def installed_jetpack(root: Path = Path("/")) -> JetPack | None:
    """The JetPack of this machine; None where it is none that is known, or cannot be told (a container)."""
    try:
        return jetpack_of((root / "etc/nv_tegra_release").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def tensorrt_cure(jetpack: JetPack | None) -> str:
    """How TensorRT comes onto a Jetson."""
    if jetpack and jetpack.python == "3.8":
        return (
            f"TensorRT {jetpack.tensorrt} of JetPack {jetpack.name} has bindings for Python 3.8 alone: "
            "move to JetPack 6, or build them for 3.10 (docs/jetson.md, JetPack 5)"
        )
    told = f" (TensorRT {jetpack.tensorrt} of JetPack {jetpack.name})" if jetpack else ""
    return f"{_SYSTEM}{told}, then a virtual environment with --system-site-packages: docs/jetson.md"


def tensorrt_fault(jetpack: JetPack | None, version: str, capability: str) -> Row | None:
    """What is wrong with an imported TensorRT on this GPU; None if nothing is known to be.

    Args:
        jetpack: of this machine.
        version: of TensorRT, ``10.13.3.9``.
        capability: compute capability of the GPU, ``8.7``.
    """
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    if capability != _ORIN or numbers != _WITHOUT_ORIN:
        return None
    found = f"{version} has no kernels for this GPU (sm_87, Orin): it builds no engine"
    cure = "pip uninstall -y tensorrt tensorrt-cu13 tensorrt-cu13-libs tensorrt-cu13-bindings, then "
    return Row("TensorRT", "broken", found, cure + tensorrt_cure(jetpack or JETPACKS[-1]))
