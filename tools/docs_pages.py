"""Pages of the documentation that are made when it is built: the command line, the keys of YAML files, and files from
the top folder. A hook of MkDocs, named in mkdocs.yml.
"""

from __future__ import annotations

import html
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from drivenet.cli import cli
from drivenet.cli.schema import KINDS
from drivenet.config import json_schema

ROOT = Path(__file__).resolve().parents[1]
#: Files outside of docs that have a page, by its name.
COPIED = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "examples.md": "examples/README.md",
}
TITLES = {
    "labels": ("Label files", "Classes with their colours and groups, for `--labels`."),
    "mapping": ("Label mappings", "What a data set's labels may be in the classes of a model."),
    "node": ("Node files", "A node for `drivenet run --config`; the command line wins over the file."),
    "suite": ("Suites of data sets", "Several data sets for `drivenet eval --suite`."),
    "zones": ("Zone files", "Zones and lines for `drivenet run --zones`."),
    "video": ("Video sets of your own", "Sequences and their labels for `drivenet bench --dataset listed`."),
    "train": ("Training files", "A training run for `drivenet train --config`."),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made."""
    pages = {"reference/cli.md": command_line(), **{f"reference/{kind}.md": keys(kind) for kind in KINDS}}
    pages |= {name: (ROOT / source).read_text(encoding="utf-8") for name, source in COPIED.items()}
    for result in sorted((ROOT / "benchmarks" / "results").glob("*")):
        pages[f"benchmarks/results/{result.name}"] = result.read_text(encoding="utf-8")
    for script in sorted((ROOT / "examples").glob("*")):
        if script.suffix in (".py", ".ipynb"):
            pages[script.name] = script.read_text(encoding="utf-8")
    for name, text in pages.items():
        if files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to files outside of docs lead to their pages."""
    markdown = markdown.replace("](../benchmarks/", "](benchmarks/").replace("](../examples/README.md", "](examples.md")
    markdown = markdown.replace("](SECURITY.md)", "](security.md)").replace("](CONTRIBUTING.md)", "](contributing.md)")
    return re.sub(r"\]\(docs/([^)]+)\)", r"](\1)", markdown)


def command_line() -> str:
    """Every command with its options, from click."""
    parts = ["# Command line\n\nGenerated from `drivenet COMMAND --help`.\n"]
    for name in cli.list_commands(click.Context(cli)):
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        parts.append(_command(name, command))
    return "\n".join(parts)


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name, parent=click.Context(cli, info_name="drivenet"))
    about, _, example = (command.help or "").partition("\b")
    lines = [f"## {name}\n", _text(about), f"\n    {command.get_usage(context).removeprefix('Usage: ')}\n"]
    if example.strip():
        lines += ["\nExamples:\n", *(f"    {line.strip()}" for line in example.strip().splitlines())]
    rows = [found for option in command.params if (found := _row(option, context))]
    if rows:
        lines += ["\n| option | |", "| --- | --- |", *rows]
    return "\n".join(lines) + "\n"


def _row(option: click.Parameter, context: click.Context) -> str | None:
    if not isinstance(option, click.Option):
        return None
    record = option.get_help_record(context)
    return None if record is None else f"| <code>{_code(record[0])}</code> | {_cell(record[1])} |"


def keys(kind: str) -> str:
    """The keys of a kind of YAML file, nested ones by their owner."""
    module, name = KINDS[kind].split(":")
    schema = json_schema(getattr(import_module(module), name))
    title, about = TITLES.get(kind, (f"{kind.capitalize()} files", ""))
    lines = [f"# {title}\n", f"{about} `drivenet schema {kind}` prints the JSON Schema for editors.\n"]
    for owner, part in [("", schema), *schema.get("$defs", {}).items()]:
        if "properties" not in part:
            continue
        lines += [f"\n## {owner}\n" if owner else "", _text(part.get("description", "")) if owner else ""]
        lines += ["\n| key | type | default | |", "| --- | --- | --- | --- |"]
        required = part.get("required", [])
        lines += [_key(key, field, key in required) for key, field in part["properties"].items()]
    return "\n".join(lines) + "\n"


def _key(name: str, field: dict[str, Any], required: bool) -> str:
    default = "required" if required else f"`{json.dumps(field['default'])}`" if "default" in field else ""
    return f"| `{name}` | {_type(field)} | {default} | {_cell(field.get('description', ''))} |"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        owner = field["$ref"].rpartition("/")[2]
        return f"[{owner}](#{owner.lower()})"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"] if one.get("type") != "null")
    kind = field.get("type", "any")
    if kind == "array" and "items" in field:
        return f"list of {_type(field['items'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _text(text: str) -> str:
    """A docstring as Markdown: its roles as code, its double backticks as single ones."""
    plain = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")
    return "\n\n".join(" ".join(part.split()) for part in plain.strip().split("\n\n"))


def _code(text: str) -> str:
    """As the content of a code element in a table, which a backslash before ``|`` would be seen in."""
    return html.escape(text).replace("|", "&#124;")


def _escaped(text: str) -> str:
    """Neither the end of a cell nor a link."""
    return re.sub(r"(?<!\\)([|\[])(?!`)", r"\\\1", text)


def _cell(text: str) -> str:
    return _escaped(_text(text).replace("\n", " "))
