"""Windows of documents as a task: the prior is empirical, each window of the corpus as likely as any other.

A window has one length and begins where a sentence or a paragraph does. Documents are kept apart: a split of a run
takes all of its windows from documents of its own, and a target is the only window of its document. A window that has
13 tokens in a row in common with another document (all of them, where it is shorter) is left out and listed, so that no
text of one split stands in another.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, computed_field, model_validator

from inversescope.bounds import INPUTS, TOKENS
from inversescope.errors import UserError
from inversescope.paths import ConfigPath
from inversescope.tasks.documents import (
    PYTHON,
    Document,
    documents_of_file,
    documents_of_folder,
    documents_of_python,
    python_name,
)
from inversescope.tasks.empirical import EmpiricalPrior
from inversescope.tasks.registry import register
from inversescope.tasks.task import Labels, TaskConfig, TaskSubject, Tokens
from inversescope.verdicts.wording import count

KIND = "kind"  # the feature
GRAM = 13  # tokens in a row that no two documents may have in common
CHARACTERS = 24  # of a text that are encoded for each token of a window: more than a token ever has on average
LISTED = 50  # pairs of documents with text in common that are listed
_STARTS = re.compile(r"(?:\A|[.!?][\"'”’)\]]*\s+|\n[^\S\n]*\n)\s*(?=\S)")


class CorpusConfig(TaskConfig):
    """Windows of own documents: a folder of text files, or a file with a document in each row."""

    name: Literal["corpus"] = Field(
        default="corpus",
        description="the task: windows of documents. The prior is empirical: these windows and nothing else; for any "
        "natural text see `inversescope invert --prior text`",
    )
    path: ConfigPath | None = Field(
        default=None,
        description="folder with a document in each .txt, .md, .rst or .py file; or a file as of the task `texts`, "
        "with a document in each row",
    )
    included: Literal["python"] | None = Field(
        default=None,
        description="in place of `path`, documents that are at hand: `python`, the pages of Python's language "
        "reference, docstrings and source of its standard library, in the version that is installed",
    )
    column: str = Field(default="text", description="column with the text, where `path` is a file")
    kind: str | None = Field(
        default=None,
        description="column with the kind of a document, where `path` is a file; of a folder's files the kind is the "
        "first folder below it",
    )
    tokens: int = Field(default=16, ge=3, le=TOKENS, description="number of tokens of a window, the prefix not counted")
    per_document: int = Field(
        default=100, ge=1, le=INPUTS, description="number of windows of a document at most, evenly over it"
    )

    @computed_field
    @property
    def cut(self) -> str:
        """End of the inputs, in words."""
        return f"{self.tokens} tokens from the beginning of a sentence"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.included is None):
            raise ValueError("either path or included says where the documents are")
        return self


@dataclass(frozen=True)
class CorpusRead:
    """Fate of the documents of a corpus.

    Attributes:
        corpus: the corpus by name.
        documents: number with at least one window.
        empty, short: documents left out: without text, without a window of this length.
        windows: number of windows.
        repeated: windows left out because they have text in common with another document.
        overlaps: pairs of documents with text in common, and the number of their common sequences of tokens.
        kinds: documents of each kind.
    """

    corpus: str
    documents: int
    empty: int
    short: int
    windows: int
    repeated: int
    overlaps: tuple[tuple[str, str, int], ...]
    kinds: Mapping[str, int]

    def record(self) -> dict[str, Any]:
        """As a record of the run, with the sentences."""
        return {**asdict(self), "overlaps": [list(pair) for pair in self.overlaps], "notes": self.notes}

    @property
    def notes(self) -> list[str]:
        """Sentences for people."""
        notes = [f"corpus: {self.corpus}", f"{count(self.windows, 'window')} of {count(self.documents, 'document')}"]
        if self.empty or self.short:
            empty = count(self.empty, "document")
            notes.append(f"left out: {empty} without text, {self.short:,} shorter than a window")
        if self.repeated:
            more = " or more" if len(self.overlaps) == LISTED else ""
            pairs, repeated = count(len(self.overlaps), "pair"), count(self.repeated, "window")
            notes.append(
                f"left out: {repeated} with a text that also stands in another document ({pairs} of documents{more})"
            )
        return notes


class _Window(NamedTuple):
    document: int
    tokens: Tokens


@register(CorpusConfig)
class Corpus(EmpiricalPrior):
    """The task of one corpus for one subject's tokenizer.

    Attributes:
        reading: what became of the documents.
        cut, rows: as of every task; a row is a window.

    Raises:
        UserError: documents are missing, unreadable, or all shorter than a window; a window is longer than the model
            can read.
    """

    name = "corpus"

    def __init__(self, config: CorpusConfig, subject: TaskSubject):
        longest = getattr(subject, "longest", None)
        if longest is not None and config.tokens > longest - len(subject.prefix):
            raise UserError(
                "a window is longer than the model can read",
                given=f"task.tokens = {config.tokens}",
                allowed=f"up to {longest - len(subject.prefix)}",
            )
        self.cut = config.cut
        documents, windows = list(_documents(config)), []
        for number, document in enumerate(documents):
            windows += [_Window(number, tokens) for tokens in _windows(document.text, config, subject)]
        kept, overlaps = _apart(windows, len(subject.prefix))
        self._names = [document.name for document in documents]
        self._kinds = [document.kind for document in documents]
        super().__init__([window.tokens for window in kept])
        self._document = {window.tokens: window.document for window in kept}
        self.features: tuple[str, ...] = (KIND,) if len(set(self._kinds) - {None}) > 1 else ()
        found = {window.document for window in windows}
        used = {window.document for window in kept}
        empty = sum(not document.text.strip() for document in documents)
        self.reading = CorpusRead(
            corpus=python_name() if config.included == PYTHON else str(config.path),
            documents=len(used),
            empty=empty,
            short=len(documents) - len(found) - empty,
            windows=len(kept),
            repeated=len(windows) - len(kept),
            overlaps=tuple((self._names[a], self._names[b], n) for (a, b), n in overlaps.most_common(LISTED)),
            kinds=dict(Counter(kind for number in used if (kind := self._kinds[number]) is not None)),
        )
        if not kept:
            raise UserError(
                "no document has a window of its own",
                given=f"{self.reading.corpus}: {'; '.join(self.reading.notes[1:])}",
                remedy="longer or more documents, or a smaller task.tokens",
            )

    @cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits: a hash of every window, its document, and its kind."""
        digest = hashlib.sha256()
        for tokens in self._inputs:
            number = self._document[tokens]
            digest.update(f"{self._names[number]} {self._kinds[number]} {tokens}".encode())
        return digest.hexdigest()

    def document(self, tokens: Sequence[int]) -> str | None:
        """Name of the document that a window stands in; None for any other token sequence."""
        number = self._document.get(tuple(tokens))
        return None if number is None else self._names[number]

    def labels(self, tokens: Sequence[int]) -> Labels:
        """The kind of a window's document; undecided for any other token sequence."""
        number = self._document.get(tuple(tokens))
        return dict.fromkeys(self.features, None if number is None else self._kinds[number])


