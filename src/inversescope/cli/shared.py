"""Common parts of the commands: the application, the screen, options that several take, and how to be interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    name="inversescope",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Which inputs produce this activation of a language model, how closely, and what does it encode?\n\n"
    "Start with `inversescope doctor`, then `inversescope demo`.",
)
screen = Console(stderr=True, highlight=False)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
MessagesFile = Annotated[
    Path | None,
    typer.Option("--messages", help='In its place, a conversation: JSON, [{"role": "user", "content": "..."}].'),
]
PositionOption = Annotated[
    str,
    typer.Option(
        "--position",
        help="Where: `last`, the index of a token (from 0, or from -1 at the end), a piece of the text (the token "
        "in which it ends), or in a conversation a role and its turn, such as `user:-1`.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in this folder where it was interrupted.")]


@contextmanager
def interruptible(how: str) -> Iterator[None]:
    """Says how to go on when the user interrupts what is within."""
    try:
        yield
    except KeyboardInterrupt:
        screen.print(f"interrupted; nothing that was written is lost: {how}", soft_wrap=True)
        raise typer.Exit(130) from None
