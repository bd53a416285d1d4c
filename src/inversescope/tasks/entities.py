"""Entities in contexts, read at the entity's last token: "City: Paris". The common part of `cities` and `ravel`.

The prior: a context, and independently of it one of the entities that the subject knows, all equally likely. A context
is the text before the entity; the rest of a prompt lies after the cut. So prompts that differ only there are one
context, with their joint probability.

The labels are those of the entity with which a text ends, the longest that is listed, whether or not the subject knows
it and whatever stands before; the context is decided if it is one of the prior's.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

from numpy.random import Generator

from inversescope.errors import UserError
from inversescope.tasks.known_answers import choices
from inversescope.tasks.task import Accuracy, Labels, Question, TaskSubject, Tokens

SLOT = "%s"  # where the entity stands in a prompt
CONTEXT = "context"
NEEDED_ACCURACY = 0.8
_MEASURED = "share of questions in another wording to which greedy decoding among all values gives the entity's own"


def right_answers(
    subject: TaskSubject,
    table: Mapping[str, Labels],
    attribute: str,
    prompts: Sequence[str],
    entities: Sequence[str] | None = None,
) -> list[bool]:
    """For each entity (None: all of the table) whether the subject gives its value of the attribute after every one of
    the prompts; the values of the whole table are the answers there are. One without weights is taken to know all.
    """
    listed = list(table) if entities is None else entities
    if subject.untrained:
        return [table[entity].get(attribute) is not None for entity in listed]
    answers = values_of(table, attribute)
    right = [True] * len(listed)
    for prompt in prompts:
        given = choices(subject, [prompt.replace(SLOT, entity) for entity in listed], answers)
        own = (table[entity].get(attribute) for entity in listed)
        right = [
            before and value is not None and answer == value
            for before, answer, value in zip(right, given, own, strict=True)
        ]
    return right


def values_of(table: Mapping[str, Labels], attribute: str) -> list[str]:
    """Every value that an attribute has in the table."""
    return list(dict.fromkeys(value for row in table.values() if (value := row.get(attribute)) is not None))


class EntityTask:
    """The task for one subject's tokenizer.

    Args:
        kind: what an entity is called, in a label and in messages.
        prompts: the prompts whose contexts are the prior's, each with one `%s`.
        table: every entity with its features.
        questions: for each attribute of which the subject must know the value, the prompts that ask for it: an
            entity is known if the answer to all but the last is right, and the last measures the accuracy.
    """

    name: str
    cut = "the entity's last token"
    rows = None

    def __init__(
        self,
        subject: TaskSubject,
        kind: str,
        prompts: Sequence[str],
        table: Mapping[str, Labels],
        questions: Mapping[str, Sequence[str]],
    ):
        self._subject, self._kind, self._table, self._questions = subject, kind, table, questions
        starts = Counter(prompt.split(SLOT)[0] for prompt in prompts)
        self._contexts = {start: count / len(prompts) for start, count in starts.items()}
        self._longest = max(map(len, table))
        self.features = (kind, *next(iter(table.values())), CONTEXT)
        self._read = lru_cache(maxsize=65_536)(self._parse)
        self._input = lru_cache(maxsize=65_536)(lambda text: tuple(subject.encode(text)))

    @cached_property
    def known(self) -> tuple[str, ...]:
        """The entities of which the subject knows every attribute in question: those of the prior.

        Raises:
            UserError: they are fewer than two.
        """
        right = {
            name: right_answers(self._subject, self._table, name, prompts[:-1])
            for name, prompts in self._questions.items()
        }
        entities = tuple(name for name, *answers in zip(self._table, *right.values(), strict=True) if all(answers))
        if len(entities) < 2:
            shares = ", ".join(f"{name} of {sum(answers)}" for name, answers in right.items())
            raise UserError(
                f"the subject knows too few entities of this kind ({self._kind})",
                given=f"of {len(self._table)} it knows {shares}; all of that of {len(entities)}",
                remedy="ask for fewer attributes, or take another subject",
            )
        return entities

    def draw(self, n: int, rng: Generator) -> list[Tokens]:
        """`n` independent inputs x ~ P, prefix included."""
        starts, chances = list(self._contexts), list(self._contexts.values())
        contexts = rng.choice(len(starts), size=n, p=chances).tolist()
        entities = rng.integers(len(self.known), size=n).tolist()
        return [self._input(starts[c] + self.known[e]) for c, e in zip(contexts, entities, strict=True)]

    def labels(self, tokens: Sequence[int]) -> Labels:
        """The features of any token sequence; every one undecided where it does not end with an entity."""
        text = self._subject.decode(tokens)
        entity = self._read(text)
        if entity is None:
            return dict.fromkeys(self.features)
        start = text[: len(text) - len(entity)]
        context = f"{start}[{self._kind}]" if start in self._contexts else None
        return {self._kind: entity, **self._table[entity], CONTEXT: context}

    @cached_property
    def answers(self) -> dict[str, list[str]]:
        """Attributes in question, with their values in the table."""
        return {attribute: values_of(self._table, attribute) for attribute in self._questions}

    def questions(self, tokens: Sequence[int]) -> list[Question]:
        """Every prompt that asks for an attribute of the entity with which a token sequence ends; none without one."""
        entity = self._read(self._subject.decode(tokens))
        if entity is None:
            return []
        parts = ((name, prompt.partition(SLOT)) for name, prompts in self._questions.items() for prompt in prompts)
        return [Question(name, before + entity, after) for name, (before, _, after) in parts]

    def log_prior(self, tokens: Sequence[int]) -> float:
        """ln P(x) in nats, exact; -inf outside the support."""
        text = self._subject.decode(tokens)
        if self._input(text) != tuple(tokens):
            return -math.inf
        contexts = (
            self._contexts.get(text.removesuffix(name), 0) for name in self._endings(text) if name in self.known
        )
        probability = sum(contexts) / len(self.known)
        return math.log(probability) if probability else -math.inf

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        """Every distinct input with its probability P(x). The whole support is held in memory."""
        support: defaultdict[Tokens, float] = defaultdict(float)
        for start, chance in self._contexts.items():
            for entity in self.known:
                support[self._input(start + entity)] += chance / len(self.known)
        yield from support.items()

    def accuracy(self, subject: TaskSubject, n: int, rng: Generator) -> Accuracy:
        """Over `n` questions: an entity of the prior, and a prompt that did not decide which these are."""
        last = [(name, prompts[-1:]) for name, prompts in self._questions.items()]
        drawn: defaultdict[int, list[str]] = defaultdict(list)
        for which, entity in zip(rng.integers(len(last), size=n), rng.integers(len(self.known), size=n), strict=True):
            drawn[int(which)].append(self.known[entity])
        right = sum(
            sum(right_answers(subject, self._table, *last[which], entities)) for which, entities in drawn.items()
        )
        what = f"{_MEASURED} ({', '.join(self._questions)}; {len(self.known)} of {len(self._table)} entities are known)"
        return Accuracy.count(right, n, what=what, needed=NEEDED_ACCURACY)

    def contrast(self, tokens: Sequence[int]) -> None:
        """None: what follows an entity is no answer."""
        return None

    def _parse(self, text: str) -> str | None:
        return next(self._endings(text), None)

    def _endings(self, text: str) -> Iterator[str]:
        """The entities with which a text ends as whole words, the longest first."""
        for length in range(min(self._longest, len(text)), 0, -1):
            before = text[-length - 1 : -length]
            if text[-length:] in self._table and not before.isalnum():
                yield text[-length:]
