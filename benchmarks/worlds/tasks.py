"""Two tasks whose every input can be summed over, for small models trained by `train_subject.py`.

addition: "123+456=", read at "=". All 810,000 pairs of numbers from 100 to 999 are equally likely.
counting: "abbab|a:", read at ":". How often the letter behind the bar stands before it. The length is drawn first (8 to
    16), then every letter and the one that is counted: 261,632 inputs.

Both need a tokenizer that has a token for each character.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.random import Generator
from pydantic import Field

from inversescope.errors import UserError
from inversescope.tasks import Accuracy, Labels, TaskConfig, TaskSubject, Tokens, register

LOWEST, HIGHEST = 100, 999  # numbers of three digits
LETTERS = "ab"
SHORTEST, LONGEST = 8, 16  # letters before the bar
NEEDED_ACCURACY = 0.95
PLACES = ("hundreds", "tens", "units")
_ADDITION = re.compile(r"([1-9]\d\d)\+([1-9]\d\d)=")
_COUNTING = re.compile(rf"([{LETTERS}]{{{SHORTEST},{LONGEST}}})\|([{LETTERS}]):")


class _Characters:
    """Texts as tokens and back, one token a character, and the subject's accuracy; common to both tasks."""

    rows = None  # inputs can be drawn without end
    characters: str
    features: tuple[str, ...]

    def __init__(self, config: TaskConfig, subject: TaskSubject):
        self._subject = subject
        self._prefix = subject.prefix
        self._numbers = {character: subject.encode(character)[-1] for character in self.characters}
        self._names = {number: character for character, number in self._numbers.items()}
        if tuple(subject.encode(self.characters)) != self.write(self.characters):
            raise UserError(
                "this task needs a tokenizer with one token a character",
                given=f"{self.characters!r} as {subject.encode(self.characters)}",
                remedy="a model made by benchmarks/worlds/train_subject.py",
            )

    def write(self, text: str) -> Tokens:
        """Tokens of a text, prefix included."""
        return (*self._prefix, *map(self._numbers.__getitem__, text))

    def read(self, tokens: Sequence[int]) -> str:
        """Text of tokens; empty where they are not the prefix and characters of the task."""
        start = len(self._prefix)
        names = [self._names.get(token, "") for token in tokens[start:]]
        return "".join(names) if tuple(tokens[:start]) == self._prefix and all(names) else ""

    def answer(self, tokens: Sequence[int]) -> Tokens:
        """Tokens of the right answer to an input of the prior."""
        raise NotImplementedError

    def draw(self, n: int, rng: Generator) -> list[Tokens]:
        """`n` independent inputs x ~ P."""
        raise NotImplementedError

    def accuracy(self, subject: TaskSubject, n: int, rng: Generator) -> Accuracy:
        """Share of whole answers of which every token is the likeliest behind the right ones before it."""
        prompts = [(x, self.answer(x)) for x in self.draw(n, rng)]
        places = [(number, i) for number, (_, answer) in enumerate(prompts) for i in range(len(answer))]
        rows = [(*prompts[number][0], *prompts[number][1][:i]) for number, i in places]
        best = subject.capture(rows, [], logits=True).logits.argmax(1).tolist()
        wrong = {number for (number, i), token in zip(places, best, strict=True) if token != prompts[number][1][i]}
        return Accuracy.count(n - len(wrong), n, what="share of wholly right answers", needed=NEEDED_ACCURACY)


class AdditionConfig(TaskConfig):
    """Addition of two numbers of three digits."""

    name: Literal["addition"] = Field(default="addition", description="the task: addition of two three-digit numbers")
    highest: int = Field(default=HIGHEST, gt=LOWEST, le=HIGHEST, description="the largest number that is added")


