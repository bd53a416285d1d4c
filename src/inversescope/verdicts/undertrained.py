"""Verdicts on a generator: calibrated, copies, undertrained, or cannot tell; for one question, or for all of a site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from inversescope.stats.intervals import UNDEFINED, Estimate
from inversescope.verdicts.thresholds import COPIED, GAP, GENERALISATION, KL_ANY, KL_MEAN, TRUSTED
from inversescope.verdicts.wording import signed

Judgement = Literal["calibrated", "copies", "undertrained", "cannot tell"]


class Verdict(NamedTuple):
    """A judgement, and the measurement that decided it, in words."""

    judgement: Judgement
    reason: str


class Measured(NamedTuple):
    """Measurements of one question: a site, a bandwidth, a query. NaN where undefined.

    Attributes:
        where: the question in words.
        size: number of draws that the estimate of the posterior is worth, harmonic mean over targets.
        divergence: from the posterior to the generator, nats.
        gaps: by feature.
        exact: the posterior is a sum over the whole prior.
        outside: the generator was not trained for the bandwidth.
        copied: share of training inputs among the draws, minus the posterior's probability of them, or the prior's
            where that is larger: where the posterior is one unseen input, draws of the prior are no copies.
        generalisation: mean −ln q of neighbours that training never saw, minus that of training neighbours, each over
            that of the posterior; nats.
        gain: nats by which the generator gives unseen neighbours more than the prior does.
    """

    where: str
    size: float
    divergence: Estimate
    gaps: Mapping[str, Estimate]
    exact: bool
    outside: bool
    copied: Estimate = UNDEFINED
    generalisation: Estimate = UNDEFINED
    gain: float = float("nan")

    @property
    def trusted(self) -> bool:
        """The posterior counts as the truth."""
        return self.exact or self.size >= TRUSTED


def of_question(measured: Measured) -> Verdict:
    """The verdict on one question. `copies` comes first: the estimated share of training inputs errs upwards where the
    posterior rests on few inputs, and so against it.
    """
    where, divergence = measured.where, measured.divergence
    if measured.outside:
        return Verdict("cannot tell", f"{where} lies outside the bandwidths it was trained for")
    if (copies := _copies(measured)) is not None:
        return copies
    if not measured.trusted:
        return Verdict("cannot tell", f"the pool is too small at {where}: effective size {measured.size:.0f}")
    if divergence.low > KL_ANY:
        return Verdict("undertrained", f"KL {divergence.value:.2f} nats at {where}")
    gaps = {name: gap for name, gap in measured.gaps.items() if gap.value == gap.value}
    beyond = {name: gap for name, gap in gaps.items() if gap.low > GAP or gap.high < -GAP}
    if beyond:
        return Verdict("undertrained", _worst(beyond, where))
    return _unclear(measured, gaps) or Verdict(
        "calibrated", _worst(gaps, where) if gaps else f"KL {divergence.value:.2f} nats at {where}"
    )


def _copies(measured: Measured) -> Verdict | None:
    """`copies` where the draws hold too many training inputs, or unseen neighbours gain less than training ones lose
    when they are unseen.
    """
    copied, generalisation = measured.copied, measured.generalisation
    if copied.low > COPIED:
        return Verdict(
            "copies", f"{_interval('share of training inputs', copied)} from the posterior's {_at(measured)}"
        )
    if measured.trusted and generalisation.low > GENERALISATION and generalisation.value > measured.gain:
        return Verdict("copies", f"{_interval('generalisation gap', generalisation)} nats {_at(measured)}")
    return None


def _unclear(measured: Measured, gaps: Mapping[str, Estimate]) -> Verdict | None:
    """`cannot tell` where a measurement is beyond its limit and its interval is not, or where there is none."""
    divergence, copied = measured.divergence, measured.copied
    large = {name: gap for name, gap in gaps.items() if abs(gap.value) > GAP}
    if divergence.value > KL_ANY:
        reason = f"KL {divergence.value:.2f} nats {_at(measured)}, from too few targets"
    elif copied.value > COPIED:
        reason = f"{_interval('share of training inputs', copied)} from the posterior's, from too few targets"
    elif large:
        reason = f"{_worst(large, measured.where)}, from too few targets"
    elif divergence.value != divergence.value and (measured.exact or not gaps):
        reason = "neither a divergence nor a feature can be compared"
    else:
        return None
    return Verdict("cannot tell", reason)


def of_site(questions: Sequence[Measured]) -> Verdict:
    """The verdict on all questions of a site, which ends training: that of the worst, among those with a verdict."""
    verdicts = [of_question(measured) for measured in questions]
    for verdict in verdicts:
        if verdict.judgement in ("copies", "undertrained"):
            return verdict
    known = [m.divergence.value for m in questions if m.trusted and not m.outside]
    known = [divergence for divergence in known if divergence == divergence]
    mean = sum(known) / len(known) if known else 0.0
    if mean > KL_MEAN:
        return Verdict("undertrained", f"KL {mean:.2f} nats over all its questions")
    judged = [v for m, v in zip(questions, verdicts, strict=True) if m.trusted]
    unclear = [verdict for verdict in judged or verdicts if verdict.judgement == "cannot tell"]
    if unclear:
        return unclear[0]
    if known:
        return Verdict("calibrated", f"KL {mean:.2f} nats from the posterior over {len(known)} questions")
    return Verdict("calibrated", f"agrees with the reference at {len(judged)} of {len(questions)} bandwidths")


def _at(measured: Measured) -> str:
    return f"at {measured.where}"


def _worst(gaps: Mapping[str, Estimate], where: str) -> str:
    name = max(gaps, key=lambda feature: abs(gaps[feature].value))
    return f"{_interval(f'gap of {name}', gaps[name])} at {where}"


def _interval(name: str, estimate: Estimate) -> str:
    return f"{name} {signed(estimate.value)} [{signed(estimate.low)}, {signed(estimate.high)}]"
