"""Nothing is lost between two threads, and nothing is given twice."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_parts import LONG_S

from drivenet.errors import UsageError
from drivenet.pipeline.mailbox import POLICIES, Mailbox

STEPS = st.lists(st.sampled_from(["put", "take", "close"]), max_size=30)


@given(STEPS, st.sampled_from(POLICIES), st.integers(1, 4))
def test_it_behaves_like_a_queue_that_says_where_everything_went(steps: list[str], policy: str, depth: int) -> None:
    superseded: list[int] = []
    mailbox: Mailbox[int] = Mailbox(policy, depth, superseded.append)
    depth = 1 if policy == "latest" else depth
    waiting: list[int] = []
    closed = False
    for number, step in enumerate(steps):
        room = closed or len(waiting) < depth
        assert mailbox.wait_for_room(0) is room
        if step == "put" and (policy == "latest" or room):
            assert mailbox.put(number) is not closed
            if not closed:
                gone = waiting.pop() if not room else None
                waiting.append(number)
                assert superseded[-1:] == [gone] or gone is None
        elif step == "take":
            assert mailbox.take(0) == (waiting.pop(0) if waiting else None)
        elif step == "close":
            mailbox.close()
            closed = True
        assert mailbox.finished is (closed and not waiting)
    assert mailbox.clear() == waiting
    assert not mailbox.put(-1)
    assert mailbox.finished


@given(st.integers(0, 60), st.sampled_from(POLICIES), st.integers(1, 3), st.integers(0, 60))
def test_two_threads_account_for_every_item(count: int, policy: str, depth: int, wanted: int) -> None:
    superseded: list[int] = []
    refused: list[int] = []
    mailbox: Mailbox[int] = Mailbox(policy, depth, superseded.append)

    def give() -> None:
        refused.extend(n for n in range(count) if not mailbox.put(n))
        mailbox.close()

    giver = threading.Thread(target=give)
    giver.start()
    taken: list[int] = []
    while len(taken) < wanted and (item := mailbox.take(LONG_S)) is not None:
        taken.append(item)
    left = mailbox.clear()
    giver.join(LONG_S)
    assert not giver.is_alive()
    assert Counter([*taken, *left, *superseded, *refused]) == Counter(range(count))
    assert taken == sorted(taken)
    assert policy == "latest" or not superseded


@pytest.mark.parametrize("end", ["close", "clear"])
def test_a_giver_that_waits_for_room_is_let_go(end: str) -> None:
    mailbox: Mailbox[int] = Mailbox("every", depth=1)
    assert mailbox.put(1)
    answers: list[bool] = []
    giver = threading.Thread(target=lambda: answers.append(mailbox.put(2)))
    giver.start()
    left = mailbox.clear() if end == "clear" else mailbox.close()
    giver.join(LONG_S)
    assert answers == [False]
    assert left == ([1] if end == "clear" else None)


def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(UsageError, match="did you mean latest"):
        Mailbox("lates")
