"""A question about an entity, asked again and again with other activations at the entity's last token."""

from __future__ import annotations

from collections.abc import Sequence

from inversescope.subject import Subject
from inversescope.subject.patching import Patches, Source
from inversescope.tasks import Question, Tokens
from inversescope.tasks.knowledge import decode, spellings


class Asked:
    """One question and the answers there are.

    Attributes:
        attribute: what is asked for.
        before: the tokens up to the entity's last, at which activations are replaced.
    """

    def __init__(self, subject: Subject, question: Question, answers: Sequence[str]):
        self.attribute = question.attribute
        self.before: Tokens = tuple(subject.encode(question.before))
        self._source = Source(subject, subject.encode(question.prompt), len(self.before) - 1)
        self._spelled = spellings(subject, question.prompt, answers)

    @staticmethod
    def possible(subject: Subject, question: Question) -> bool:
        """Whether the entity's last token is the prompt's: it may share one with what follows."""
        before, whole = subject.encode(question.before), subject.encode(question.prompt)
        return whole[: len(before)] == before

    def answers(self, rows: Sequence[Patches]) -> list[str | None]:
        """The answer of greedy decoding among those there are, with the sites of each row set to its values."""

        def read(places: Sequence[int], written: Sequence[Tokens]):
            return self._source.logits([rows[place] for place in places], written)

        return decode(read, len(rows), self._spelled)
