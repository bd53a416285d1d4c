"""Commands that ask a trained run about one activation."""

from __future__ import annotations

from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inversescope import bounds
from inversescope.bounds import read_text
from inversescope.cli.answers import print_answers
from inversescope.cli.json_lines import AsJson, print_lines
from inversescope.cli.natural import (
    AnswerOption,
    BitsOption,
    LengthOption,
    ModelOption,
    OutOption,
    PoolOption,
    PriorOption,
    SecondsOption,
    TextOptions,
    invert_text,
)
from inversescope.cli.shared import AllowCode, MessagesFile, PositionOption, ReadsText, app, screen
from inversescope.cli.vectors import AddOption, BaseOption, ScaleOption, VectorOption, Vectors
from inversescope.errors import UserError

if TYPE_CHECKING:
    from inversescope.position import Position
    from inversescope.sites import Site
    from inversescope.subject import Subject

TextArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="TEXT",
        help="Text that the model reads; a single word with a hyphen in front after `--`.",
        show_default=False,
    ),
]
Sites = Annotated[
    list[str],
    typer.Option(
        "--site",
        help="Site that the run's generator is trained for, such as resid_post.29, or several; `*` is every number: "
        "`--site 'resid_post.*'`.",
    ),
]
TrainedRun = Annotated[Path, typer.Option("--run", help="Folder of a trained run.")]
AnyRun = Annotated[Path | None, typer.Option("--run", help="Folder of a trained run. Default: runs/demo.")]
_DEMO = Path("runs/demo")
Resolution = Annotated[
    float | None,
    typer.Option(
        "--resolution",
        "-N",
        help="Resolution N of the run: one input in N of the prior remains. Default: the finest at which inputs other "
        "than the text itself answer.",
    ),
]
Resolutions = Annotated[
    list[float] | None,
    typer.Option(
        "--resolution",
        "-N",
        help="Resolution N of the run, or several: one input in N of the prior remains. Default: the finest at which "
        "inputs other than the text itself answer.",
    ),
]
Bandwidth = Annotated[
    float | None,
    typer.Option("--bandwidth", "-b", help="Bandwidth h in place of a resolution: a radius in δ."),
]


@app.command(cls=ReadsText)
def invert(
    site: Sites,
    text: TextArgument = None,
    messages: MessagesFile = None,
    position: PositionOption = "last",
    vector: VectorOption = None,
    base: BaseOption = None,
    add: AddOption = None,
    scale: ScaleOption = None,
    run: AnyRun = None,
    resolution: Resolutions = None,
    bandwidth: Bandwidth = None,
    n: Annotated[int, typer.Option("-n", min=1, max=bounds.SAMPLES, help="Number of samples.")] = 32,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of the samples.")] = 0,
    allow_code: AllowCode = False,
    prior: PriorOption = None,
    model: ModelOption = None,
    length: LengthOption = None,
    bits: BitsOption = None,
    pool: PoolOption = None,
    out: OutOption = None,
    answer: AnswerOption = None,
    seconds: SecondsOption = None,
    as_json: AsJson = False,
) -> None:
    """List inputs with nearly the same activation as TEXT at a site and a position, each verified by running it.

    If the text is too long for the model, the tokens nearest to the position are kept. A vector takes the text's place
    with --vector, or with --base and --add. With `--prior text` the inputs are natural text, drawn at any site of
    the model without a run and without training, and the answer says if it is to be believed.

    Example: `inversescope invert "Mary and John went to the store" --site resid_post.15 --prior text`
    """
    from inversescope.cli.tables.answers import inversion_table
    from inversescope.inverter import Inverter

    vectors = Vectors(vector, base, add, scale)
    source = _source(text, messages, vectors)
    natural = TextOptions(prior, model, length, bits, pool, out, answer, seconds)
    if natural.check(run, resolution, bandwidth):
        where_of = partial(_position, source=source, position=position)
        invert_text(natural, source, vectors, site, where_of, bandwidth, n, seed, as_json=as_json)
        return
    run = run or _DEMO
    sites = _sites(run, site)
    inverter = Inverter.load(run, allow_code=allow_code)
    where = _position(inverter.run.subject, source, position)
    levels: list[float | None] = [*resolution] if resolution else [None]
    given: dict[str, Any] = {"vector": vectors.read(inverter, sites, where)} if vectors.given else {"text": [source]}
    found = inverter.invert(**given, site=sites, position=where, n=n, resolution=levels, bandwidth=bandwidth, seed=seed)
    for inversion in chain.from_iterable(chain.from_iterable(found)):
        if as_json:
            print_lines([inversion.record()])
        else:
            print_answers(inversion_table(inversion))


