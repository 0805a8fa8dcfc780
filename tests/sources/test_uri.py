"""Sizes, rates and counts are read."""

from __future__ import annotations

import pytest

from drivenet.errors import UsageError
from drivenet.sources.uri import parse_count, parse_rate, parse_size


def test_numbers() -> None:
    assert parse_size("1280x720", "csi://0") == (1280, 720)
    assert parse_rate("29.97", "csi://0") == 29.97
    assert parse_count("7", "csi://7") == 7
    for wrong in ("", "0x5", "1280", "-1x5", "1280*720", "1e3x5"):
        with pytest.raises(UsageError, match="csi://0"):
            parse_size(wrong, "csi://0")
    for wrong in ("", "0", "-1", "nan", "inf", "fast"):
        with pytest.raises(UsageError, match="frames a second"):
            parse_rate(wrong, "csi://0")
    for wrong in ("", "-1", "1.5", "²"):
        with pytest.raises(UsageError, match="whole number from 0"):
            parse_count(wrong, "csi://0")
    with pytest.raises(UsageError, match="whole number from 1"):
        parse_count("0", "synthetic://", least=1)
