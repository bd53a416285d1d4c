"""Commands that ask a trained run about one activation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from inversescope.cli.shared import AllowCode, MessagesFile, PositionOption, app, screen
from inversescope.errors import UserError

TextArgument = Annotated[str | None, typer.Argument(help="Text that the model reads.", show_default=False)]
TrainedRun = Annotated[Path, typer.Option("--run", help="Folder of a trained run.")]
Resolution = Annotated[
    float | None,
    typer.Option(
        "--resolution",
        "-N",
        help="Resolution N of the run: one input in N of the prior remains. Default: the finest at which inputs other "
        "than the text itself answer.",
    ),
]
Bandwidth = Annotated[
    float | None,
    typer.Option("--bandwidth", "-b", help="Bandwidth h in place of a resolution: a radius in δ."),
]


@app.command()
def invert(
    site: Annotated[
        str, typer.Option("--site", help="Site that the run's generator is trained for, such as resid_post.29.")
    ],
    text: TextArgument = None,
    messages: MessagesFile = None,
    position: PositionOption = "last",
    run: TrainedRun = Path("runs/demo"),
    resolution: Resolution = None,
    bandwidth: Bandwidth = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Number of samples.")] = 32,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of the samples.")] = 0,
    allow_code: AllowCode = False,
) -> None:
    """List inputs with nearly the same activation as TEXT at a site and a position, each verified by running it.

    If the text is too long for the model, the tokens nearest to the position are kept.
    """
    from inversescope.cli.tables.answers import inversion_table
    from inversescope.inverter import Inverter

    source, where = _source(text, messages), _position(position)
    inversion = Inverter.load(run, allow_code=allow_code).invert(
        source, site=site, position=where, n=n, resolution=resolution, bandwidth=bandwidth, seed=seed
    )
    Console(highlight=False).print(inversion_table(inversion))


@app.command()
def explain(
    site: Annotated[
        list[str],
        typer.Option("--site", help="Sites, one or several; `*` is every number: `--site 'resid_post.*'`."),
    ],
    text: TextArgument = None,
    messages: MessagesFile = None,
    position: PositionOption = "last",
    run: TrainedRun = Path("runs/demo"),
    resolution: Resolution = None,
    bandwidth: Bandwidth = None,
    n: Annotated[int, typer.Option("-n", min=2, help="Number of samples at each site.")] = 128,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of the samples.")] = 0,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write the explanation to this HTML file too, and to a JSON file beside it."),
    ] = None,
    allow_code: AllowCode = False,
) -> None:
    """Explain the activation of TEXT: a ranked list of tested hypotheses, with samples for and against each.

    Hypotheses are made from the task's features and the words of the prior. Half of the samples select them, the other
    half confirms them. With several sites, a table shows at which sites each hypothesis holds.
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
        explanation = find(
            Inverter.load(run, allow_code=allow_code),
            source,
            sites=[address for addresses in site for address in addresses.split(",")],
            position=where,
            n=n,
            resolution=resolution,
            bandwidth=bandwidth,
            seed=seed,
            progress=progress,
        )
    Console(highlight=False).print(explanation_table(explanation), *not_tried(annotators.missing()), sep="\n")
    if html is not None:
        write_explanation(explanation.record(), html)
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
