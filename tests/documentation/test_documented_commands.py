"""Every command of the documentation does its work, page by page, in a folder with what its reader has.

A short synthetic drive or a server on the loopback stands in for a camera, a broker or a router, and long work is
shortened: see ``REPLACED``. ``ELSEWHERE`` names the test that runs a command, ``NOT_RUN`` says why no test does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from email.message import Message
from pathlib import Path

import pytest

from drivenet.host.cpu_features import native_precisions
from tests.documentation.documented import PAGES, REPOSITORY, commands, name_of
from tests.documentation.readers_folder import make
from tests.documentation.servers import servers

DRIVE = "synthetic://320x192@30?frames=12"
#: ROS 2 messages stay on this machine.
LOOPBACK = (
    '<CycloneDDS><Domain><General><Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces></General>'
    "</Domain></CycloneDDS>"
)
#: Commands that no test runs, and why.
NOT_RUN = {
    r"^(docker|sudo docker) ": "Docker",
    r"^sudo |^systemctl |^journalctl ": "root and a system that was booted",
    r"^pip install |^sudo .*pip install|-m venv ": "a package index; the extras are compared with the wheel's below",
    r"--backend tensorrt|\.plan\b|--rebuild\b": "a GPU with TensorRT",
    r"csi://": "a camera on a Jetson",
    r"gpu_check\.py|gpu_train\.py|^DRIVENET_REQUIRE_GPU": "a GPU; test_gpu_check.py and test_gpu_train.py run both",
    r"^torchrun ": "several GPUs; tests/training/test_ranks.py runs two processes",
    r"^ffplay ": "a display and FFmpeg's player",
    r"highway_540p": "a clip that is not part of the repository",
    r"configs/train/accurate\.yaml|runs/accurate[^ ]*/|eval model\.onnx": "hours of training; see tests/training",
    r"official_scores\.py": "minutes; tests/evaluation/test_official_scores.py scores random maps officially",
    r"--address ray://": "a Ray cluster; tests/cli/test_batch_kills.py starts one where Ray is installed",
    r"found\.json": "minutes of drawing; tests/cli/test_bench_video.py does both on short drives",
    r"^python benchmarks/": "a checkout and a quiet machine; tests/test_plain_loop.py and others run them",
    r"--things head\.pt": "a model without a head; tests/training/test_things_head.py does it",
    r"bench --all": "builds of every model; tests/cli/test_figures.py does it with small ones",
}
#: Pages whose commands another test runs, word for word.
ELSEWHERE = {"docs/tutorials/own-data.md": "tests/training/test_own_classes.py"}
#: What a reader has elsewhere or waits for, and what stands in for it here. ``{name}`` is a port or a program.
REPLACED = [
    (r"\brun 0 ", f"run '{DRIVE}' "),
    (r"rtsp://(camera|cam)\S*", f"'{DRIVE}'"),
    (r"mqtt://(user:password@)?broker(:1883)?", r"mqtt://\g<1>127.0.0.1:{broker}"),
    (r"zenoh://router:7447", "zenoh://127.0.0.1:{router}"),
    (r"rtsp://127\.0\.0\.1:8554/drivenet", "rtsp://127.0.0.1:{streams}/live"),
    (r"http://127\.0\.0\.1:8080", "http://127.0.0.1:{node}"),
    (r"(127\.0\.0\.1|0\.0\.0\.0):8080", r"\1:0"),
    (r"^python3? (tools/)?", rf"{sys.executable} \1"),
    (r"(train_things\.py .*)", r"\1 --synthetic 4 --iterations 1 --batch 2"),
]

#: What needs a processor with int8.
INT8 = re.compile(r"(build|run) .*-int8.* --backend openvino")
#: Exit codes that answer a question, besides 0.
ANSWERS = {"--blur-check": 4}


def reason(page: str, line: str) -> str | None:
    """Why no command of this test runs a line."""
    if page in ELSEWHERE:
        return ELSEWHERE[page]
    if line.startswith("make "):
        return "continuous integration"
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, line)), None)


RUN = {name_of(page): [line for line in commands(page) if reason(name_of(page), line) is None] for page in PAGES}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder that nobody changes."""
    folder = tmp_path_factory.mktemp("reader")
    make(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder, in which ``drivenet`` is this checkout's and ``tools`` are at hand."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "tools").symlink_to(REPOSITORY / "tools")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "drivenet").write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m drivenet "$@"\n')
    (programs / "drivenet").chmod(0o755)
    places = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", places)
    monkeypatch.setenv("CYCLONEDDS_URI", LOOPBACK)
    monkeypatch.delenv("DRIVENET_ENGINES")
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [name for name, lines in RUN.items() if lines])
def test_the_commands_of_a_page(page: str, folder: Path) -> None:
    left = [line for line in RUN[page] if INT8.search(line) and "int8" not in native_precisions()]
    lines = [line for line in RUN[page] if line not in left]
    with servers(folder, "\n".join(lines)) as ports:
        for line in lines:
            done = subprocess.run(
                ["bash", "-c", replaced(line, ports)], cwd=folder, capture_output=True, text=True, check=False
            )
            answers = {0, *(code for option, code in ANSWERS.items() if option in line)}
            assert done.returncode in answers, f"{line}\n{done.stdout}\n{done.stderr}"
    if left:
        pytest.skip(f"this processor computes no int8 (VNNI): {left}; all else of the page was run")


def replaced(line: str, ports: dict[str, int]) -> str:
    """A line as it is run here."""
    for pattern, by in REPLACED:
        line = re.sub(pattern, by, line)
    return re.sub(r"\{(\w+)\}", lambda name: str(ports[name[1]]) if name[1] in ports else name[0], line)


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_what_is_not_run_is_still_documented(pattern: str) -> None:
    assert [line for page in PAGES for line in commands(page) if re.search(pattern, line)]


def test_pages_that_another_test_runs_are_named_in_it() -> None:
    for page, test in ELSEWHERE.items():
        assert Path(page).stem in (REPOSITORY / test).read_text(encoding="utf-8")


def test_documented_extras_and_targets_exist(metadata: Message) -> None:
    lines = [line for page in PAGES for line in commands(page)]
    extras = {extra for line in lines if "pip install" in line for extra in re.findall(r"\[([\w,]+)\]", line)}
    assert {name for extra in extras for name in extra.split(",")} <= set(metadata.get_all("Provides-Extra", []))
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = {line.split()[1] for line in lines if line.startswith("make ")}
    assert targets <= set(re.findall(r"^(\w[\w-]*):", makefile, flags=re.M))
