"""Natural text as the prior on the command line: `invert --prior text`, which needs no run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from inversescope import bounds
from inversescope.cli.answers import print_answers
from inversescope.cli.json_lines import print_lines
from inversescope.cli.shared import screen
from inversescope.cli.vectors import Vectors
from inversescope.errors import UserError

if TYPE_CHECKING:
    from inversescope.natural_text.answer import Answer
    from inversescope.natural_text.natural_text import NaturalText
    from inversescope.natural_text.search import Kind
    from inversescope.natural_text.searching import SearchAnswer
    from inversescope.position import Position
    from inversescope.subject import Subject

TEXT = "text"  # the prior that is the subject's own text
ANSWERS = ("draws", "best", "nearest", "shortest")

PriorOption = Annotated[
    str | None,
    typer.Option(
        "--prior",
        help="`text`: natural text, the model's own, without a run and without training (the first call for a model "
        "takes minutes; what it reads is kept). Default: the prior of the run.",
    ),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="With `--prior text`: the model, as in a config. Default: smollm2.")
]
LengthOption = Annotated[
    int | None,
    typer.Option(
        "--length",
        min=1,
        help="With `--prior text`: tokens of an input. Default: those of the text, at most 16.",
    ),
]
BitsOption = Annotated[
    float | None,
    typer.Option(
        "--bits",
        help="With `--prior text`: resolution, as bits by which the answer is narrower than the prior. Default: 6.",
    ),
]
PoolOption = Annotated[
    int | None,
    typer.Option(
        "--pool",
        min=16,
        max=bounds.INPUTS,
        help="With `--prior text`: number of the model's own texts that inputs begin like. More are read once, and let "
        "finer answers be believed. Default: 1024; 16384 needs a GPU.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="With `--prior text`: write the answers, one for each site, to this JSON file too."),
]
AnswerOption = Annotated[
    str | None,
    typer.Option(
        "--answer",
        help="With `--prior text`: `draws` from the posterior; `best`, the inputs of the largest ln P(x) − δ²/2h²; "
        "`nearest`, those of the smallest δ; `shortest`, of any length, each token worth its nats. Default: draws.",
    ),
]
SecondsOption = Annotated[
    float | None,
    typer.Option(
        "--seconds",
        help="With `--answer best`, `nearest` or `shortest`: time for each site; Ctrl-C keeps what was found. "
        "Default: 15.",
    ),
]


@dataclass(frozen=True)
class TextOptions:
    """Options that belong to natural text alone."""

    prior: str | None
    model: str | None
    length: int | None
    bits: float | None
    pool: int | None
    out: Path | None
    answer: str | None
    seconds: float | None

    def check(self, run: Path | None, resolution: list[float] | None, bandwidth: float | None) -> bool:
        """True if natural text is the prior; options of the other prior, and impossible numbers, are refused."""
        if self.prior not in (None, TEXT):
            raise UserError("there is no such prior", given=self.prior, allowed=f"{TEXT}, or that of a run (--run)")
        mine = {
            "--model": self.model,
            "--length": self.length,
            "--bits": self.bits,
            "--pool": self.pool,
            "--out": self.out,
            "--answer": self.answer,
            "--seconds": self.seconds,
        }
        others = {"--run": run, "--resolution": resolution}
        wrong = [name for name, value in (others if self.prior else mine).items() if value is not None]
        if wrong:
            belongs = "a run" if self.prior else f"--prior {TEXT}"
            raise UserError(f"this option belongs to {belongs}", given=", ".join(wrong))
        if self.prior == TEXT:
            self._check_answer(bandwidth)
        return self.prior == TEXT

    def _check_answer(self, bandwidth: float | None) -> None:
        if self.answer not in (None, *ANSWERS):
            raise UserError("there is no such answer", given=self.answer, allowed=", ".join(ANSWERS))
        if self.searched and self.bits is not None:
            raise UserError("bits belong to draws", given=f"--answer {self.answer} --bits", remedy="-b BANDWIDTH")
        if self.seconds is not None and not self.searched:
            raise UserError("seconds belong to a search", given="--seconds", allowed="with " + ", ".join(ANSWERS[1:]))
        numbers = {"--bits": self.bits, "--bandwidth": bandwidth, "--seconds": self.seconds}
        given = {name: value for name, value in numbers.items() if value is not None}
        for name, value in given.items():
            if not (isfinite(value) and value > 0):
                raise UserError("this number cannot be used", given=f"{name} {value:g}", allowed="a number above 0")
        if {"--bits", "--bandwidth"} <= given.keys():
            raise UserError("a resolution is given twice", given="--bits and --bandwidth", allowed="one of them")

    @property
    def searched(self) -> bool:
        """The answer is that of a search, not draws."""
        return self.answer not in (None, ANSWERS[0])


def invert_text(
    options: TextOptions,
    source: Any,
    vectors: Vectors,
    sites: Sequence[str],
    position: Callable[[Subject], Position],
    bandwidth: float | None,
    n: int,
    seed: int,
    *,
    as_json: bool = False,
) -> None:
    """Read, sample and print, vector by vector and site by site; with `--out` also write the list of answers."""
    from inversescope import files
    from inversescope.cli.progress import shown
    from inversescope.natural_text.natural_text import LONGEST, NaturalText, default_length
    from inversescope.natural_text.pool import DRAWS
    from inversescope.subject import Subject

    subject = Subject.load(options.model or "smollm2")
    where = position(subject)
    chosen = subject.sites([address for addresses in sites for address in addresses.split(",")])
    tokens = None if source is None else _read(subject, source, where)
    bases = {} if tokens is None else {s: a[0] for s, a in subject.capture([tokens], chosen).activations.items()}
    given = vectors.of(subject, chosen, bases) if vectors.given else [None]
    length = options.length or (LONGEST if tokens is None else default_length(len(tokens) - len(subject.prefix)))
    with shown("collect", screen) as progress:
        text = NaturalText.open(
            subject,
            sites=[str(site) for site in chosen],
            length=length,
            draws=options.pool or DRAWS,
            progress=progress,
        )
    answers = []
    for one in given:
        for site in chosen:
            asked: dict[str, Any] = {"text": source, "position": where, "site": str(site)}
            if one is not None:
                asked = {"vector": one.vector[site], "name": one.text, "site": str(site)}
            record, table = _answered(options, text, asked, bandwidth, n, seed)
            answers.append(record)
            if as_json:
                print_lines([record])
            else:
                print_answers(table)
            if options.out is not None:
                files.write_json(options.out, answers)


def _read(subject: Subject, source: Any, where: Position) -> tuple[int, ...]:
    """The tokens up to the position; of a text that is too long, the last ones."""
    from inversescope.position import cut, keep_last

    whole = cut(subject, source, where)
    tokens = keep_last(whole, subject.prefix, subject.longest)
    if dropped := len(whole) - len(tokens):
        screen.print(f"the first {dropped:,} tokens are left out: the text is too long for the model", soft_wrap=True)
    return tokens


def _answered(
    options: TextOptions, text: NaturalText, asked: dict[str, Any], bandwidth: float | None, n: int, seed: int
) -> tuple[dict[str, Any], Group]:
    """The record of one answer, and its table."""
    if options.searched:
        searched = _searched(options, text, asked, bandwidth, seed)
        return searched.record(), search_table(searched, n)
    found = text.invert(**asked, bits=options.bits, bandwidth=bandwidth, n=n, seed=seed)
    return found.record(), answer_table(found)


def _searched(
    options: TextOptions, text: NaturalText, asked: dict[str, Any], bandwidth: float | None, seed: int
) -> SearchAnswer:
    """Inputs of a search, with its progress; what Ctrl-C ends is kept."""
    from inversescope.cli.progress import shown
    from inversescope.natural_text import searching
    from inversescope.natural_text.budget import Budget

    with shown(f"{options.answer} input", screen) as progress:
        budget = Budget(seconds=searching.SECONDS if options.seconds is None else options.seconds, progress=progress)
        return text.search(cast("Kind", options.answer), **asked, budget=budget, bandwidth=bandwidth, seed=seed)


def search_table(answer: SearchAnswer, n: int) -> Group:
    """The inputs of a search, and how far the first is from the source's own measure."""
    from inversescope.cli.tables.cells import marked
    from inversescope.verdicts.wording import number, visible

    measure = "by distance" if answer.bandwidth is None else f"by ln P(x) − δ²/2h² at h = {answer.bandwidth:g}"
    length = f"at most {answer.length}" if answer.answer == "shortest" else str(answer.length)
    head = [
        f"[bold]{escape(visible(answer.source))}[/]",
        escape(f"{answer.site} of {answer.subject}, inputs of {length} tokens: {answer.answer}, {measure}"),
        escape(f"prior: {answer.prior}"),
        f"found, not drawn, in {answer.seconds:.0f} s, {answer.tokens_read} tokens read"
        + ("; ended by Ctrl-C" if answer.cancelled else ""),
    ]
    gap = answer.short_of_source
    if gap is not None:
        side = "below" if gap > 0 else "above"
        head.append(f"the first is {abs(gap):.0f} nats {side} the source")
    table = Table("δ", "as near as inputs that share", "ln P", "input")
    for each in answer.found[:n]:
        ruler = each.ruler.removeprefix("as near as inputs that share ")
        table.add_row(number(each.distance), ruler, f"{each.log_p:.1f}", marked(answer.source, each.text))
    return Group("\n".join(head), table)


