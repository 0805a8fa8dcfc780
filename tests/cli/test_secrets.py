"""A canary password: typed into every option, by environment and by file. It is found nowhere."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest
from cli_parts import call, line_count, started, wait_until

from drivenet.cli.run import run
from drivenet.errors import ConfigError, UsageError
from drivenet.log import mask_text
from drivenet.secrets import fill_in, read_secrets

CANARY = "k4n4r13nv0g3l"
NULL = ("--backend", "null", "--headless", "--strict")
ADDRESSES = [
    f"rtsp://cam:{CANARY}@127.0.0.1:1/live",
    f"mqtt://cam:{CANARY} {CANARY}@127.0.0.1:1/t",
    f"http://127.0.0.1:1/x?password={CANARY}",
    f"rtsp://cam:{CANARY}\u2100@127.0.0.1:1/live",  # which Python's own parser refuses, and tells
]
OPTIONS = sorted(max(o.opts, key=len) for o in run.params if isinstance(o, click.Option) and not o.is_flag)


def everything_written(folder: Path) -> str:
    """Names and contents of all files."""
    return "\n".join(
        f"{path}\n{path.read_text(errors='replace') if path.is_file() else ''}" for path in folder.rglob("*")
    )


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("option", ["SOURCE", *OPTIONS])
def test_an_address_in_any_option_is_never_echoed_with_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], option: str, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source = address if option == "SOURCE" else "synthetic://96x64@30?frames=1"
    typed = () if option == "SOURCE" else (option, address)
    code = call("run", source, *NULL, *typed)
    said = capfd.readouterr()
    assert code in (0, 2, 3, 4, 5)
    assert CANARY not in said.out + said.err
    assert CANARY not in everything_written(tmp_path)


@pytest.mark.parametrize("how", ["environment", "file", "yaml"])
def test_a_password_by_environment_or_file_is_found_nowhere(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on the list of processes nor in what a node writes while it runs, with a broker that is not there."""
    (tmp_path / "secrets").write_text(f"# of the camera\nCAM_PW='{CANARY}'\n")
    (tmp_path / "secrets").chmod(0o600)
    (tmp_path / "node.yaml").write_text("token: ${CAM_PW}\n")
    if how == "environment":
        monkeypatch.setenv("CAM_PW", CANARY)
    given = (
        ("--config", "node.yaml", "--secrets", "secrets")
        if how == "yaml"
        else ("--secrets", "secrets")
        if how == "file"
        else ()
    )
    token = () if how == "yaml" else ("--token", "${CAM_PW}")
    serve = ("--serve", "127.0.0.1:0", *token)
    pytest.importorskip("uvicorn", reason="the extra [web] is not installed")
    with started("run", "synthetic://96x64@30", *NULL, "--stats", "s.jsonl", *serve, *given, cwd=tmp_path) as node:
        wait_until(lambda: line_count(tmp_path / "s.jsonl") >= 3 or node.poll() is not None)
        assert node.poll() is None, node.stderr and node.stderr.read()
        listed = Path(f"/proc/{node.pid}/cmdline").read_bytes().decode()
        node.terminate()
        assert node.wait(30) == 0
        assert node.stdout
        assert node.stderr
        said = (node.stdout.read() + node.stderr.read()).decode()
    assert CANARY not in listed + said + (tmp_path / "s.jsonl").read_text()
    with started("run", "rtsp://cam:${CAM_PW}@127.0.0.1:1/live", *NULL, *given[-2:], cwd=tmp_path) as node:
        assert node.stderr
        said = node.stderr.read().decode()
    assert CANARY not in said


def test_a_file_of_secrets_that_everybody_may_read_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secrets").write_text(f"CAM_PW={CANARY}\n")
    (tmp_path / "secrets").chmod(0o644)
    run_once = ("run", "synthetic://96x64@30?frames=1", *NULL, "--secrets", "secrets", "--log-format", "json")
    assert call(*run_once) == 0
    told, _ = map(json.loads, capsys.readouterr().err.splitlines())
    assert told["level"] == "warning"
    assert told["message"].startswith("secrets can be read by every user of this machine; chmod 600")
    read_secrets(tmp_path / "secrets")
    assert call("run", "nothing.mp4", *NULL) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("drivenet: no file nothing.mp4"), "the log ended with the run before"


def test_a_secret_that_nobody_defined_is_named_and_no_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secrets").write_text(f"CAM_PW={CANARY}\n")
    assert call("run", "rtsp://cam:${CAM_PV}@host/1", *NULL, "--secrets", "secrets") == 2
    said = capsys.readouterr().err
    assert "${CAM_PV} is not defined; expected a variable of the environment, or a line of --secrets FILE" in said
    assert "did you mean CAM_PW?" in said


def test_the_settings_are_shown_without_their_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAM_PW", CANARY)
    assert (
        call("run", "rtsp://cam:${CAM_PW}@host/1", "--token", CANARY, "--serve", "127.0.0.1:0", "--print-config") == 0
    )
    shown = capsys.readouterr().out
    assert CANARY not in shown
    assert json.loads(shown)["source"] == "rtsp://***@host/1"


def test_a_file_of_secrets(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text("# comment\n\nA=1\nexport B = two words \nC='quoted'\nD=\"=\"\n")
    assert read_secrets(path) == {"A": "1", "B": "two words", "C": "quoted", "D": "="}
    path.write_text(f"A=1\n{CANARY}\n")
    with pytest.raises(ConfigError, match=r"^line 2 of .*secrets; expected NAME=VALUE$"):
        read_secrets(path)
    with pytest.raises(ConfigError, match=r"cannot read .*no such file"):
        read_secrets(tmp_path / "none")


def test_only_names_in_braces_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HERE", "x")
    assert fill_in("$HERE ${} $${HERE} costs 5$", {}) == "$HERE ${} $x costs 5$"
    with pytest.raises(UsageError, match=r"\$\{EMPTY\} is not defined"):
        fill_in("${EMPTY}", {"EMPTY": ""})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no file 'rtsp://a:b c@host/x'", "no file 'rtsp://***@host/x'"),
        ("rtsp://a:b@h1 and mqtt://c:d@e@h2", "rtsp://***@h1 and mqtt://***@h2"),
        ("synthetic://640x480@30 and a@b", "synthetic://640x480@30 and a@b"),
    ],
)
def test_addresses_in_a_message_are_masked(text: str, shown: str) -> None:
    assert mask_text(text) == shown
