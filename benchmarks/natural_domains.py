"""Targets of several kinds of text for the benchmarks of natural text, and stored windows to compare with.

`own`: draws of the subject's own text, of another seed than the pool's. `reference`, `docstrings`, `code`: windows
of the documents that come with Python, one of each document. `prose`, `french`, `tables`: the first tokens of the lines
in `texts/`, written for this. Retrieval is from windows of other documents of Python; for `own` from the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.pool import open_pool
from inversescope.natural_text.prior import Prior
from inversescope.subject import Subject
from inversescope.tasks.corpus import Corpus, CorpusConfig

WRITTEN = ("prose", "french", "tables")
OF_PYTHON = ("reference", "docstrings", "code")
DOMAINS = ("own", *OF_PYTHON, *WRITTEN)
HELD_OUT = 7  # seed of the draws that are targets

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Domain:
    """Targets of one kind of text, without the subject's prefix, and windows with it that retrieval may use."""

    name: str
    targets: list[Tokens]
    stored: list[Tokens]


def domains(text: NaturalText, names: Sequence[str], count: int) -> list[Domain]:
    """The domains by name, of each as many targets as there are, `count` at most, all of the text's length."""
    subject, length = text.subject, text.length
    own = [name for name in names if name in OF_PYTHON]
    of_python, windows = _python(subject, length, own, count)
    found = []
    for name in names:
        if name == "own":
            drawn = open_pool(subject, Prior(), length, count, HELD_OUT).tokens[:count, :length]
            pool = [(*subject.prefix, *row) for row in text.pool.tokens.tolist()]
            found.append(Domain(name, [tuple(row) for row in drawn.tolist()], pool))
        elif name in WRITTEN:
            found.append(Domain(name, written(subject, name, length)[:count], windows))
        else:
            found.append(Domain(name, of_python[name], windows))
    return found


def written(subject: Subject, name: str, length: int) -> list[Tokens]:
    """The first tokens of every line of a file that has as many."""
    lines = (Path(__file__).parent / "texts" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    rows = [tuple(subject.encode(line)[len(subject.prefix) :]) for line in lines]
    return [row[:length] for row in rows if len(row) >= length]


def _python(
    subject: Subject, length: int, kinds: Sequence[str], count: int
) -> tuple[dict[str, list[Tokens]], list[Tokens]]:
    """One window of each of some documents of each kind, and the windows of all others."""
    corpus = Corpus(CorpusConfig(included="python", tokens=length, per_document=60), subject)
    windows = [window for window, _ in corpus.enumerate()]
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0)).tolist()
    targets: dict[str, dict[str, Tokens]] = {kind: {} for kind in kinds}
    for number in order:
        document = corpus.document(windows[number]) or ""
        of_kind = targets.get(document.partition("/")[0], {})
        if document not in of_kind and len(of_kind) < count:
            of_kind[document] = windows[number]
    held_out = {document for of_kind in targets.values() for document in of_kind}
    stored = [windows[number] for number in order if corpus.document(windows[number]) not in held_out]
    begun = len(subject.prefix)
    return {kind: [row[begun:] for row in found.values()] for kind, found in targets.items()}, stored
