"""Answer to a question on natural text: draws with their probability and distance, and what speaks against them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inversescope.charts.answer import distances_of_draws
from inversescope.charts.chart import Chart
from inversescope.natural_text.estimate import Estimate, Weighted
from inversescope.natural_text.question import Source
from inversescope.natural_text.ruler import Ruler
from inversescope.stats.weights import systematic
from inversescope.verdicts import wording

if TYPE_CHECKING:
    from inversescope.natural_text.natural_text import NaturalText

FINER = 12  # bits in steps of half a bit below what was wanted, to find a resolution that is to be believed


@dataclass(frozen=True)
class FoundText:
    """One input, as it is shown.

    Attributes:
        text: for people.
        tokens: of the input, without the subject's prefix.
        log_p: ln P(x) under the prior.
        distance: δ from the target.
        ruler: δ in words.
    """

    text: str
    tokens: tuple[int, ...]
    log_p: float
    distance: float
    ruler: str


@dataclass(frozen=True)
class Draw(FoundText):
    """One input drawn from the posterior, and how often it came up.

    Attributes:
        times: number of the draws that it is.
    """

    times: int


@dataclass(frozen=True)
class Answer:
    """Draws from the posterior of one activation. If they are not to be believed there are none, and no numbers.

    Attributes:
        source: the text whose activation it is, or the name of the vector.
        outside: no draw of the pool is as near as unrelated inputs are to each other.
        site: its site.
        subject: name of the subject.
        prior: the prior, in words.
        length: tokens of every input.
        bits_wanted: bits asked for, None where a bandwidth was.
        bandwidth: h.
        believed: whether the diagnostics hold.
        verdict: the same in words.
        bits: bits kept.
        log_z: ln Z.
        size: effective sample size, by distinct inputs.
        spread: largest difference of ln Z between parts of the draws, in nats.
        near: share of the posterior that is nearer than unrelated inputs, by the ruler.
        source_log_p: ln P of the source, where it is one of the inputs.
        believed_bits: the most bits, of those tried below what was wanted, that are to be believed; None: none.
        ruler: median δ of inputs that share so many last tokens.
        draws: inputs, the most frequent first.
    """

    source: str
    outside: bool
    site: str
    subject: str
    prior: str
    length: int
    bits_wanted: float | None
    bandwidth: float
    believed: bool
    verdict: str
    bits: float | None
    log_z: float | None
    size: float | None
    spread: float | None
    near: float | None
    source_log_p: float | None
    believed_bits: float | None
    ruler: dict[str, float]
    draws: tuple[Draw, ...]

    def chart(self) -> Chart:
        """Chart of the distances of the draws, the source itself marked."""
        rows = [
            {"distance": draw.distance, "draws": draw.times, "source": draw.text == self.source} for draw in self.draws
        ]
        return Chart(distances_of_draws(f"{self.site}, {wording.bandwidth(self.bandwidth)}"), rows)

    def record(self) -> dict[str, Any]:
        """The answer as JSON; its kind is `draws`, which nothing else is."""
        return {"answer": "draws", **vars(self), "draws": [vars(draw) for draw in self.draws]}


def answer(
    text: NaturalText,
    source: Source,
    weighted: Weighted,
    estimate: Estimate,
    bits: float | None,
    n: int,
    seed: int,
) -> Answer:
    """The answer of an estimate; numbers only where it is to be believed."""
    believed = bool(estimate.belief)
    question, ruler = source.question, source.question.data.ruler
    return Answer(
        source=source.name,
        outside=float(question.of_standardized(question.data.pool).min()) > ruler.unrelated,
        site=str(question.data.site),
        subject=text.subject.name,
        prior=str(text.prior),
        length=text.length,
        bits_wanted=bits,
        bandwidth=estimate.bandwidth,
        believed=believed,
        verdict=estimate.belief.words,
        bits=estimate.bits if believed else None,
        log_z=estimate.log_z if believed else None,
        size=estimate.size if believed else None,
        spread=estimate.spread if believed else None,
        near=_near(weighted, estimate, ruler) if believed else None,
        source_log_p=None if weighted.source is None else weighted.source[0],
        believed_bits=estimate.bits if believed else _finest(weighted, estimate.bits),
        ruler=ruler.record(),
        draws=_draws(text, weighted, estimate, ruler, n, seed) if believed else (),
    )


def _near(weighted: Weighted, estimate: Estimate, ruler: Ruler) -> float:
    """Share of the weight whose distance is that of inputs with a common ending."""
    near = [ruler.shared(distance) > 0 for distance in weighted.distance.tolist()]
    return float(estimate.weights @ np.array(near, dtype=float))


def _finest(weighted: Weighted, wanted: float) -> float | None:
    """The most bits below `wanted` at which the draws are to be believed."""
    for step in range(1, FINER + 1):
        estimate = weighted.at_bits(min(wanted, 24.0) * (1 - step / (FINER + 1)))
        if estimate.belief:
            return estimate.bits
    return None


def _draws(
    text: NaturalText, weighted: Weighted, estimate: Estimate, ruler: Ruler, n: int, seed: int
) -> tuple[Draw, ...]:
    places = systematic(estimate.weights, n, np.random.default_rng(seed))
    times: dict[tuple[int, ...], list[int]] = {}
    for place in places.tolist():
        times.setdefault(weighted.rows[place], []).append(place)
    draws = [
        Draw(
            text.subject.show(tokens),
            tokens,
            float(weighted.log_p[same[0]]),
            float(weighted.distance[same[0]]),
            ruler.words(float(weighted.distance[same[0]])),
            len(same),
        )
        for tokens, same in times.items()
    ]
    return tuple(sorted(draws, key=lambda draw: (-draw.times, draw.distance)))
