"""Docstrings as Markdown, for the API reference: examples as code, Sphinx roles and double backticks as single ones.

An extension of Griffe, named in mkdocs.yml.
"""

from __future__ import annotations

import re
from typing import Any

import griffe


class Markdown(griffe.Extension):
    """Rewrites each docstring once it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object in place."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """A docstring's paragraphs; those that begin with a prompt are fenced."""
    parts = re.split(r"\n\s*\n", text)
    fenced = [f"```pycon\n{part.strip()}\n```" if part.lstrip().startswith(">>> ") else part for part in parts]
    plain = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", "\n\n".join(fenced))
    return re.sub(r"(?<!`)``([^`\n]+)``(?!`)", r"`\1`", plain)
