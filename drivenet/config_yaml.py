"""YAML as it is written today: ``off`` is a text, and a key is given once."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
#: Plain scalars that are no texts, with the characters that they begin with: YAML 1.2 (core schema), and merges. PyYAML
#: reads 1.1, where ``off`` is false, ``010`` is 8 and ``2026-11-30`` is a date. A number that begins with 0 is a name.
_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9]\d*)|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.\d+|(?:0|[1-9]\d*)(?:\.\d*)?)(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}
_BASES = {"0o": 8, "0x": 16}
#: Characters that look like a space or like nothing, and are part of a word to YAML; texts from elsewhere bring them.
_UNSEEN = re.compile("[\u00a0\u00ad\u1680\u180e\u2000-\u200f\u202a-\u202f\u205f-\u2064\u3000\ufeff]")
_COMMENT = re.compile(r"(?:^|\s)#.*")


class Loader(yaml.SafeLoader):
    """A safe one, of YAML 1.2; refuses what YAML forbids or settings do not have: a key that is given twice, of
    which PyYAML takes the last, a key that is no scalar, and a tag of another program.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As the base class, which tells the name of an alias of nothing: that may be a password."""
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            if event.anchor not in self.anchors:
                raise _problem("an alias of nothing (a text with * at its start stands in quotes)", event)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """As the base class, with the keys checked before merges add to them."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                kind = "list" if isinstance(key, yaml.SequenceNode) else "mapping"
                raise _problem(f"a key that is a {kind} (a text with {{ or [ stands in quotes)", key)
            if (key.tag, key.value) in seen:
                raise _problem(f"key {key.value} is given twice, the second time", key)
            seen.add((key.tag, key.value))
        return node


def _int(loader: Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, _BASES.get(text[:2], 10))


def _problem(told: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=told, problem_mark=where.start_mark)


def _unknown(loader: Loader, node: yaml.Node) -> None:
    raise _problem("a tag that means nothing here (a text with ! at its start stands in quotes)", node)


Loader.yaml_implicit_resolvers = {}
for _name, (_pattern, _first) in _SCALARS.items():
    Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)
Loader.add_constructor(_TAG + "int", _int)
Loader.add_constructor(None, _unknown)


def unseen(text: str) -> str:
    """Where a text has its first character that nobody sees, but for comments; empty if it has none."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if found := _UNSEEN.search(_COMMENT.sub("", line)):
            name = unicodedata.name(found[0]).lower()
            return f"type line {number} anew: its column {found.start() + 1} is U+{ord(found[0]):04X}, a {name}"
    return ""
