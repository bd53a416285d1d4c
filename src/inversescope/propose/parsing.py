"""Parsing of replies into hypotheses and answers. Unreadable parts are counted, and never become either."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from inversescope.errors import UserError

Kind = Literal["expression", "question"]
LABELS = {"yes": "yes", "no": "no", "cannot tell": None}  # label of each answer


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters")
    return text


_Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300), AfterValidator(_printable)
]


class _Item(BaseModel):
    model_config = ConfigDict(strict=True)

    words: _Text
    expression: _Text | None = None
    question: _Text | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> _Item:
        if (self.expression is None) == (self.question is None):
            raise ValueError("exactly one of expression and question is needed")
        return self


@dataclass(frozen=True)
class Hypothesis:
    """A claim in words, and the feature that tests it: the source of an expression, or a question.

    `refused` is the reason why an expression cannot be used; null where it can.
    """

    words: str
    kind: Kind
    feature: str
    refused: str | None = None


@dataclass(frozen=True)
class Proposed:
    """Hypotheses of a reply. `malformed` counts items that are no hypothesis, `unparsed` replies that cannot be read;
    `problem` is the reason where there is no hypothesis.
    """

    hypotheses: list[Hypothesis]
    malformed: int
    problem: str | None
    unparsed: int = 0


def read_proposals(text: str | None, count: int, check: Callable[[str], object]) -> Proposed:
    """The first `count` hypotheses of a reply, each feature once.

    Args:
        check: raises a `UserError` where an expression cannot be used.
    """
    items = (_json_object(text) or {}).get("hypotheses")
    if not isinstance(items, list):
        return Proposed([], 0, 'the reply is no JSON object with a list "hypotheses"', unparsed=1)
    hypotheses: dict[str, Hypothesis] = {}
    malformed = 0
    for item in items[:count]:
        try:
            read = _Item.model_validate(item)
        except ValidationError:
            malformed += 1
            continue
        hypothesis = _hypothesis(read, check)
        hypotheses.setdefault(hypothesis.feature.casefold(), hypothesis)
    return Proposed(list(hypotheses.values()), malformed, None)


def read_answers(text: str | None, texts: Sequence[str]) -> dict[str, str | None]:
    """The answer about each text, a key of `LABELS`; None where it cannot be read."""
    answers = (_json_object(text) or {}).get("answers")
    given: dict[str, Any] = answers if isinstance(answers, dict) else {}
    return {question: _answer(given.get(str(number))) for number, question in enumerate(texts, start=1)}


def _hypothesis(item: _Item, check: Callable[[str], object]) -> Hypothesis:
    if item.expression is None:
        assert item.question is not None
        return Hypothesis(item.words, "question", item.question)
    try:
        check(item.expression)
    except UserError as error:
        return Hypothesis(item.words, "expression", item.expression, str(error))
    return Hypothesis(item.words, "expression", item.expression)


def _answer(value: object) -> str | None:
    word = value.strip().rstrip(".").casefold() if isinstance(value, str) else None
    return word if word in LABELS else None


def _json_object(text: str | None) -> dict[str, Any] | None:
    """The JSON object in a reply, which may stand in a code fence, after thoughts, or between words."""
    reply = re.sub(r"\A\s*<think>.*?</think>", "", text or "", flags=re.S)
    try:
        parsed = json.loads(reply[reply.find("{") : reply.rfind("}") + 1])
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
