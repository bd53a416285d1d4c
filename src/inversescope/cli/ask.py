"""Commands that ask a trained run about one activation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from inversescope.cli.shared import MessagesFile, PositionOption, app, screen
from inversescope.errors import UserError


@app.command()
def invert(
    site: Annotated[str, typer.Option("--site", help="A site of the run's generator, such as resid_post.29.")],
    text: Annotated[str | None, typer.Argument(help="The text that is read.", show_default=False)] = None,
    messages: MessagesFile = None,
    position: PositionOption = "last",
    run: Annotated[Path, typer.Option("--run", help="A trained run.")] = Path("runs/demo"),
    bandwidth: Annotated[float, typer.Option("--bandwidth", "-h", help="Radius h in δ: how similar is similar.")] = 0.1,
    n: Annotated[int, typer.Option("-n", min=1, help="How many samples to draw.")] = 32,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Decides the draws.")] = 0,
) -> None:
    """Inputs that would have produced the activation of TEXT at a site and a position, each verified by running it.

    If the text is too long for the subject, the tokens nearest to the position are kept.
    """
    from inversescope.cli.tables.answers import inversion_table
    from inversescope.inverter import Inverter

    source, where = _source(text, messages), _position(position)
    inversion = Inverter.load(run).invert(source, site=site, position=where, n=n, bandwidth=bandwidth, seed=seed)
    Console(highlight=False).print(inversion_table(inversion))


@app.command()
def explain(
    site: Annotated[
        list[str],
        typer.Option("--site", help="Where it is read; wildcards allowed, and several: `--site 'resid_post.*'`."),
    ],
    text: Annotated[str | None, typer.Argument(help="The text that is read.", show_default=False)] = None,
    messages: MessagesFile = None,
    position: PositionOption = "last",
    run: Annotated[Path, typer.Option("--run", help="A trained run.")] = Path("runs/demo"),
    bandwidth: Annotated[float, typer.Option("--bandwidth", "-h", help="Radius h in δ: how similar is similar.")] = 0.1,
    n: Annotated[int, typer.Option("-n", min=2, help="How many samples to draw at each site.")] = 128,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Decides the draws.")] = 0,
    html: Annotated[Path | None, typer.Option("--html", help="Also write it as a page, and as JSON beside it.")] = None,
) -> None:
    """Explain the activation of TEXT: a ranked list of hypotheses, tested, with samples for and against each.

    Half of the draws propose hypotheses, from the task's features and from the words of the prior; the other half
    confirms them. At several sites: a table of where which of them appears and disappears.
    """
    from inversescope.cli.progress import shown
    from inversescope.cli.tables.answers import explanation_table
    from inversescope.cli.tables.runs import not_tried
    from inversescope.explain import explain as find
    from inversescope.features import annotators
    from inversescope.inverter import Inverter
    from inversescope.report.explanation import write_explanation

    source, where = _source(text, messages), _position(position)
    with shown("explain", screen) as progress:
        found = find(
            Inverter.load(run),
            source,
            sites=[address for each in site for address in each.split(",")],
            position=where,
            n=n,
            bandwidth=bandwidth,
            seed=seed,
            progress=progress,
        )
    Console(highlight=False).print(explanation_table(found), *not_tried(annotators.missing()), sep="\n")
    if html is not None:
        write_explanation(found.record(), html)
        screen.print(f"page: {html}", soft_wrap=True)


def _source(text: str | None, messages: Path | None) -> Any:
    """The text or the conversation that is read."""
    from inversescope import files

    source = text if messages is None else files.read_json(messages)
    if source is None or None not in (text, messages):
        given = "neither" if source is None else "both"
        raise UserError("a text or a conversation is read", given=given, allowed="either TEXT or --messages FILE")
    return source


def _position(position: str) -> int | str:
    return int(position) if re.fullmatch(r"-?\d+", position) else position
