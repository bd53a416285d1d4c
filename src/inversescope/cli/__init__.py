"""The command line. Torch is imported by the commands that need it, so that `--help` answers at once."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module

from rich.text import Text

from inversescope.cli.shared import app, screen
from inversescope.errors import CodeNotAllowedError, UserError

for _name in ("runs", "ask", "proposals", "comparisons", "look"):  # in the order in which `--help` lists their commands
    import_module(f"inversescope.cli.{_name}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. A user's mistake ends with a message and exit code 2, never with a traceback."""
    try:
        app(arguments)
    except CodeNotAllowedError as error:
        command, *rest = sys.argv[1:] if arguments is None else arguments
        again = f"read the code; then inversescope {shlex.join([command, '--allow-code', *rest])}"
        _fail(str(UserError(error.problem, given=error.given, allowed=error.allowed, remedy=again)))
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"a file cannot be used\n  given:   {error.filename}: {error.strerror}")


def _fail(message: str) -> None:
    screen.print("[bold red]error:[/]", Text(message), soft_wrap=True)
    sys.exit(2)
