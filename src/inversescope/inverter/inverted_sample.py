"""One draw for an activation, and the share of the source input among the draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from inversescope.tasks import Labels, Tokens
from inversescope.verdicts import wording


@dataclass(frozen=True)
class InvertedSample:
    """One draw of the generator, and what running it through the subject says.

    `distance` (δ) and `weight` are None where it could not be verified because it never ended; `log_q` is in nats. An
    input that was drawn several times has its whole weight at the first of its draws, where `times` is their number;
    at the others both are 0.
    """

    text: str | None
    tokens: Tokens | None
    distance: float | None
    weight: float | None
    accepted: bool
    log_q: float
    labels: Labels
    times: int = 1

    def __repr__(self) -> str:
        measured = f"δ {wording.number(self.distance)}, weight {wording.number(self.weight)}"
        return f"InvertedSample({self.text!r}, {measured}, {self.times} draws)"


class SourceShare(NamedTuple):
    """Share of the source input itself: of the draws, and of the weight (None where nothing has weight); both None for
    a vector, which has no source.
    """

    draws: float | None
    weight: float | None
