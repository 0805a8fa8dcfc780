"""Running a real RTSP server, where the machine has one."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SYSTEM_PYTHON = Path("/usr/bin/python3")
SERVER = Path(__file__).with_name("rtsp_server.py")


@contextlib.contextmanager
def rtsp_server(port: int = 0, *login: str, record: Path | None = None) -> Iterator[int]:
    """A server that plays a test picture at /live, or appends what is pushed there to a file; gives its port."""
    with rtsp_process(port, *login, record=record) as (bound, _):
        yield bound


@contextlib.contextmanager
def rtsp_process(port: int = 0, *login: str, record: Path | None = None, play: str = "") -> Iterator[tuple[int, int]]:
    """The same; gives its port and its process id. ``play`` are settings of the picture, see ``rtsp_server.py``."""
    if not SYSTEM_PYTHON.exists():
        pytest.skip(f"no {SYSTEM_PYTHON} to run an RTSP server with")
    command = [str(SYSTEM_PYTHON), str(SERVER), str(record or f"play?{play}"), str(port), *login]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            if not line:
                why = (process.stderr.read().strip().splitlines() or ["it ended"])[-1]
                assert "is taken" not in why
                pytest.skip(f"RTSP server (gir1.2-gst-rtsp-server-1.0 with python3-gi) not installed: {why}")
            yield int(line), process.pid
        finally:
            process.kill()
