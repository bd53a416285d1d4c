"""Indirect object identification: "Then, Mary and John went to the store. John gave a drink to" ... " Mary".

The prior is uniform: a template, an order (subject first BABA, or second ABBA), an ordered pair of distinct names, a
place and an object are drawn independently; a template that has no place or no object ignores it. Names are single
tokens of the tokenizer at hand; places and objects need not be.

The duplicate position is the place of the subject's first mention among the words: the output of duplicate-token heads.
It is left out where the templates in use begin so much alike that it follows from the order.

Cuts, and the features that the text up to there decides:

    END    "... John gave a drink to"   every feature (place and object only in the templates that mention them).
    S2     "... store. John"            all but the object, unless it comes before; templates that differ only after the
                                        cut ("decided to give it" / "give the ring") are one.
    S1+1   "Then, John and"  (BABA)     one token after the first mention of the subject. The subject is the last name
           "Then, Mary and John went"   and the order follows from where the text ends, because the cut is part of the
                             (ABBA)     prior. The indirect object has been named in ABBA only; in BABA it is undecided.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Literal, Self

from numpy.random import Generator
from pydantic import Field, model_validator

from inversescope.errors import UserError
from inversescope.tasks.ioi_templates import (
    FEATURES,
    IO,
    OBJECT,
    ORDERS,
    PLACE,
    SUBJECT,
    Reading,
    SentenceTemplate,
    inside,
    make_template,
    read,
)
from inversescope.tasks.ioi_words import NAMES, OBJECTS, PLACES, TEMPLATES
from inversescope.tasks.registry import register
from inversescope.tasks.task import Accuracy, Labels, TaskConfig, TaskSubject, Tokens

NEEDED_ACCURACY = 0.9
_MEASURED = "share of prompts after which the indirect object's name has a higher logit than the subject's name"
Cut = Literal["END", "S2", "S1+1"]
_Count = Annotated[int, Field(ge=1, le=len(TEMPLATES))]


class IOIConfig(TaskConfig):
    """Indirect object identification with the templates and words of Wang et al. 2022 (arXiv 2211.00593)."""

    name: Literal["ioi"] = Field(default="ioi", description="the task: indirect object identification")
    cut: Cut = Field(
        default="END",
        description="end of the inputs. `END`: before the answer; `S2`: after the second mention of the subject; "
        "`S1+1`: one token after its first mention",
    )
    templates: _Count | tuple[_Count, ...] | None = Field(
        default=None,
        description=f"number of templates of Wang et al., from the first, or a list of them, 1 to {len(TEMPLATES)}; "
        "not set: all",
    )
    names: int = Field(
        default=30, ge=2, le=len(NAMES), description=f"number of names, 2 to {len(NAMES)}; each is a single token"
    )
    places: int = Field(default=len(PLACES), ge=1, le=len(PLACES), description=f"number of places, 1 to {len(PLACES)}")
    objects: int = Field(
        default=len(OBJECTS), ge=1, le=len(OBJECTS), description=f"number of objects, 1 to {len(OBJECTS)}"
    )
    force: bool = Field(default=False, description="run the task even if the subject is too inaccurate at it")

    @model_validator(mode="after")
    def _each_template_once(self) -> Self:
        if isinstance(self.templates, tuple) and not 0 < len(set(self.templates)) == len(self.templates):
            raise ValueError(f"templates name at least one, and each of them once, not {list(self.templates)}")
        return self

    @property
    def sentences(self) -> tuple[str, ...]:
        """The templates that are used."""
        if isinstance(self.templates, tuple):
            return tuple(TEMPLATES[number - 1] for number in self.templates)
        return TEMPLATES[: self.templates]


@register(IOIConfig)
class IOI:
    """The task for one subject's tokenizer.

    Raises:
        UserError: the tokenizer has too few single-token names, or does not split the prompts word by word.
    """

    name = "ioi"
    rows = None

    def __init__(self, config: IOIConfig, subject: TaskSubject):
        names = _single_token_names(config.names, subject)
        places = {word: inside(subject, f" {word}") for word in PLACES[: config.places]}
        objects = {word: inside(subject, f" {word}") for word in OBJECTS[: config.objects]}
        self.cut: str = config.cut
        self._words = {IO: names, SUBJECT: names, PLACE: places, OBJECT: objects}
        ordered = list(itertools.product(config.sentences, ORDERS))
        self._prompts = [make_template(sentence, order, "END", subject) for sentence, order in ordered]
        self._templates = [make_template(sentence, order, config.cut, subject) for sentence, order in ordered]
        self._check_tokenizer(subject)

        def readings(tokens: Tokens) -> list[Reading]:
            return read(self._templates, subject.decode(tokens))

        self._readings = lru_cache(maxsize=65_536)(readings)
        examples = [self.labels(template.compose(next(self._spellings(template)))) for template in self._templates]
        self.features = tuple(name for name in FEATURES if any(labels[name] is not None for labels in examples))
        if len({(template.order, template.duplicate_position) for template in self._templates}) == len(
            ORDERS
        ):  # one follows from the other
            self.features = tuple(name for name in self.features if name != "duplicate position")

    def draw(self, n: int, rng: Generator) -> list[Tokens]:
        """`n` independent inputs x ~ P, prefix included, cut applied."""
        return [self._templates[which].compose(spelling) for which, spelling in self._draw(n, rng)]

    def labels(self, tokens: Sequence[int]) -> Labels:
        """The features of any token sequence, None where undecided.

        A text is read by every template and order whose words it fits up to the cut, whatever names, place and object
        stand in the slots: they need not be in the prior's lists. The readings with the fewest contradictions count
        (a subject mentioned under two names, an indirect object that is the subject), and a feature is decided if they
        agree on it. A text that fits none (cut short, run on, words missing) is undecided throughout.
        """
        readings = [reading.labels for reading in self._readings(tuple(tokens))]
        values = {name: {labels[name] for labels in readings} for name in FEATURES}
        return {name: distinct.pop() if len(distinct) == 1 else None for name, distinct in values.items()}

    def log_prior(self, tokens: Sequence[int]) -> float:
        """ln P(x) in nats, exact: an input that several templates share has their sum; -inf outside the support."""
        tokens = tuple(tokens)
        probability = 0.0
        for reading in self._readings(tokens):
            spelling = {slot: self._words[slot].get(word or "", ()) for slot, word in reading.fill.items()}
            if all(spelling.values()) and reading.template.compose(spelling) == tokens:
                probability += self._probability(reading.template)
        return math.log(probability) if probability else -math.inf

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        """Every distinct input with its probability P(x). The whole support is held in memory."""
        support: defaultdict[Tokens, float] = defaultdict(float)
        for template in self._templates:
            for spelling in self._spellings(template):
                support[template.compose(spelling)] += self._probability(template)
        yield from support.items()

    def contrast(self, tokens: Sequence[int]) -> tuple[int, int] | None:
        """The indirect object and the subject; None where the cut is not END, or a name is not one of the prior's."""
        labels, names = self.labels(tokens), self._words[IO]
        right, wrong = (names.get(labels[name] or "") for name in ("indirect object", "subject"))
        return None if self.cut != "END" or right is None or wrong is None else (right[0], wrong[0])

    def accuracy(self, subject: TaskSubject, n: int, rng: Generator) -> Accuracy:
        """Over `n` whole prompts, whatever the cut: how often the indirect object is likelier than the subject."""
        drawn = list(self._draw(n, rng))
        inputs = [self._prompts[which].compose(spelling) for which, spelling in drawn]
        logits = subject.capture(inputs, [], logits=True).logits
        right = sum(
            bool(row[spelling[IO][0]] > row[spelling[SUBJECT][0]])
            for row, (_, spelling) in zip(logits, drawn, strict=True)
        )
        return Accuracy.count(right, n, what=_MEASURED, needed=NEEDED_ACCURACY)

    def _draw(self, n: int, rng: Generator) -> Iterator[tuple[int, dict[str, Tokens]]]:
        """Number of the template, and the tokens of its slots."""
        names, places, objects = (list(self._words[slot].values()) for slot in (IO, PLACE, OBJECT))
        sizes = (len(self._templates), len(names), len(names) - 1, len(places), len(objects))
        for which, io, other, where, thing in rng.integers(sizes, size=(n, len(sizes))).tolist():
            subject = other + (other >= io)  # uniform over the names that are not the indirect object
            yield which, {IO: names[io], SUBJECT: names[subject], PLACE: places[where], OBJECT: objects[thing]}

    def _spellings(self, template: SentenceTemplate) -> Iterator[dict[str, Tokens]]:
        """Every way to fill the template's slots."""
        slots = sorted(set(template.slots))
        for chosen in itertools.product(*(self._words[slot].values() for slot in slots)):
            spelling = dict(zip(slots, chosen, strict=True))
            if spelling.get(IO) != spelling[SUBJECT]:
                yield spelling

    def _probability(self, template: SentenceTemplate) -> float:
        """The probability of each way to fill the template, with the template's own."""
        fills = math.prod(len(self._words[slot]) - (slot == IO) for slot in set(template.slots))
        return 1 / (len(self._templates) * fills)

    def _check_tokenizer(self, subject: TaskSubject) -> None:
        """Prompts are put together from pieces tokenized apart: that must be what tokenizing the whole text gives."""
        words = {slot: itertools.cycle(choices) for slot, choices in self._words.items()}
        next(words[SUBJECT])
        for _ in range(max(len(choices) for choices in self._words.values())):
            fill = {slot: next(choices) for slot, choices in words.items()}
            spelling = {slot: self._words[slot][word] for slot, word in fill.items()}
            for prompt, template in zip(self._prompts, self._templates, strict=True):
                whole = tuple(subject.encode(f"{prompt.text(fill)} {fill[IO]}"))
                if whole != prompt.compose(spelling) + spelling[IO] or not (
                    subject.decode(template.compose(spelling)) == template.text(fill)
                ):
                    raise UserError(
                        "the subject's tokenizer does not split a prompt of this task into its words and back",
                        given=f"{prompt.text(fill)!r} gives {subject.decode(whole)!r}",
                        remedy="use a subject whose tokens are words with their leading space",
                    )


def _single_token_names(count: int, subject: TaskSubject) -> dict[str, Tokens]:
    """The first `count` names that are one token after a space, no two of them the same."""
    single: dict[Tokens, str] = {}
    for name in NAMES:
        tokens = inside(subject, f" {name}")
        if len(tokens) == 1:
            single.setdefault(tokens, name)
    if len(single) < count:
        raise UserError(
            "the subject's tokenizer has too few names that are a single token",
            given=f"names = {count}",
            allowed=f"2 to {len(single)}" if len(single) > 1 else f"this tokenizer has {len(single)}: no IOI with it",
        )
    return {name: tokens for tokens, name in itertools.islice(single.items(), count)}
