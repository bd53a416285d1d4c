"""Sentence templates of indirect object identification, as tokens with slots, and their parser.

A template here is one sentence in one order (ABBA or BABA) up to a cut. Slots: A the indirect object, B the subject
(named twice), PLACE and OBJECT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from inversescope.tasks.task import Labels, TaskSubject, Tokens

FEATURES = ("indirect object", "subject", "order", "duplicate position", "template", "place", "object")
ORDERS = ("ABBA", "BABA")
IO, SUBJECT, PLACE, OBJECT = "A", "B", "PLACE", "OBJECT"
_WORD = {IO: "[A-Z][A-Za-z]*", SUBJECT: "[A-Z][A-Za-z]*", PLACE: "[a-z]+", OBJECT: "[a-z]+"}
_ANCHOR = "Then"  # a word to stand before a piece of text, so that it is tokenized as it is inside a sentence


@dataclass(frozen=True)
class Piece:
    """A slot (" [B]", with its space) or the words between two slots, with their tokens."""

    text: str
    slot: str | None = None
    tokens: Tokens = ()


@dataclass(frozen=True)
class SentenceTemplate:
    """A sentence in one order, up to a cut, for one tokenizer. The first piece holds the subject's prefix."""

    sentence: str
    order: str
    pieces: tuple[Piece, ...]

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """The slots as they come, one per mention."""
        return tuple(piece.slot for piece in self.pieces if piece.slot)

    @cached_property
    def duplicate_position(self) -> str:
        """Place of the subject's first mention among the words of the text, the first word being 1."""
        before = "".join(piece.text for piece in self.pieces[: self.pieces.index(Piece(f" [{SUBJECT}]", SUBJECT))])
        return f"word {len(before.split()) + 1}"

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Regular expression of a text that fits the template, one group per mention: any capitalised word is a name,
        any word in small letters a place or an object.
        """
        return re.compile("".join(f" ({_WORD[p.slot]})" if p.slot else re.escape(p.text) for p in self.pieces))

    def text(self, fill: Mapping[str, str]) -> str:
        """The text with the slots filled: slot -> word."""
        return "".join(f" {fill[piece.slot]}" if piece.slot else piece.text for piece in self.pieces)

    def compose(self, spelling: Mapping[str, Tokens]) -> Tokens:
        """The input with the slots filled: slot -> tokens of the word with a leading space."""
        tokens: list[int] = []
        for piece in self.pieces:
            tokens += spelling[piece.slot] if piece.slot else piece.tokens
        return tuple(tokens)

    def read(self, text: str) -> Reading | None:
        """The text as this template reads it, None if it does not fit.

        Mentions that differ leave a slot undecided; so does an undecided subject, or its own name, the indirect object.
        """
        match = self.pattern.fullmatch(text)
        if match is None:
            return None
        fill: dict[str, str | None] = {}
        for slot, word in zip(self.slots, match.groups(), strict=True):
            fill[slot] = word if fill.get(slot, word) == word else None
        if IO in fill and (fill[SUBJECT] is None or fill[SUBJECT] == fill[IO]):
            fill[IO] = None
        return Reading(self, fill)


@dataclass(frozen=True)
class Reading:
    """A text as read by a template that it fits: slot -> word, None where the text contradicts itself."""

    template: SentenceTemplate
    fill: Mapping[str, str | None]

    @property
    def contradictions(self) -> int:
        """Number of slots on which the text contradicts itself."""
        return sum(word is None for word in self.fill.values())

    @property
    def labels(self) -> Labels:
        """Every feature, None where undecided. Two names that do not make a subject and an indirect object have no
        order and no position; an indirect object that lies after the cut does not hinder it.
        """
        named = IO not in self.fill or self.fill[IO] is not None
        values = (
            self.fill.get(IO),
            self.fill.get(SUBJECT),
            self.template.order if named else None,
            self.template.duplicate_position if named else None,
            self.template.sentence,
            self.fill.get(PLACE),
            self.fill.get(OBJECT),
        )
        return dict(zip(FEATURES, values, strict=True))


def read(templates: Sequence[SentenceTemplate], text: str) -> list[Reading]:
    """The readings of a text that have the fewest contradictions; none if it fits no template."""
    readings = [reading for template in templates if (reading := template.read(text))]
    fewest = min((reading.contradictions for reading in readings), default=0)
    return [reading for reading in readings if reading.contradictions == fewest]


def inside(subject: TaskSubject, text: str) -> Tokens:
    """The tokens of a piece of text that follows a word."""
    return tuple(subject.encode(_ANCHOR + text)[len(subject.encode(_ANCHOR)) :])


def make_template(sentence: str, order: str, cut: str, subject: TaskSubject) -> SentenceTemplate:
    """The template of a sentence (given in the order BABA) in one order, up to END, S2 or S1+1."""
    ordered = sentence.replace("[B] and [A]", "[A] and [B]", 1) if order == "ABBA" else sentence
    start, *rest = re.split(r" \[([A-Z]+)\]", ordered)
    pieces = [Piece(start, tokens=tuple(subject.encode(start)))]
    for index, text in enumerate(rest):  # slots and the texts between them in turn
        pieces.append(Piece(f" [{text}]", slot=text) if index % 2 == 0 else Piece(text, tokens=inside(subject, text)))
    first, second = (index for index, piece in enumerate(pieces) if piece.slot == SUBJECT)
    if cut == "S2":
        return SentenceTemplate(sentence, order, tuple(pieces[: second + 1]))
    if cut == "S1+1":
        token = pieces[first + 1].tokens[:1]
        text = subject.decode([*subject.encode(_ANCHOR), *token])[len(_ANCHOR) :]
        return SentenceTemplate(sentence, order, (*pieces[: first + 1], Piece(text, tokens=token)))
    return SentenceTemplate(sentence, order, tuple(pieces[:-2]))  # END: without the answer, and the nothing after it
