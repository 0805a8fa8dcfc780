"""A node with a live page, and pages of it in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def node() -> Iterator[Any]:
    """A ``web_node.Node`` on a free port."""
    from web_node import Node  # needs the extra [web]

    with Node() as node:
        yield node


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; at the end, no script of theirs may have failed or been refused."""
    wrong: list[str] = []
    contexts = []

    def open_(node: Any, path: str = "", **options: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(f"{node.sink.url}{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    expected = ("WebSocket connection", "401", "ERR_CONNECTION_REFUSED")
    assert [text for text in wrong if not any(part in text for part in expected)] == []
