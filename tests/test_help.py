"""`--help` of each command: an example that is a command, and names as the text has them."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer

from inversescope.cli.shared import app
from inversescope.errors import UserError

GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = GROUP.commands
USAGE: Any = typer.BadParameter.__base__  # of whichever parser typer has


def examples(command: Any) -> list[list[str]]:
    """The commands in the last paragraph of a help text, as words."""
    *_, last = (command.help or "").strip().split("\n\n")
    text = " ".join(last.split())
    return [shlex.split(code) for code in re.findall(r"`([^`]+)`", text)] if text.startswith("Example") else []


def accepted(words: list[str]) -> bool:
    """True if the command line takes these words; nothing is run."""
    program, name, *rest = words
    if program != "inversescope" or name not in COMMANDS:
        return False
    try:
        COMMANDS[name].make_context(name, rest, resilient_parsing=False)
    except (USAGE, UserError):
        return False
    return True


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_of_itself_that_is_accepted(name: str):
    found = examples(COMMANDS[name])
    assert found, "no example"
    for words in found:
        assert words[1] == name and accepted(words), words


def test_an_example_with_a_slip_is_seen():
    assert accepted(["inversescope", "run", "ioi", "--dry-run"])
    for slip in ("run ioi --dryrun", "run", "runs ioi", "invert text", "invert x --site s -n many", "step runs/demo"):
        assert not accepted(["inversescope", *slip.split()]), slip


@pytest.mark.parametrize("name", COMMANDS)
def test_names_of_arguments_are_upper_case_and_not_bracketed_twice(name: str):
    with typer.Context(COMMANDS[name], info_name=name) as context:
        usage = COMMANDS[name].get_usage(context)
    arguments = usage.partition("[OPTIONS]")[2]
    assert arguments == arguments.upper() and "[[" not in arguments, usage
