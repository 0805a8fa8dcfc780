"""RTSP against a real server, where the machine has one."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivenet.errors import SourceError
from drivenet.sources import open_source

SYSTEM_PYTHON = Path("/usr/bin/python3")
SERVER = Path(__file__).with_name("rtsp_server.py")
PATIENT_S = 20.0


@contextlib.contextmanager
def rtsp_server(port: int = 0, *login: str) -> Iterator[int]:
    """Run the server; gives its port."""
    if not SYSTEM_PYTHON.exists():
        pytest.skip(f"no {SYSTEM_PYTHON} to run an RTSP server with")
    command = [str(SYSTEM_PYTHON), str(SERVER), str(port), *login]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            if not line:
                why = (process.stderr.read().strip().splitlines() or ["it ended"])[-1]
                assert "is taken" not in why
                pytest.skip(f"RTSP server (gir1.2-gst-rtsp-server-1.0 with python3-gi) not installed: {why}")
            yield int(line)
        finally:
            process.kill()


def test_a_camera_that_goes_away_and_comes_back() -> None:
    with rtsp_server() as port:
        source = open_source(f"rtsp://127.0.0.1:{port}/live", timeout_s=PATIENT_S)
        assert (source.live, source.size, source.fps) == (True, (120, 160), 25)
        frames = iter(source)
        indices = [next(frames).index for _ in range(5)]
    with rtsp_server(port):
        for frame in frames:
            indices.append(frame.index)
            if getattr(source, "reconnects", 0):
                break
        indices += [f.index for f in itertools.islice(frames, 20)]
    source.close()
    assert indices == list(range(len(indices)))


def test_a_camera_with_a_password() -> None:
    with rtsp_server(0, "admin", "s3cret") as port:
        source = open_source(f"rtsp://admin:s3cret@127.0.0.1:{port}/live", timeout_s=PATIENT_S)
        assert source.name == f"rtsp://***@127.0.0.1:{port}/live"
        assert next(iter(source)).size == (120, 160)
        source.close()
        with pytest.raises(SourceError, match=r"refuses: .*401") as caught:
            open_source(f"rtsp://admin:wr0ng@127.0.0.1:{port}/live", timeout_s=PATIENT_S)
        assert "wr0ng" not in str(caught.value)
        with pytest.raises(SourceError, match=r"nothing at .*404"):
            open_source(f"rtsp://admin:s3cret@127.0.0.1:{port}/other", timeout_s=PATIENT_S)
