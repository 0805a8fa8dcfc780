"""Takes every watchdog out of a copy of the code, one after the other, and runs the tests that must turn red.

    python tools/mutate_watchdogs.py [TEXT]     all of them, or those whose name holds TEXT

Prints a line for each: ``red`` (a test noticed) or ``NOT NOTICED``; ends with 1 if one was not noticed, or if the tests
are red without any change. It takes some minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
#: What a copy needs to be tested.
COPIED = ("drivenet", "tests", "configs", "engines", "examples", "packaging", "pyproject.toml", "README.md")
#: Seconds for one test, which without its watchdog may wait for what never comes.
PATIENCE_S = 100
POLICY, PARENT, BEAT = (f"drivenet/supervise/{name}.py" for name in ("policy", "parent", "beat"))
HEALTH, WATCHED = "drivenet/pipeline/health.py", "drivenet/engine/watched.py"
RECORDING = "drivenet/sinks/recording"
OF_POLICY, OF_PARENT, OF_HEALTH = (
    "tests/supervise/test_policy.py", "tests/supervise/test_supervise.py", "tests/pipeline/test_health_deadlines.py",
)  # fmt: skip
OF_WATCHED, OF_RECORDING = "tests/engine/test_watched.py", "tests/sinks/test_recording.py"


class Mutation(NamedTuple):
    """A watchdog's line, what it becomes, and which tests must notice; ``choose`` is pytest's ``-k``."""

    name: str
    file: str
    line: str
    becomes: str
    tests: str
    choose: str = ""


MUTATIONS = (
    Mutation("a silent child", POLICY, "now_s - self.heard_s > SILENT_S", "False", OF_POLICY),
    Mutation("a loop that stands still", POLICY, "beat.loop_s > LOOP_S", "False", OF_POLICY),
    Mutation("a hung engine", POLICY, 'if self._is_bad("engine"', 'if False and self._is_bad("engine"', OF_POLICY),
    Mutation("hung outputs", POLICY, 'if self._is_bad("outputs", now_s, OUTPUTS_S)', "if False", OF_POLICY),
    Mutation("a child that never starts", POLICY, "now_s - self.began_s > START_S", "False", OF_POLICY),
    Mutation("a parent that was not served", POLICY, "self.heard_s += late_s", "pass", OF_POLICY),
    Mutation("codes that are tried again", POLICY, "_AGAIN = (1, 4)", "_AGAIN = ()", OF_POLICY),
    Mutation("the limit of restarts", POLICY, "len(self._moments) >= MOST", "False", OF_POLICY),
    Mutation("the verdict", PARENT, "else watch.verdict(now_s)", 'else ""', OF_PARENT, "frozen"),
    Mutation("the kill after the request", PARENT, "child.kill()", "pass", OF_PARENT, "frozen"),
    Mutation("the restart", PARENT, "if self._asked_s or is_final(code):", "if True:", OF_PARENT, "frozen"),
    Mutation("the reason", PARENT, "Restarts(self._restarts.count + 1, reason", 'Restarts(0, ""', OF_PARENT, "hangs"),
    Mutation("giving up", PARENT, "if not self._limit.allows(time.monotonic()):", "if False:", OF_PARENT, "given_up"),
    Mutation("signals to the child", PARENT, "self._child.send_signal(number)", "pass", OF_PARENT, "systemd"),
    Mutation("systemd's watchdog", PARENT, "self._notifier.alive()", "pass", OF_PARENT, "systemd"),
    Mutation("ready for systemd", PARENT, "self._notifier.ready()", "pass", OF_PARENT, "systemd"),
    Mutation("a parent that is gone", BEAT, "self._orphaned()", "pass", OF_PARENT, "parent_is_killed"),
    Mutation("the heart", BEAT, "self._thread.start()", "pass", OF_PARENT, "frozen"),
    Mutation("the loop's age", "drivenet/cli/heartbeat.py", "loop_s = (now_ns()", "loop_s = 0 * (now_ns()",
             "tests/supervise/test_heartbeat.py"),
    Mutation("the loop's mark", HEALTH, "self.checked_ns = now = now_ns()", "now = now_ns()",
             "tests/supervise/test_heartbeat.py"),
    Mutation("a lost source", HEALTH, "silent_s > max(least_s", "False and silent_s > max(least_s", OF_HEALTH),
    Mutation("a stalled engine", HEALTH, "(now - since_ns) / 1e9 > limit_s", "False", OF_HEALTH),
    Mutation("stalled outputs", HEALTH, "(now - since_ns) / 1e9 > STALLED_AFTER_S", "False", OF_HEALTH),
    Mutation("a found source", HEALTH, "not self._came_back(before, now)", "False", OF_HEALTH),
    Mutation("a clock that is set", HEALTH, "WALL.jumps > self._jumps", "False", "tests/pipeline/test_health.py",
             "clock"),
    Mutation("findings of others", HEALTH, "found[part] = Part(state, now, reason)", "pass",
             "tests/pipeline/test_health.py", "others"),
    Mutation("a silent run", "drivenet/sinks/web/run_stats.py", "(now - heard_ns) / 1e9 > SILENT_AFTER_S", "False",
             "tests/sinks/test_web_endpoints.py", "life or health"),
    Mutation("a frozen picture", "drivenet/pipeline/pictures.py", '"frozen" if', '"" if',
             "tests/pipeline/test_pictures.py"),
    Mutation("a blank picture", "drivenet/pipeline/pictures.py", "if what and (now_ns", "if False and (now_ns",
             "tests/pipeline/test_pictures.py"),
    Mutation("the second try", WATCHED, "self.retries += 1", "raise", OF_WATCHED),
    Mutation("the new engine", WATCHED, "self._engine = self._reopen()", "pass", OF_WATCHED),
    Mutation("shapes of ids", WATCHED, "if ids.shape != spec.output or ids.dtype != np.uint8:", "if False:",
             OF_WATCHED),
    Mutation("ids of no class", WATCHED, "if odd.size:", "if False:", OF_WATCHED),
    Mutation("an engine's digest", "drivenet/engine/onnxruntime/file.py", "stated != sha256_of(file)", "False",
             OF_WATCHED),
    Mutation("an output that is tried again", "drivenet/sinks/resilient.py",
             "self._sink = self._open_sink()\n            except", "raise self._away()\n            except",
             "tests/sinks/test_resilient.py", "lose_nothing or removed"),
    Mutation("an output that fails alone", "drivenet/pipeline/dispatcher.py",
             "if isinstance(failure, SinkAwayError) or (queue.away and task.delivery):", "if False:",
             "tests/sinks/test_resilient.py", "lose_nothing"),
    Mutation("the sync", f"{RECORDING}/synced_file.py", "self._disk.sync(self._descriptor)", "pass",
             "tests/sinks/test_power_cut.py", "jsonl or mkv"),
    Mutation("the sync of the name", f"{RECORDING}/synced_file.py", "self._disk.sync_folder(self.path.parent)", "pass",
             "tests/sinks/test_power_cut.py", "jsonl or mkv"),
    Mutation("a sync that hangs", f"{RECORDING}/synced_file.py", "(now_ns() - since) / 1e9 > SYNC_TIMEOUT_S", "False",
             OF_RECORDING, "hangs"),
    Mutation("a file that is removed", f"{RECORDING}/synced_file.py", "check_kept(self.path, self.status)", "pass",
             OF_RECORDING, "removed"),
    Mutation("the budget", f"{RECORDING}/retention.py", "self._disk.unlink(Path(path))", "pass", OF_RECORDING,
             "budget"),
    Mutation("a budget that cannot hold", f"{RECORDING}/budget.py", "if reason and self._must_stop():", "if False:",
             OF_RECORDING, "budget"),
    Mutation("locks of events", f"{RECORDING}/retention.py", " or self._kept[n].stays()", "", OF_RECORDING, "locked"),
    Mutation("one writer", f"{RECORDING}/files.py", "path not in self._session.written and is_being_written(path)",
             "False", OF_RECORDING, "another_program"),
    Mutation("opening again", "drivenet/sources/reconnect.py", "source = self._gone_on(source) if self.live else None",
             "source = None", "tests/sources/test_reconnect.py", "ends_and_failures"),
    Mutation("pictures that have stopped", "drivenet/sources/stream.py", "self._check_stalled()", "pass",
             "tests/sources/test_stream_source.py", "without_pictures"),
)  # fmt: skip


def main(wanted: str) -> int:
    """Run all; 1 if a watchdog may be taken out unnoticed."""
    chosen = [m for m in MUTATIONS if wanted in m.name]
    with tempfile.TemporaryDirectory(prefix="drivenet-mutants-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        unnoticed = [m.name for m in chosen if not is_noticed(copy, m)]
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} watchdogs are missed where they are taken out")
    return bool(unnoticed)


def is_noticed(copy: Path, mutation: Mutation) -> bool:
    """Whether its tests are green without the change and red with it."""
    file = copy / mutation.file
    whole = file.read_text(encoding="utf-8")
    if whole.count(mutation.line) != 1:
        sys.exit(f"{mutation.name}: {mutation.line!r} stands {whole.count(mutation.line)} times in {mutation.file}")
    began = time.monotonic()
    before = run(copy, mutation.tests, mutation.choose)
    file.write_text(whole.replace(mutation.line, mutation.becomes), encoding="utf-8")
    failed = run(copy, mutation.tests, mutation.choose)
    file.write_text(whole, encoding="utf-8")
    noticed = bool(failed) and not before
    verdict = f"red: {failed}" if noticed else f"NOT NOTICED: {f'{before} is red without it' if before else 'green'}"
    print(f"{mutation.name}: {verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    return noticed


def run(copy: Path, tests: str, choose: str) -> str:
    """Run tests in the copy up to the first that fails: its name, empty if none does."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", f"--timeout={PATIENCE_S}", "-p", "no:cacheprovider"]
    chosen = ["-k", choose] if choose else []
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, tests, *chosen], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(f"{tests}: pytest ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    found = re.search(r"^(?:FAILED|ERROR) \S+?::(\w+)", done.stdout, re.MULTILINE)
    return (found[1] if found else "a test") if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
