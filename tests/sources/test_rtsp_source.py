"""RTSP against a real server, where the machine has one."""

from __future__ import annotations

import itertools

import pytest
from rtsp_servers import rtsp_server

from drivenet.errors import SourceError
from drivenet.sources import open_source

PATIENT_S = 20.0


def test_a_camera_that_goes_away_and_comes_back() -> None:
    with rtsp_server() as port:
        source = open_source(f"rtsp://127.0.0.1:{port}/live", timeout_s=PATIENT_S)
        assert (source.live, source.size, source.fps) == (True, (120, 160), 25)
        frames = iter(source)
        indices = [next(frames).index for _ in range(5)]
    with rtsp_server(port):
        for frame in frames:
            indices.append(frame.index)
            if source.status().reconnects:
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
