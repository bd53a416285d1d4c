"""Searches on natural text against the nearest stored input of a pool of equal cost.

    python benchmarks/natural_search.py [--sites 2,8,15,22,29] [--seconds 15] [--texts FILE]

Per site: the nearest of 8 inputs of the answer `nearest`, after so many seconds of processor time a target, beside the
nearest of every position of the prior's own draws, as many positions as the search has read tokens, and of all of
them; the ratio of the means, and the share of targets at which the search is nearer. Then the answer `best` at
h = 0.1: nats by which it lies below the source's own ln P(x) − δ²/2h². Texts are one a line; the included ones are
none of the prior's draws.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from inversescope.natural_text import searching
from inversescope.natural_text.budget import Budget
from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.question import Question
from inversescope.natural_text.readings import pool_readings
from inversescope.subject import Subject
from inversescope.subject.continuing import Continuing

TEXTS = (
    "The old fisherman repaired his boat before the storm",
    "Photosynthesis is the process by which plants make",
    "My sister moved to Berlin because she wanted to study",
    "The court ruled that the new law was unconstitutional",
    "In 1815 Napoleon was defeated at the battle of",
    "She opened the letter with trembling hands and began to read",
    "The price of oil fell sharply after the announcement",
    "Most of the children had never seen the sea",
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sites", default="2,8,15,22,29")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--best", action="store_true", help="also the answer best")
    options = parser.parse_args()
    texts = options.texts.read_text(encoding="utf-8").splitlines() if options.texts else TEXTS
    subject, console = Subject.load("smollm2"), Console(width=120)
    sites = [f"resid_post.{layer}" for layer in options.sites.split(",")]
    columns = (
        "site",
        "targets",
        "search, mean δ",
        "pool of equal cost",
        "whole pool",
        "ratio",
        "nearer",
        "tokens a target",
    )
    table = Table(*columns, title=f"nearest of 8, {options.seconds:g} s of processor time a target")
    for site in sites:
        rows = [_nearest(subject, text, site, options.seconds, options.best, console) for text in texts]
        found, equal, whole, tokens = (torch.tensor(column) for column in zip(*rows, strict=True))
        wins = f"{float((found < equal).double().mean()):.2f}"
        means = [f"{float(each.mean()):.3f}" for each in (found, equal, whole)]
        ratio = f"{float(found.mean() / equal.mean()):.2f}"
        table.add_row(site, str(len(rows)), *means, ratio, wins, f"{float(tokens.double().mean()):.0f}")
    console.print(table)


def _nearest(
    subject: Subject, source: str, site: str, seconds: float, best: bool, console: Console
) -> tuple[float, float, float, int]:
    """δ of the search, of the stored positions at equal cost, of all of them; tokens that the search has read."""
    tokens = subject.encode(source)
    (where,) = subject.sites([site])
    text = NaturalText.open(subject, sites=[site], length=len(tokens) - len(subject.prefix))
    asked = text.source(source, where)
    answer = searching.invert(text, asked, "nearest", Budget(seconds=seconds, clock=time.process_time))
    stored = _positions(asked.question)
    order = torch.randperm(len(stored), generator=torch.Generator().manual_seed(0))[: answer.tokens_read]
    first = answer.found[0]
    console.print(f"{site} {source!r}: {first.distance:.3f} ({first.log_p:.0f}) {first.text!r}")
    if best:
        likely = searching.invert(text, asked, "best", Budget(seconds=seconds, clock=time.process_time))
        for each in likely.found[:2]:
            console.print(f"   best {each.distance:.2f} ({each.log_p:.0f}) {each.text!r}")
        console.print(f"   nats below the source: {likely.short_of_source:.1f}")
    return first.distance, float(stored[order].min()), float(stored.min()), answer.tokens_read


def _positions(question: Question) -> torch.Tensor:
    """δ of every position of the prior's draws; each was read once."""
    reader = Continuing(question.reader.subject, [question.data.site])
    prefix = len(question.reader.subject.prefix)
    length = question.pool.tokens.shape[1]
    read = [pool_readings(reader, question.pool, prefix, t)[question.data.site] for t in range(1, length + 1)]
    return torch.cat([question.distance(part.float()) for part in read])


if __name__ == "__main__":
    main()
