"""The command line. Torch is imported by the commands that need it, so that `--help` answers at once."""

# ruff: noqa: I001 - importing a module adds its commands

from __future__ import annotations

import sys

from rich.text import Text

# In the order in which `--help` lists their commands.
import inversescope.cli.runs
import inversescope.cli.ask
import inversescope.cli.proposals
import inversescope.cli.comparisons
import inversescope.cli.look
from inversescope.cli.shared import app, screen
from inversescope.errors import UserError


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. A user's mistake ends with a message and exit code 2, never with a traceback."""
    try:
        app(arguments)
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"a file cannot be used\n  given:   {error.filename}: {error.strerror}")


def _fail(message: str) -> None:
    screen.print("[bold red]error:[/]", Text(message), soft_wrap=True)
    sys.exit(2)
