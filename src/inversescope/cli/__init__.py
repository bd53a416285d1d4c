"""The command line. Torch is imported by the commands that need it, so that `--help` answers at once."""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
from contextlib import suppress
from importlib import import_module

from rich.text import Text

from inversescope.bounds import exhausted
from inversescope.cli.shared import app, screen
from inversescope.errors import CodeNotAllowedError, UserError

for _name in (
    "runs",
    "ask",
    "view",
    "check",
    "proposals",
    "comparisons",
    "look",
):  # in the order in which `--help` lists their commands
    import_module(f"inversescope.cli.{_name}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. A user's mistake, and whatever the system refuses, ends with a message and exit code 2,
    never with a traceback.
    """
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # signs that the terminal's encoding does not have
    try:
        try:
            app(arguments)
        finally:
            sys.stdout.flush()  # here, where its failure can be said
    except CodeNotAllowedError as error:
        command, *rest = sys.argv[1:] if arguments is None else arguments
        again = f"read the code; then inversescope {shlex.join([command, '--allow-code', *rest])}"
        _fail(str(UserError(error.problem, given=error.given, allowed=error.allowed, remedy=again)))
    except UserError as error:
        _fail(str(error))
    except (RecursionError, MemoryError, RuntimeError, ImportError) as error:
        if (lacking := exhausted(error)) is None:
            raise
        given = str(error).partition("\n")[0] or type(error).__name__
        remedy = "smaller numbers in the config or the options, or a machine with more of it"
        _fail(str(UserError(lacking, given=given, remedy=remedy if "memory" in lacking else None)))
    except OSError as error:
        if _closed(error):
            sys.exit(1)
        if error.filename is None:
            _fail(f"the system refuses to read or write\n  given:   {error.strerror or error}")
        _fail(f"a file cannot be used\n  given:   {error.filename}: {error.strerror}")


def _open_what_is_closed() -> None:
    """Streams that the process was started without (`>&-`) read and write nothing. Without them Python has none, and
    the next file that is opened would get their number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _closed(error: OSError) -> bool:
    """True if the output was closed, as `head` does. An output that cannot be written is given up, so that Python does
    not try once more at its end.
    """
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, io.UnsupportedOperation):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return error.errno == errno.EPIPE


def _fail(message: str) -> None:
    with suppress(OSError):
        try:
            screen.print("[bold red]error:[/]", Text(message), soft_wrap=True)
        except MemoryError:
            sys.stderr.write(f"error: {message}\n")
    sys.exit(2)