@register(AdditionConfig)
class Addition(_Characters):
    """The task for one subject's tokenizer."""

    name = "addition"
    cut = "the equals sign"
    characters = "0123456789+="
    features = (
        *(f"{place} of {which}" for which in ("a", "b") for place in PLACES),
        *(f"{place} added" for place in PLACES),
        "carry to tens", "carry to hundreds", "first digit", "tens of sum", "units of sum",
    )  # fmt: skip

    def __init__(self, config: AdditionConfig, subject: TaskSubject):
        super().__init__(config, subject)
        self._added = range(LOWEST, config.highest + 1)

    def draw(self, n: int, rng: Generator) -> list[Tokens]:
        return [self.write(f"{a}+{b}=") for a, b in rng.choice(self._added, size=(n, 2)).tolist()]

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        """Every input with its probability."""
        for a, b in itertools.product(self._added, repeat=2):
            yield self.write(f"{a}+{b}="), 1 / len(self._added) ** 2

    def log_prior(self, tokens: Sequence[int]) -> float:
        """ln P(x) in nats; -inf for what is no input of the task."""
        return -2 * math.log(len(self._added)) if self._parse(tokens) else -math.inf

    def labels(self, tokens: Sequence[int]) -> Labels:
        """Digits of both numbers, sums of the digits of each place, carries, digits of the sum."""
        numbers = self._parse(tokens)
        if numbers is None:
            return dict.fromkeys(self.features)
        digits = [[int(digit) for digit in str(number)] for number in numbers]
        added = [sum(pair) for pair in zip(*digits, strict=True)]
        total = str(sum(numbers))
        carries = sum(number % 10 for number in numbers) > 9, sum(number % 100 for number in numbers) > 99
        values = (*digits[0], *digits[1], *added, *map(int, carries), total[0], total[-2], total[-1])
        return dict(zip(self.features, map(str, values), strict=True))

    def answer(self, tokens: Sequence[int]) -> Tokens:
        """Digits of the sum."""
        numbers = self._parse(tokens)
        assert numbers is not None
        return self.write(str(sum(numbers)))[len(self._prefix) :]

    def contrast(self, tokens: Sequence[int]) -> tuple[int, int] | None:
        """First digit of the sum, and the one of the other carry to the hundreds; None where they are the same."""
        numbers = self._parse(tokens)
        if numbers is None:
            return None
        hundreds, carry = sum(number // 100 for number in numbers), sum(number % 100 for number in numbers) > 99
        right, wrong = (str(hundreds + each)[0] for each in (carry, not carry))
        return (self._numbers[right], self._numbers[wrong]) if right != wrong else None

    def _parse(self, tokens: Sequence[int]) -> tuple[int, int] | None:
        found = _ADDITION.fullmatch(self.read(tokens))
        numbers = (int(found[1]), int(found[2])) if found else (0, 0)
        return numbers if max(numbers) in self._added and min(numbers) in self._added else None


class CountingConfig(TaskConfig):
    """Count of a letter in a string."""

    name: Literal["counting"] = Field(default="counting", description="the task: count of a letter in a string")


@register(CountingConfig)
class Counting(_Characters):
    """The task for one subject's tokenizer."""

    name = "counting"
    cut = "the colon"
    characters = f"{LETTERS}|:"
    features = ("letter", "count", "count of other", "length", "first letter", "last letter", "first is letter")

    def draw(self, n: int, rng: Generator) -> list[Tokens]:
        lengths = rng.integers(SHORTEST, LONGEST + 1, size=n).tolist()
        letters = np.array(list(LETTERS))[rng.integers(len(LETTERS), size=(n, LONGEST + 1))].tolist()
        return [self.write(f"{''.join(row[:length])}|{row[-1]}:") for row, length in zip(letters, lengths, strict=True)]

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        """Every input with its probability."""
        for length in range(SHORTEST, LONGEST + 1):
            share = math.exp(self._log_share(length))
            for letters in itertools.product(LETTERS, repeat=length):
                for letter in LETTERS:
                    yield self.write(f"{''.join(letters)}|{letter}:"), share

    def log_prior(self, tokens: Sequence[int]) -> float:
        """ln P(x) in nats; -inf for what is no input of the task."""
        found = self._parse(tokens)
        return self._log_share(len(found[0])) if found else -math.inf

    def labels(self, tokens: Sequence[int]) -> Labels:
        """The letter, its count and the other's, the length of the string, and its first and last letter."""
        found = self._parse(tokens)
        if found is None:
            return dict.fromkeys(self.features)
        string, letter = found
        count = string.count(letter)
        values = letter, count, len(string) - count, len(string), string[0], string[-1], string[0] == letter
        return dict(zip(self.features, map(str, values), strict=True))

    def answer(self, tokens: Sequence[int]) -> Tokens:
        """The count, which is one token."""
        found = self._parse(tokens)
        assert found is not None
        return (self._subject.encode(str(found[0].count(found[1])))[-1],)

    def contrast(self, tokens: Sequence[int]) -> tuple[int, int] | None:
        """The count, and the count of the other letter; None where they are the same."""
        labels = self.labels(tokens)
        right, wrong = labels["count"], labels["count of other"]
        if right is None or wrong is None or right == wrong:
            return None
        return self._subject.encode(right)[-1], self._subject.encode(wrong)[-1]

    def _parse(self, tokens: Sequence[int]) -> tuple[str, str] | None:
        """The string and the letter."""
        found = _COUNTING.fullmatch(self.read(tokens))
        return (found[1], found[2]) if found else None

    @staticmethod
    def _log_share(length: int) -> float:
        return -math.log(LONGEST + 1 - SHORTEST) - (length + 1) * math.log(len(LETTERS))
