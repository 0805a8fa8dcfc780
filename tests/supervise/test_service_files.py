"""The service file by systemd's own check, the health check of containers, and the steps of docs/service.md."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
import yaml
from setuptools._distutils.filelist import FileList

import drivenet
from drivenet.cli import cli
from drivenet.config import NodeSettings, load_yaml
from drivenet.supervise import check
from drivenet.supervise.policy import shell_code

ROOT = Path(drivenet.__file__).parents[1]
UNIT = ROOT / "packaging" / "systemd" / "drivenet@.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_the_service(tmp_path: Path) -> None:
    """With a program that is there in the place of the one that is installed."""
    text = UNIT.read_text().replace("/opt/drivenet/bin/drivenet", sys.executable)
    (tmp_path / UNIT.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "drivenet@front.service")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    ours = [line for line in (done.stderr + done.stdout).splitlines() if "drivenet@" in line]
    assert (done.returncode, ours) == (0, [])


def test_a_node_that_is_stopped_while_it_loads_has_not_failed() -> None:
    """Its parent then ends with what the signal is to a shell, see :meth:`drivenet.supervise.parent.Parent.run`."""
    assert f"SuccessExitStatus={shell_code(-signal.SIGTERM)}\n" in UNIT.read_text()


def test_the_configuration_of_the_guide_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "service.md").read_text()
    (yaml,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "front.yaml").write_text(yaml)
    settings = load_yaml(tmp_path / "front.yaml", NodeSettings)
    assert (settings.segment, settings.keep_free, settings.headless) == ("60s", "2GB", True)
    assert "%i.yaml" in UNIT.read_text()


def test_the_health_check_of_containers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="the extra [web] is not installed")
    from drivenet.labels import CAMVID
    from drivenet.overlay import Painter
    from drivenet.result import Totals
    from drivenet.sinks.web import WebSink

    token = "correct-horse-battery"
    page = WebSink(
        "127.0.0.1", 0, token=token, allow_anonymous=False, painter=Painter(CAMVID), source="s", engine={"file": ""}
    )
    url = f"{page.url}healthz"
    try:
        monkeypatch.setenv("DRIVENET_TOKEN", token)
        answers = [check.main([url])]
        monkeypatch.setenv("DRIVENET_TOKEN", "another-one-that-is-wrong")
        monkeypatch.setenv("DRIVENET_HEALTH_URL", url)
        answers.append(check.main([]))
    finally:
        page.close(Totals())
    assert answers == [0, 1]
    assert check.main([url]) == 1
    assert "no answer" in capsys.readouterr().out


def test_images_copy_files_that_are_there() -> None:
    files = sorted((ROOT / "docker").glob("Dockerfile.*"))
    copied = [
        word
        for file in files
        for line in re.findall(r"^COPY (.*) \S+$", file.read_text(), re.M)
        for word in line.split()
    ]
    assert len(files) == 3
    assert "drivenet" in copied
    assert [word for word in copied if not (ROOT / word).exists()] == []


def test_images_with_tensorrt_can_build_int8() -> None:
    """Their base brings TensorRT, so that the extra is left out, and with it what converts an int8 ONNX."""
    texts = [file.read_text() for file in (ROOT / "docker").glob("Dockerfile.*")]
    with_tensorrt = [text for text in texts if "pycuda" in text]
    assert len(with_tensorrt) == 2
    assert all(re.search(r'pip install .*"onnx>=', text) for text in with_tensorrt)


def test_images_with_a_health_check_have_the_page_that_it_asks() -> None:
    texts = [file.read_text() for file in (ROOT / "docker").glob("Dockerfile.*")]
    assert all("drivenet.supervise.check" in text for text in texts)
    assert all(re.search(r'pip install .*"\.\[[^\]]*\bweb\b', text) for text in texts)


def test_the_source_distribution_has_the_unit() -> None:
    """Its docs tell to install it."""
    taken = FileList()
    taken.allfiles = [str(UNIT.relative_to(ROOT))]
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        taken.process_template_line(line)
    assert taken.files == taken.allfiles


def test_the_compose_file_starts_a_node_with_options_that_exist() -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    words = shlex.split(services["node"]["command"].replace("${SOURCE:-", "").replace("}", ""))
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    settings = command.make_context(words[0], words[1:]).params
    assert settings["serve"] == "0.0.0.0:8080"
    hosts = {urlsplit(address).hostname for address in settings["out"]}
    assert hosts <= set(services)