def answer_table(answer: Answer) -> Group:
    """The draws, or why there are none."""
    from inversescope.cli.tables.cells import marked
    from inversescope.verdicts.wording import number, visible

    wanted = f"{answer.bits_wanted:g} bits" if answer.bits_wanted is not None else f"h = {answer.bandwidth:g}"
    head = [
        f"[bold]{escape(visible(answer.source))}[/]",
        escape(f"{answer.site} of {answer.subject}, inputs of {answer.length} tokens, at {wanted}"),
        escape(f"prior: {answer.prior}"),
    ]
    if answer.outside:
        head.insert(0, "[bold red]outside of the prior: no draw of the pool is as near as unrelated inputs are[/]")
    if not answer.believed:
        head.append(f"[bold red]{escape(answer.verdict)}[/]")
        finest = answer.believed_bits
        head.append(f"to be believed: --bits {finest:.1f}" if finest else "no coarser resolution is to be believed")
        head.append("finer: a larger --pool")
        return Group("\n".join(head))
    head += [
        f"[green]{answer.verdict}[/]: {number(answer.bits)} bits kept at h = {number(answer.bandwidth)}, ln Z "
        f"{number(answer.log_z)} (splits within {number(answer.spread)}), effective sample size "
        f"{number(answer.size, 0)}",
        f"nearer than unrelated inputs: {number(answer.near)} of the posterior",
    ]
    table = Table("draws", "δ", "as near as inputs that share", "ln P", "draw")
    for draw in answer.draws:
        ruler = draw.ruler.removeprefix("as near as inputs that share ")
        text = marked(answer.source, draw.text)
        table.add_row(str(draw.times), number(draw.distance), ruler, f"{draw.log_p:.1f}", text)
    return Group("\n".join(head), table)
