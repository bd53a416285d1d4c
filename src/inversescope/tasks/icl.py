"""In-context learning: "hot -> cold", "big -> small", "fast ->" and what comes next.

The prior: a task, a number of examples, and that many words of the task and one more as the query, all different, in
any order; each equally likely. Cuts:

    END     "... fast ->"   before the answer
    query   "... fast"      at the last token of the query
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

from numpy.random import Generator
from pydantic import Field, field_validator

from inversescope.errors import UserError
from inversescope.tasks.icl_words import KIND_OF, PAIRS
from inversescope.tasks.known_answers import answer_tokens
from inversescope.tasks.registry import register
from inversescope.tasks.task import Accuracy, Labels, TaskConfig, TaskSubject, Tokens

FEATURES = ("task", "kind of word", "query", "answer", "examples")
ARROW = " ->"
NEEDED_ACCURACY = 0.7
ENUMERABLE = 5_000_000  # inputs; a list of more does not fit into the memory of a laptop
_EXAMPLE = re.compile(rf"(\w+){ARROW} (\w+)")
_MEASURED = "share of prompts after which the answer's first token is the likeliest of all"


class ICLConfig(TaskConfig):
    """In-context learning: few-shot prompts of many tasks (antonyms, plurals, capitals, ...) in one form."""

    name: Literal["icl"] = Field(default="icl", description="the task: in-context learning")
    cut: Literal["END", "query"] = Field(
        default="END", description="end of the inputs: before the answer, or at the query"
    )
    tasks: tuple[str, ...] = Field(
        default=tuple(PAIRS), min_length=2, description="names of the tasks, 2 or more of the default"
    )
    examples: tuple[Annotated[int, Field(ge=1, le=24)], ...] = Field(
        default=(3, 5), min_length=1, description="numbers of examples before the query; all are equally frequent"
    )
    words: int = Field(default=24, ge=2, le=24, description="number of words of each task, 2 to 24")
    force: bool = Field(default=False, description="run the task even if the subject is too inaccurate at it")

    @field_validator("tasks")
    @classmethod
    def _there_are(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in tasks if name not in PAIRS]:
            raise ValueError(f"there is no task {', '.join(unknown)} (allowed: {', '.join(PAIRS)})")
        if len(set(tasks)) < len(tasks):
            raise ValueError(f"a task is named twice in {list(tasks)}")
        return tasks

    @field_validator("examples")
    @classmethod
    def _each_once(cls, examples: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(examples)) < len(examples):
            raise ValueError(f"a number is named twice in {list(examples)}")
        return examples


class Prompt(NamedTuple):
    """A text as it is read: the examples as word and answer, and the query."""

    examples: tuple[tuple[str, str], ...]
    query: str


@register(ICLConfig)
class ICL:
    """The task for one subject's tokenizer.

    Raises:
        UserError: there are fewer words than a prompt needs, or the tokenizer does not give a prompt back.
    """

    name = "icl"
    rows = None
    features = FEATURES

    def __init__(self, config: ICLConfig, subject: TaskSubject):
        self.cut: str = config.cut
        self._examples = config.examples
        self._pairs = {task: dict(itertools.islice(PAIRS[task].items(), config.words)) for task in config.tasks}
        self._subject = subject
        self._ending = ARROW if config.cut == "END" else ""
        self._encode = lru_cache(maxsize=65_536)(lambda text: tuple(subject.encode(text)))
        if config.words <= max(config.examples):
            raise UserError(
                "there are fewer words than a prompt needs",
                given=f"words = {config.words}, examples = {max(config.examples)}",
                allowed=f"examples up to {config.words - 1}",
            )
        for task, pairs in self._pairs.items():
            text = self._text(task, list(pairs)[: min(config.examples) + 1])
            if subject.decode(subject.encode(text)) != text:
                raise UserError("the subject's tokenizer does not give a prompt of this task back", given=repr(text))

    def draw(self, n: int, rng: Generator) -> list[Tokens]:
        """`n` independent inputs x ~ P, prefix included, cut applied."""
        return [self._encode(self._text(*drawn)) for drawn in self._draw(n, rng)]

    def labels(self, tokens: Sequence[int]) -> Labels:
        """The features of any token sequence, None where undecided.

        The task is that of which more than half of the examples are; where that holds for two it is undecided. The
        answer is what that task makes of the query, and undecided if the query is none of its words. A text that does
        not end in a query after at least one example is undecided throughout.
        """
        prompt = self._read(self._subject.decode(tokens))
        if prompt is None:
            return dict.fromkeys(FEATURES)
        fits = Counter(task for pair in prompt.examples for task in PAIRS if PAIRS[task].get(pair[0]) == pair[1])
        fitting = [task for task, count in fits.items() if 2 * count > len(prompt.examples)]
        task = fitting[0] if len(fitting) == 1 else None
        kinds = {KIND_OF[name] for name in PAIRS if prompt.query in PAIRS[name]}
        answer = PAIRS[task].get(prompt.query) if task else None
        kind = kinds.pop() if len(kinds) == 1 else None
        return dict(zip(FEATURES, (task, kind, prompt.query, answer, str(len(prompt.examples))), strict=True))

    def log_prior(self, tokens: Sequence[int]) -> float:
        """ln P(x) in nats, exact; -inf outside the support."""
        text = self._subject.decode(tokens)
        prompt = self._read(text)
        if prompt is None or len(prompt.examples) not in self._examples or self._encode(text) != tuple(tokens):
            return -math.inf
        words = [word for word, _ in prompt.examples] + [prompt.query]
        fitting = [
            task
            for task, pairs in self._pairs.items()
            if len(set(words)) == len(words)
            and all(word in pairs for word in words)
            and all(pairs[word] == answer for word, answer in prompt.examples)
        ]
        probability = sum(self._probability(task, len(prompt.examples)) for task in fitting)
        return math.log(probability) if probability else -math.inf

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        """Every distinct input with its probability P(x).

        Raises:
            UserError: there are too many.
        """
        total = sum(math.perm(len(pairs), k + 1) for pairs in self._pairs.values() for k in self._examples)
        if total > ENUMERABLE:
            raise UserError(
                "this prior is too large to be enumerated",
                given=f"{total:,} inputs",
                allowed=f"up to {ENUMERABLE:,}",
                remedy="fewer words, tasks or examples, or numbers for collect.train and collect.pool",
            )
        seen: set[Tokens] = set()
        for (task, pairs), k in itertools.product(self._pairs.items(), self._examples):
            for words in itertools.permutations(pairs, k + 1):
                tokens = self._encode(self._text(task, words))
                if tokens not in seen:  # two tasks can share a prompt
                    seen.add(tokens)
                    yield tokens, math.exp(self.log_prior(tokens))

    def accuracy(self, subject: TaskSubject, n: int, rng: Generator) -> Accuracy:
        """Over `n` whole prompts, whatever the cut; `what` says it for each task, too."""
        drawn = list(self._draw(n, rng))
        prompts = [self._text(task, words, ARROW) for task, words in drawn]
        logits = subject.capture([self._encode(prompt) for prompt in prompts], [], logits=True).logits
        right: Counter[str] = Counter()
        for (task, words), prompt, row in zip(drawn, prompts, logits, strict=True):
            right[task] += answer_tokens(subject, prompt, self._pairs[task][words[-1]])[:1] == (int(row.argmax()),)
        counts = Counter(task for task, _ in drawn)
        by_task = ", ".join(f"{task} {right[task]} of {counts[task]}" for task in self._pairs)
        return Accuracy.count(right.total(), n, what=f"{_MEASURED} ({by_task})", needed=NEEDED_ACCURACY)

    def contrast(self, tokens: Sequence[int]) -> tuple[int, int] | None:
        """The answer's first token, and that of what another task makes of the query; None where there is none, or the
        cut is not before the answer.
        """
        labels, text = self.labels(tokens), self._subject.decode(tokens)
        if self.cut != "END" or labels["answer"] is None:
            return None
        right = answer_tokens(self._subject, text, labels["answer"])[:1]
        others = (PAIRS[task][labels["query"] or ""] for task in PAIRS if labels["query"] in PAIRS[task])
        wrong = next((start for word in others if (start := answer_tokens(self._subject, text, word)[:1]) != right), ())
        return (right[0], wrong[0]) if right and wrong else None

    def _draw(self, n: int, rng: Generator) -> Iterator[tuple[str, list[str]]]:
        """The task and its words, the query last."""
        tasks, numbers = list(self._pairs), rng.integers((len(self._pairs), len(self._examples)), size=(n, 2)).tolist()
        for which, count in numbers:
            words = list(self._pairs[tasks[which]])
            chosen = rng.choice(len(words), size=self._examples[count] + 1, replace=False)
            yield tasks[which], [words[index] for index in chosen]

    def _text(self, task: str, words: Sequence[str], ending: str | None = None) -> str:
        *shown, query = words
        lines = [f"{word}{ARROW} {self._pairs[task][word]}" for word in shown]
        return "\n".join([*lines, query + (self._ending if ending is None else ending)])

    def _read(self, text: str) -> Prompt | None:
        *lines, last = text.split("\n")
        examples = [_EXAMPLE.fullmatch(line) for line in lines]
        query = re.fullmatch(rf"(\w+){self._ending}", last)
        if not examples or query is None or not all(examples):
            return None
        return Prompt(tuple((match[1], match[2]) for match in examples if match), query[1])

    def _probability(self, task: str, examples: int) -> float:
        return 1 / (len(self._pairs) * len(self._examples) * math.perm(len(self._pairs[task]), examples + 1))