@app.command(cls=ReadsText)
def explain(
    site: Sites,
    text: TextArgument = None,
    messages: MessagesFile = None,
    position: PositionOption = "last",
    vector: VectorOption = None,
    base: BaseOption = None,
    add: AddOption = None,
    scale: ScaleOption = None,
    run: TrainedRun = _DEMO,
    resolution: Resolution = None,
    bandwidth: Bandwidth = None,
    n: Annotated[int, typer.Option("-n", min=2, max=bounds.SAMPLES, help="Number of samples at each site.")] = 128,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of the samples.")] = 0,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write the explanation to this HTML file too, and to a JSON file beside it."),
    ] = None,
    expected: Annotated[
        bool,
        typer.Option(
            "--expected",
            help="Hypotheses about the next token that the model expects too: it reads the pool once more.",
        ),
    ] = False,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Explain the activation of TEXT: a ranked list of tested hypotheses, with samples for and against each.

    Hypotheses are made from the task's features and the words of the prior. Half of the samples select them, the other
    half confirms them. With several sites, a table shows at which sites each hypothesis holds. A vector (--vector, or
    --base and --add) has no text in which other activations could take its place, so nothing is said of its use.

    Example: `inversescope explain "Then, Mary gave a ring to" --site resid_post.20,resid_post.29 --html page.html`
    """
    from inversescope.cli.progress import shown
    from inversescope.cli.tables.answers import explanation_table
    from inversescope.cli.tables.runs import not_tried
    from inversescope.explain import explain as find
    from inversescope.features import annotators
    from inversescope.inverter import Inverter
    from inversescope.report.explanation import require_page, write_explanation

    if html is not None:
        require_page(html)
    vectors = Vectors(vector, base, add, scale)
    source, sites = _source(text, messages, vectors), _sites(run, site)
    inverter = Inverter.load(run, allow_code=allow_code)
    where = _position(inverter.run.subject, source, position)
    given: dict[str, Any] = {"vector": vectors.alone(inverter, sites, where)} if vectors.given else {"text": source}
    with shown("explain", screen) as progress:
        explanation = find(
            inverter,
            **given,
            sites=sites,
            position=where,
            n=n,
            resolution=resolution,
            bandwidth=bandwidth,
            seed=seed,
            expected=expected,
            progress=progress,
        )
    if html is not None:
        write_explanation(explanation.record(), html)
        screen.print(f"page: {html}", soft_wrap=True)
    if as_json:
        print_lines([explanation.record()])
        return
    print_answers(explanation_table(explanation), *not_tried(annotators.missing()))


def _source(text: str | None, messages: Path | None, vectors: Vectors) -> Any:
    """The text or the conversation that is read; with vectors, the text of their base, if any."""
    from inversescope import files
    from inversescope.position import require_messages

    if vectors.given:
        if text is not None or messages is not None:
            given = "TEXT" if messages is None else "--messages"
            raise UserError("a vector takes the place of a text", given=f"{given} and a vector", allowed="one of them")
        return vectors.base
    if (text is None) == (messages is None):
        given = "neither" if text is None else "both"
        raise UserError("a text or a conversation is read", given=given, allowed="either TEXT or --messages FILE")
    if messages is None:
        return text
    source = files.parse_json(read_text(messages, "conversation"), messages)
    require_messages(source)
    return source


def _sites(run: Path, given: list[str]) -> tuple[Site, ...]:
    """The sites, checked by the run's records before the model is loaded."""
    from inversescope.inverter import served

    return served(run, [address for addresses in given for address in addresses.split(",")])


def _position(subject: Subject, source: Any, position: str) -> Position:
    from inversescope.position import LAST, typed

    if source is None:  # a vector alone
        if position != LAST:
            raise UserError("a vector has no positions", given=f"--position {position}", allowed="no --position")
        return LAST
    where, is_piece = typed(subject, source, position)
    if is_piece:
        screen.print(
            f"position {position} is read as the index of a token, although the text has a {position!r}; for that one, "
            "give a longer piece of the text",
            soft_wrap=True,
        )
    return where
