"""The command line: wiring only. A command's module is imported when the command is named."""

from __future__ import annotations

import atexit
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

import click

import drivenet
from drivenet.cli import interrupt
from drivenet.errors import DrivenetError, nearest
from drivenet.supervise import FLAG, supervise

#: Command name to ``module:object`` and the line that ``--help`` shows.
COMMANDS = {
    "run": ("drivenet.cli.run:run", "Segment a source: overlays, statistics, a window."),
    "eval": ("drivenet.cli.eval:evaluate", "Score an engine on labelled pictures."),
    "bench": ("drivenet.cli.bench:bench", "Time engines back to back, in interleaved order."),
    "batch": ("drivenet.cli.batch:batch", "Segment many video files, in several processes (extra [batch])."),
    "build": ("drivenet.cli.build:build", "Compile a model for this machine."),
    "models": ("drivenet.cli.models:models", "List the models at hand."),
    "train": ("drivenet.cli.train:train", "Train a network (extra [train])."),
    "export": ("drivenet.cli.export:export", "Write a trained network as a deployable ONNX (extra [train])."),
    "import": ("drivenet.cli.import_:import_", "Import an ONNX of another program, or a published checkpoint."),
    "schema": ("drivenet.cli.schema:schema", "Print what a YAML file may hold, for editors."),
    "doctor": ("drivenet.cli.doctor:doctor", "Check what works on this machine, and how to fix what does not."),
}

_INTERRUPTED = 130
#: Options of ``run`` with which it only tells something: to start that again would change nothing.
_RUNS_NOTHING = {"-h", "--help", "--print-config", "--blur-check"}


class LazyGroup(click.Group):
    """Commands from :data:`COMMANDS`, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order that people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, with the nearest name for one that does not exist."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}; {nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, without importing every command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(drivenet.__version__, prog_name="drivenet")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Real-time driving-scene segmentation: video in, overlays and honest latency out.

    \b
    Try:  drivenet run "synthetic://960x540@30?frames=150" --out drive.mp4
          drivenet run 0 --show
    """
    if ctx.invoked_subcommand != "run":  # which has options for it
        from drivenet.cli.logs import logged

        ctx.with_resource(logged("info", "plain"))


def main() -> None:
    """Run the command line; ends the process with the exit code of the error, if any.

    The interpreter's own end is left out: it runs the destructors of C++ libraries while their threads may still be at
    work, and now and then one aborts a process that has done all it should. What wraps a program and waits for its end
    in this process, as ``python -m cProfile`` does, has nothing to wait for.
    """
    _keep_standard_streams()
    interrupt.notice()
    try:
        code = _run_anyway()
        if interrupt.is_default():  # one more, after the run
            signal.signal(signal.SIGINT, lambda *_: _end(_INTERRUPTED))
        if not any(thread.daemon for thread in threading.enumerate()):  # else one was left behind, in a call that hangs
            # what Python itself does at its end, as multiprocessing has it in its processes
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    _end(code)


def _end(code: int) -> NoReturn:
    """End the process at once."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, RuntimeError):  # the last one: in the middle of a write
            if stream is not None:
                stream.flush()
    os._exit(code)


def _keep_standard_streams() -> None:
    """Make the standard streams fit to be written to, whatever the process was started with."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file would get its number, and all that libraries print
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if isinstance(sys.stdout, io.TextIOWrapper):  # as standard error: escape what its encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")


def _tell(message: str) -> None:
    # a signal that comes while the half of drivenet is imported shall find all that follows in place
    from drivenet.cli.output import err

    err(message)


def _print_traceback() -> None:
    from drivenet.cli.output import line

    line(traceback.format_exc().rstrip())


def _run_anyway() -> int:
    """The exit code, also of what nobody thought of: that is told as the interpreter would, and cleaned up after."""
    try:
        return _run()
    except Exception as error:  # noqa: BLE001
        if _is_interrupt(error):
            return _INTERRUPTED
        _print_traceback()
        return 1


def _is_supervised(arguments: Sequence[str]) -> bool:
    return arguments[:1] == ["run"] and FLAG in arguments and not _RUNS_NOTHING & set(arguments)


def _supervised() -> int:
    """The parent of a node: decided here, so that it imports nothing of what may fail in the node."""
    return supervise(sys.argv[2:])


def _run() -> int:
    try:
        code = _supervised() if _is_supervised(sys.argv[1:]) else cli.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be written shall show here, not at the interpreter's end
        return code if isinstance(code, int) else 0
    except DrivenetError as error:
        if _is_interrupt(error):
            return _INTERRUPTED
        for told in (error, *error.also):
            _tell(str(told) or type(told).__name__)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        _tell(" ".join(error.format_message().split()))
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except MemoryError:
        _tell("out of memory; expected a picture, batch or model that this machine can hold")
        return DrivenetError.exit_code
    except OSError as error:
        return _after_os_error(error)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether a Ctrl-C is behind it: libraries of C++ make errors of their own of one that comes while they work."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _is_interrupt(error.__cause__))


def _is_somewhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _after_os_error(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):  # the reader has seen enough, as head does
        from drivenet.cli.output import abandon

        abandon(sys.stdout)
        return 0
    if isinstance(error, FileNotFoundError) and not _is_somewhere():
        _tell("the folder that this was started in is gone; cd to one that is there")
        return DrivenetError.exit_code
    _tell(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    return DrivenetError.exit_code
