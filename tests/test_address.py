"""Credentials are hidden, schemes and settings are read."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivenet.address import mask_uri, one_line, parts_of, scheme_of, split_settings
from drivenet.errors import UsageError
from drivenet.log import mask_text


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("rtsp://admin:s3cret@10.0.0.7:554/main", "rtsp://***@10.0.0.7:554/main"),
        ("rtsp://admin@camera/main", "rtsp://***@camera/main"),
        ("RTSP://admin:s3@ret@camera/main", "RTSP://***@camera/main"),
        ("rtsp://admin:s3/c?r#et@camera/main", "rtsp://***@camera/main"),
        ("https://host/a.m3u8?token=abc&quality=1", "https://host/a.m3u8?token=***&quality=1"),
        ("http://host/x?api_key=abc&Password=def", "http://host/x?api_key=***&Password=***"),
        ("rtsp://10.0.0.7/user=admin_password=tl_channel=1/s.sdp", "rtsp://10.0.0.7/user=***/s.sdp"),
        ("rtsp://10.0.0.7:554/main", "rtsp://10.0.0.7:554/main"),
        ("admin:s3cret@camera/main", "***@camera/main"),
        ("rtsp:/admin:s3cret@camera/main", "rtsp:/***@camera/main"),
        ("synthetic://1280x720@30?seed=3", "synthetic://1280x720@30?seed=3"),
        ("SYNTHETIC://1280x720@30", "SYNTHETIC://1280x720@30"),
        ("new://admin:s3cret@camera/main", "new://***@camera/main"),
        ("new://s3cret@camera/main", "new://***@camera/main"),
        ("new://camera/main", "new://camera/main"),
        ("clip@home.mp4", "clip@home.mp4"),
        ("/data/clip.mp4", "/data/clip.mp4"),
    ],
)
def test_mask(uri: str, masked: str) -> None:
    assert mask_uri(uri) == masked


@pytest.mark.parametrize(
    "uri",
    ["new://admin:s3cret@camera/1", "new://s3cret@camera/1", "new://camera/1", "SYNTHETIC://64x48@30", "a@b.mp4"],
)
def test_a_text_masks_as_much_of_an_address_as_the_address_alone(uri: str) -> None:
    assert mask_text(f"cannot open '{uri}': refused") == f"cannot open '{mask_uri(uri)}': refused"


@given(user=st.text(min_size=1), password=st.text("0123456789abcdefäö:/?#@%&= ", min_size=5))
def test_no_password_survives(user: str, password: str) -> None:
    assert mask_uri(f"rtsp://{user}:{password}@camera:554/main") == "rtsp://***@camera:554/main"


@pytest.mark.parametrize("uri", ["rtsp://cam:s3cret@[x/1", "rtsp://cam:s3cret\u2100@host/1"])
def test_what_is_no_address_has_no_parts_and_is_told_without_its_password(uri: str) -> None:
    with pytest.raises(UsageError, match=r"^address rtsp://\*\*\*@") as told:
        parts_of(uri)
    assert "s3cret" not in "".join(traceback.format_exception(told.value))


def test_scheme() -> None:
    assert [scheme_of(u) for u in ("RTSPS://x", "csi://0")] == ["rtsps", "csi"]
    assert not any(scheme_of(u) for u in ("a:b.mp4", "c:/x.mp4", "clip", ""))


def test_settings() -> None:
    assert split_settings("csi://0?size=64x48&fps=5", ("size", "fps")) == ("csi://0", {"size": "64x48", "fps": "5"})
    with pytest.raises(UsageError, match=r"no setting 'sice'; did you mean size\?"):
        split_settings("csi://0?sice=64x48", ("size", "fps"))
    with pytest.raises(UsageError, match="twice or to nothing"):
        split_settings("csi://0?fps=1&fps=2", ("size", "fps"))
    with pytest.raises(UsageError, match="twice or to nothing"):
        split_settings("csi://0?fps=", ("size", "fps"))


def test_a_text_for_one_line_has_letters_only() -> None:
    assert one_line("Fußgänger 道路.mp4") == "Fußgänger 道路.mp4"
    assert one_line("stra\udcdfe\n\x00.mp4") == "stra?e??.mp4"
