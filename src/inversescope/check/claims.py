"""Claims about activations, one a line of a JSONL file, and the executable feature that a claim is, where it is one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from inversescope.bounds import read_text
from inversescope.check.words import expression_of
from inversescope.errors import UserError
from inversescope.features import Expression, parse
from inversescope.position import LAST

LONGEST = 1000  # characters of a claim: it is a part of every question to a judge
FORM = '{"text": "...", "site": "resid_post.5", "claim": "..."}, and "position", "feature", "value", "examples"'
YES = "yes"
_PATTERN = re.compile(r"/(.+)/", re.DOTALL)
_Text = Annotated[str, StringConstraints(min_length=1)]
_Claim = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST)]


class _Examples(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    yes: list[_Text]
    no: list[_Text]


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    claim: _Claim
    site: _Text
    text: _Text | list[dict[str, Any]] | None = None
    vector: _Text | list[float] | None = None
    position: int | _Text = LAST
    feature: _Text | None = None
    value: _Text | None = None
    examples: _Examples | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> _Line:
        if (self.text is None) == (self.vector is None):
            raise ValueError("exactly one of text and vector is needed")
        if self.vector is not None and self.position != LAST:
            raise ValueError("a vector has no position")
        return self


@dataclass(frozen=True)
class Claim:
    """A claim about the activation of a text at a position, or about a vector.

    Attributes:
        claim: in words, or as an expression.
        site: its address.
        text: a text or a conversation; None for a vector.
        vector: numbers, or the address of a vector, `FILE[:NAME][:ROW]`; None for a text.
        position: as for `Inverter.invert`.
        feature: an expression, a regular expression between slashes, or the name of a feature of the run; None: by
            `claim` itself.
        value: the label that is claimed; None: yes, or the text's own label where labels are more than yes and no.
        examples: texts for which the claim holds (`yes`) and does not hold (`no`), which a classifier learns from.
        line: of the file, from 1.
    """

    claim: str
    site: str
    text: Any = None
    vector: Any = None
    position: int | str = LAST
    feature: str | None = None
    value: str | None = None
    examples: Mapping[str, Sequence[str]] | None = None
    line: int = 0

    @property
    def about(self) -> str:
        """The activation that it is about; claims about one are measured on the same draws."""
        vector = self.vector.tolist() if hasattr(self.vector, "tolist") else self.vector
        return json.dumps([self.text, vector, self.site, self.position], sort_keys=True, default=str)


@dataclass(frozen=True)
class Property:
    """An executable claim: a feature, and the label that is claimed; None: the source's own.

    Attributes:
        feature: the expression, or the name of a feature of the run.
        expression: it, parsed; None where the run computes the labels.
    """

    feature: str
    expression: Expression | None
    value: str | None


def read_claims(path: Path, features: Sequence[str] = ()) -> list[Claim]:
    """The claims of a file, equal ones once.

    Args:
        features: names of features of the run.

    Raises:
        UserError: a line is no claim; every bad line is named, up to ten.
    """
    claims: dict[str, Claim] = {}
    bad: list[str] = []
    for number, line in enumerate(read_text(path, "file of claims").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            claim = _claim(line, number)
            property_of(claim, features)
            claims.setdefault(json.dumps([claim.about, claim.claim, claim.feature, claim.value, claim.examples]), claim)
        except (UserError, ValidationError, ValueError) as error:
            bad.append(f"line {number}: {_reason(error)}")
    if bad:
        shown = "; ".join(bad[:10]) + (f"; and {len(bad) - 10} more" if len(bad) > 10 else "")
        raise UserError("lines of the file are no claims", given=f"{path}: {shown}", allowed=FORM)
    if not claims:
        raise UserError("there is no claim in the file", given=path, allowed=f"one a line: {FORM}")
    return list(claims.values())


def _claim(line: str, number: int) -> Claim:
    try:
        value = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    read = _Line.model_validate(value)
    examples = None if read.examples is None else {"yes": read.examples.yes, "no": read.examples.no}
    return Claim(**{**read.model_dump(exclude={"examples"}), "examples": examples, "line": number})


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else first["msg"]
    return f"{error.problem}: {error.given}" if isinstance(error, UserError) else f"no JSON: {error}"


def property_of(claim: Claim, features: Sequence[str] = ()) -> Property | None:
    """The executable feature of a claim: a feature of the run, a regular expression, an expression, or words that say
    one; None where only a judge can answer.

    Raises:
        UserError: its feature is none of these, or it claims no label.
    """
    source = claim.feature
    if source is not None and source in features:
        return _with_value(claim, Property(source, None, claim.value))
    if source is None:
        words = expression_of(claim.claim) or claim.claim
        expression = _tried(words)
        if expression is None or (expression.kind != "yes or no" and claim.value is None):
            return None
    else:
        pattern = _PATTERN.fullmatch(source)
        expression = parse(f"matches({pattern[1]!r})" if pattern else source)
    default = YES if expression.kind == "yes or no" else None
    return _with_value(claim, Property(expression.source, expression, claim.value or default))


def _with_value(claim: Claim, found: Property) -> Property:
    if found.value is None and claim.vector is not None:
        raise UserError("a vector has no label of its own", given=claim.feature or claim.claim, remedy='"value": "..."')
    return found


def _tried(words: str) -> Expression | None:
    try:
        return parse(words)
    except UserError:
        return None


def claims_about(text: Any, claims: Sequence[str | Claim], site: object, position: int | str) -> list[Claim]:
    """Claims in words about one activation, beside claims that name their own.

    Args:
        text: a text, a conversation, or the numbers of a vector.

    Raises:
        UserError: a claim has no text or no site.
    """
    found = []
    for claim in claims:
        if isinstance(claim, Claim):
            found.append(claim)
            continue
        if text is None or site is None or not claim.strip():
            missing = "a text or a vector" if text is None else "a site" if site is None else "words"
            raise UserError("a claim is about the activation of a text at a site", given=f"{claim!r} without {missing}")
        is_text = isinstance(text, str) or (isinstance(text, list | tuple) and isinstance(text[0], Mapping))
        found.append(Claim(claim, str(site), text if is_text else None, None if is_text else text, position))
    return found
