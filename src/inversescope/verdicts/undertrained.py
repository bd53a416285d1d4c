"""Verdicts on a generator: calibrated, undertrained, or cannot tell; per question and per site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from inversescope.stats.intervals import Estimate
from inversescope.verdicts.thresholds import GAP, KL_ANY, KL_MEAN, TRUSTED
from inversescope.verdicts.wording import signed

Judgement = Literal["calibrated", "undertrained", "cannot tell"]


class Verdict(NamedTuple):
    """A judgement, and the measurement that decided it, in words."""

    judgement: Judgement
    reason: str


class Measured(NamedTuple):
    """Measurements of one kind of question. The divergence is NaN where the truth is not known."""

    where: str  # in words
    size: float  # the effective sample size of the reference, median over targets
    divergence: Estimate
    gaps: Mapping[str, Estimate]  # by feature
    exact: bool
    outside: bool  # the bandwidth is not one that the generator was trained for


def of_question(measured: Measured) -> Verdict:
    """The verdict on one kind of question: a site, a bandwidth, a query."""
    if measured.outside:
        return Verdict("cannot tell", f"{measured.where} lies outside the bandwidths it was trained for")
    if not measured.exact and measured.size < TRUSTED:
        return Verdict("cannot tell", f"the pool is too small at {measured.where}: effective size {measured.size:.0f}")
    divergence, gaps = measured.divergence, {name: gap for name, gap in measured.gaps.items() if gap.value == gap.value}
    if measured.exact and divergence.low > KL_ANY:
        return Verdict("undertrained", f"KL {divergence.value:.2f} nats at {measured.where}")
    beyond = {name: gap for name, gap in gaps.items() if gap.low > GAP or gap.high < -GAP}
    if beyond:
        return Verdict("undertrained", _worst(beyond, measured.where))
    if measured.exact and not divergence.value <= KL_ANY:
        return Verdict("cannot tell", f"KL {divergence.value:.2f} nats at {measured.where}, from too few targets")
    large = {name: gap for name, gap in gaps.items() if abs(gap.value) > GAP}
    if large:
        return Verdict("cannot tell", f"{_worst(large, measured.where)}, from too few targets")
    if not measured.exact and not gaps:
        return Verdict("cannot tell", "no feature can be compared")
    return Verdict("calibrated", _worst(gaps, measured.where) if gaps else f"KL {divergence.value:.2f} nats")


def of_site(questions: Sequence[Measured]) -> Verdict:
    """The verdict on a site: that of its worst question, among those with a verdict."""
    verdicts = [of_question(measured) for measured in questions]
    for verdict in verdicts:
        if verdict.judgement == "undertrained":
            return verdict
    exact = [m.divergence for m, v in zip(questions, verdicts, strict=True) if m.exact and not m.outside]
    mean = sum(estimate.value for estimate in exact) / len(exact) if exact else 0.0
    if mean > KL_MEAN:
        return Verdict("undertrained", f"KL {mean:.2f} nats over all its questions")
    judged = [v for m, v in zip(questions, verdicts, strict=True) if m.exact or m.size >= TRUSTED]
    unclear = [verdict for verdict in judged or verdicts if verdict.judgement == "cannot tell"]
    if unclear:
        return unclear[0]
    if exact:
        return Verdict("calibrated", f"KL {mean:.2f} nats from the exact distribution over {len(exact)} questions")
    return Verdict("calibrated", f"agrees with the reference at {len(judged)} of {len(questions)} bandwidths")


def _worst(gaps: Mapping[str, Estimate], where: str) -> str:
    name = max(gaps, key=lambda feature: abs(gaps[feature].value))
    gap = gaps[name]
    return f"gap of {name} {signed(gap.value)} [{signed(gap.low)}, {signed(gap.high)}] at {where}"
