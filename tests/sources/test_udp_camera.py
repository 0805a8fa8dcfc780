"""Cameras that give RTP over UDP only."""

from __future__ import annotations

import itertools

from udp_camera import udp_camera

from drivenet.sources.stream import NetworkStream


def test_a_camera_that_refuses_tcp_is_asked_for_udp() -> None:
    with udp_camera() as camera:
        source = NetworkStream(camera.uri, 20.0)
        frames = list(itertools.islice(source, 5))
        source.close()
    assert [frame.size for frame in frames] == [(120, 160)] * 5
    assert [asked.split(";")[0] for asked in camera.asked] == ["RTP/AVP/TCP", "RTP/AVP/UDP"]
