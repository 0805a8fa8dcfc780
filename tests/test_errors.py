"""Typed errors: exit codes that scripts rely on, one line each, and hints at the nearest word."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivenet import errors
from drivenet.errors import DrivenetError, nearest

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, DrivenetError)]


def test_exit_codes_are_those_that_the_command_line_promises() -> None:
    assert {kind.__name__: kind.exit_code for kind in KINDS} == {
        "DrivenetError": 1,
        "UsageError": 2,
        "ConfigError": 2,
        "SourceError": 3,
        "SourceNotFoundError": 3,
        "NoVideoError": 3,
        "SourceLostError": 3,
        "EngineError": 4,
        "ModelSpecError": 4,
        "SinkError": 5,
    }


def test_every_kind_is_drawn_in_the_tree_above() -> None:
    assert errors.__doc__ is not None
    assert not [kind.__name__ for kind in KINDS if kind.__name__ not in errors.__doc__]


def test_a_message_says_what_came_what_was_expected_and_the_cure() -> None:
    error = DrivenetError("depth 7", "3 or 4", "use 4")
    assert str(error) == "depth 7; expected 3 or 4; use 4"
    assert (error.received, error.expected, error.cure) == ("depth 7", "3 or 4", "use 4")
    assert str(DrivenetError("depth 7")) == "depth 7"
    assert str(DrivenetError("depth 7", cure="use 4")) == "depth 7; use 4"


@given(st.text(), st.text(), st.text())
def test_a_message_is_one_line_whatever_came(received: str, expected: str, cure: str) -> None:
    assert len(str(DrivenetError(received, expected, cure)).splitlines()) <= 1


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("raod", "did you mean road?"),
        ("zebra", "choose from road, sign, vehicle"),
        ("", "choose from road, sign, vehicle"),
    ],
)
def test_a_miss_is_told_the_nearest_or_all(word: str, hint: str) -> None:
    assert nearest(word, {"vehicle", "road", "sign"}) == hint