def _documents(config: CorpusConfig) -> Iterator[Document]:
    if config.path is None:
        return documents_of_python()
    if config.path.is_dir() or not config.path.suffix:
        return documents_of_folder(config.path)
    return documents_of_file(config.path, config.column, config.kind)


def _windows(text: str, config: CorpusConfig, subject: TaskSubject) -> list[Tokens]:
    """Windows of one document, evenly over it; of those that begin alike, one."""
    starts = [match.end() for match in _STARTS.finditer(text)]
    length = len(subject.prefix) + config.tokens
    found: dict[Tokens, None] = {}
    step = max(1.0, len(starts) / config.per_document)
    for place in range(min(len(starts), config.per_document)):
        start = starts[int(place * step)]
        tokens = tuple(subject.encode(text[start : start + CHARACTERS * config.tokens]))
        if len(tokens) >= length:
            found[tokens[:length]] = None
    return list(found)


def _apart(windows: Sequence[_Window], prefix: int) -> tuple[list[_Window], Counter[tuple[int, int]]]:
    """Windows without text of another document; and pairs of documents with text in common, counted by sequences."""
    owners: defaultdict[Tokens, set[int]] = defaultdict(set)
    for window in windows:
        for gram in _grams(window.tokens[prefix:]):
            owners[gram].add(window.document)
    shared = {gram: sorted(having) for gram, having in owners.items() if len(having) > 1}
    pairs = Counter((having[0], other) for having in shared.values() for other in having[1:])
    return [w for w in windows if not any(gram in shared for gram in _grams(w.tokens[prefix:]))], pairs


def _grams(tokens: Tokens) -> Iterator[Tokens]:
    size = min(GRAM, len(tokens))
    return (tokens[start : start + size] for start in range(len(tokens) - size + 1))
