"""Common parts of the commands: the application, the screen, options that several take, and how to be interrupted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperOption

from inversescope import __version__

app = typer.Typer(
    name="inversescope",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find the inputs that produce an activation of a language model, and test what the activation encodes.\n\n"
    "Start with `inversescope doctor`, then `inversescope demo`.",
)
screen = Console(stderr=True, highlight=False)


def _version(wanted: bool | None) -> None:
    if wanted:
        typer.echo(f"inversescope {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    """Options before a command."""


class ReadsText(TyperCommand):
    """A command whose TEXT may start with a hyphen, as long as it is more than one word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._text_last(args))

    def _text_last(self, args: Sequence[str]) -> list[str]:
        """The arguments with such a text at the end, behind `--`."""
        options = [option for option in self.params if isinstance(option, TyperOption)]
        names = {name: 0 if option.is_flag else option.nargs for option in options for name in option.opts}
        texts, rest, values = [], [], 0
        for number, argument in enumerate(args):
            if argument == "--":
                rest += args[number:]
                break
            known = argument.partition("=")[0] in {*names, "--help"}
            if not values and argument.startswith("-") and re.search(r"\s", argument) and not known:
                texts.append(argument)
            else:
                rest.append(argument)
                values = values - 1 if values else names.get(argument, 0)
        return [*rest, *([] if "--" in rest or not texts else ["--"]), *texts]


def as_recorded(site: Any) -> Any:
    """A site as records have it, or each of several; TransformerLens' names are read too."""
    from inversescope.sites import Site

    if isinstance(site, list | tuple):
        return [as_recorded(each) for each in site]
    return site if site is None else str(Site.parse(site))


RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
MessagesFile = Annotated[
    Path | None,
    typer.Option("--messages", help='Conversation instead of TEXT: a JSON file, [{"role": "user", "content": "..."}].'),
]
PositionOption = Annotated[
    str,
    typer.Option(
        "--position",
        help="Token whose activation is read: `last`; an index (0 is the first, -1 the last); a piece of the text (the "
        "token in which it ends), also a number that is no index; or, in a conversation, a role and its turn, such as "
        "`user:-1`.",
    ),
]
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Allow the Python files that the config names to be run: read them first. It is remembered for this "
        "version of each file.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run in this folder.")]


@contextmanager
def interruptible(how: str) -> Iterator[None]:
    """Says how to go on when the user interrupts what is within."""
    try:
        yield
    except KeyboardInterrupt:
        screen.print(f"interrupted; nothing that was written is lost: {how}", soft_wrap=True)
        raise typer.Exit(130) from None
