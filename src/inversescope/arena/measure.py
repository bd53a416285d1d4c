"""From answers to a table: identification, corrected score, calibration, causal agreement, each with its interval.

Targets are the independent units: the answers about several sites and features are first averaged for each target.
Dimensions: `targets`, `questions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import stats

from inversescope.arena.record import Answered, Question
from inversescope.stats import intervals
from inversescope.stats.intervals import UNDEFINED, Estimate, fields
from inversescope.streams import Stream
from inversescope.verdicts import TRUSTED

BINS = 10  # of the calibration error
RESAMPLES = 1000
DIGITS = 9  # of a score: what differs by less is rounding, and a tie

# The answers of a method by question, and of all methods.
Answers = Mapping[Question, Answered]


def chosen(answers: Answers) -> dict[tuple[str, str], Question]:
    """At each site and of each feature, the question that counts: the smallest bandwidth at which the method answers
    for at least half of the targets, else the largest. The choice needs no label.
    """
    questions: dict[tuple[str, str], Question] = {}
    for question in sorted(answers, key=lambda question: question.bandwidth or 0.0):
        key = (question.site, question.feature)
        before = questions.get(key)
        if before is None or not _answers_half(answers[before]):
            questions[key] = question
    return questions


def _answers_half(answered: Answered) -> bool:
    return bool(answered.silent[answered.labelled].mean() <= 0.5) if answered.labelled.any() else False


def results(
    methods: Mapping[str, Answers],
    effects: Mapping[tuple[str, str], float],
    endings: Mapping[tuple[str, str], Float[ndarray, " targets"]],
    levels: Mapping[str, Mapping[float | None, float | None]],
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Rows of each method: one for every question, and one for the questions that count, over sites, over features, and
    over both (null: over all).

    Args:
        effects: the causal effect of each site and feature, where it was measured.
        endings: of each site and feature, the share of the targets' own labels among inputs that end alike.
        levels: of each site, the resolution of each bandwidth.
    """
    reference = methods.get("reference", {})
    for method, answers in methods.items():
        counts = chosen(answers)
        for question, answered in answers.items():
            yield {
                "method": method,
                **question._asdict(),
                "resolution": levels[question.site].get(question.bandwidth),
                "chosen": question == counts[question.site, question.feature],
                **_measured([answered]),
                **fields("above_ending", above_ending(answers, [question], endings)),
                **fields("gap", _gap(answered, reference.get(question))),
            }
        for site, feature, group in groups(counts):
            of_group = [answers[question] for question in group]
            yield {
                "method": method,
                **{"site": site, "feature": feature, "resolution": None, "bandwidth": None, "chosen": True},
                **_measured(of_group),
                **fields("above_ending", above_ending(answers, group, endings)),
                **fields("gap", _mean_gap(answers, group, reference, seed)),
                **fields("calibration_error", calibration_error(of_group, seed)),
                **fields("causal_agreement", causal_agreement(answers, group, effects, seed)),
            }


def groups(counts: Mapping[tuple[str, str], Question]) -> Iterator[tuple[str | None, str | None, list[Question]]]:
    """Groups of questions to average over: all, each feature at all sites, all features at each site."""
    yield None, None, list(counts.values())
    for feature in dict.fromkeys(feature for _, feature in counts):
        yield None, feature, [question for question in counts.values() if question.feature == feature]
    for site in dict.fromkeys(site for site, _ in counts):
        yield site, None, [question for question in counts.values() if question.site == site]


def by_target(answers: Sequence[Answered], name: str) -> Float[ndarray, " targets"]:
    """The mean over questions of a number of each target; NaN where a target has no label of any."""
    values = np.stack([getattr(answered, name) for answered in answers])
    defined = ~np.isnan(values)
    count = defined.sum(0)
    return np.divide(np.where(defined, values, 0).sum(0), count, out=np.full(len(count), np.nan), where=count > 0)


def _measured(answers: Sequence[Answered]) -> dict[str, Any]:
    """Estimates over questions together."""
    hit, share, chance, size = (by_target(answers, name) for name in ("hit", "share", "chance", "ess"))
    sizes = size[~np.isnan(size)]
    return {
        "targets": int((~np.isnan(hit)).sum()),
        "answers": int(sum(answered.labelled.sum() for answered in answers)),
        "silent": int(sum((answered.silent & answered.labelled).sum() for answered in answers)),
        **fields("accuracy", intervals.mean(hit, 0, 1)),
        **fields("corrected", intervals.corrected(share, chance)),
        "chance": intervals.defined(intervals.mean(chance).value),
        "ess": float(np.median(sizes)) if len(sizes) else None,
    }


def above_ending(
    answers: Answers, group: Sequence[Question], endings: Mapping[tuple[str, str], Float[ndarray, " targets"]]
) -> Estimate:
    """Share of the target's own label minus that among inputs with its last tokens, over questions that have both."""
    known = [question for question in group if (question.site, question.feature) in endings]
    if not known:
        return UNDEFINED
    above = np.stack([answers[question].share - endings[question.site, question.feature] for question in known])
    defined = ~np.isnan(above)
    count = defined.sum(0)
    mean = np.divide(np.where(defined, above, 0).sum(0), count, out=np.full(len(count), np.nan), where=count > 0)
    return intervals.mean(mean, -1, 1)


def _gap(answered: Answered, reference: Answered | None) -> Estimate:
    """Share of the target's own label minus the reference's at the same bandwidth, where the reference is worth 30
    inputs or more.
    """
    return intervals.mean(_gaps(answered, reference), -1, 1)


def _gaps(answered: Answered, reference: Answered | None) -> Float[ndarray, " targets"]:
    if reference is None or not np.nanmedian(np.append(reference.ess, 0.0)) >= TRUSTED:
        return np.full(len(answered.hit), np.nan)
    return np.where(answered.silent | reference.silent, np.nan, answered.share - reference.share)


def _mean_gap(answers: Answers, group: Sequence[Question], reference: Answers, seed: int) -> Estimate:
    """The size of the gap, mean over the questions that the method shares with the reference, at every bandwidth, with
    a bootstrap interval over the targets.
    """
    pairs = {(question.site, question.feature) for question in group}
    shared = [question for question in answers if (question.site, question.feature) in pairs and question in reference]
    gaps = [_gaps(answers[question], reference[question]) for question in shared]
    gaps = np.stack([gap for gap in gaps if not np.isnan(gap).all()] or [np.full(1, np.nan)])
    defined = ~np.isnan(gaps)
    if not defined.any():
        return UNDEFINED

    def size(counts: Int[ndarray, "resamples targets"]) -> Float[ndarray, " resamples"]:
        many = counts @ defined.T
        total = counts @ np.where(defined, gaps, 0).T
        return np.abs(np.divide(total, many, out=np.zeros_like(total), where=many > 0)).mean(1)

    return _bootstrapped(size, gaps.shape[1], seed)


def calibration_error(answers: Sequence[Answered], seed: int) -> Estimate:
    """The expected calibration error: distance of confidence from the share that is right, in ten bins of confidence
    (Guo et al. 2017, arXiv 1706.04599), with a bootstrap interval over the targets.
    """
    confidence, hit = (np.stack([getattr(answer, name) for answer in answers]) for name in ("confidence", "hit"))
    answered = ~np.isnan(hit)
    bins = np.where(answered, np.clip(np.nan_to_num(confidence) * BINS, 0, BINS - 1).astype(int), -1)
    over, many = np.zeros((BINS, hit.shape[1])), np.zeros((BINS, hit.shape[1]))
    for b in range(BINS):
        over[b] = np.where(bins == b, confidence - hit, 0).sum(0)
        many[b] = (bins == b).sum(0)
    if not many.sum():
        return UNDEFINED

    def error(counts: Int[ndarray, "resamples targets"]) -> Float[ndarray, " resamples"]:
        total = (many @ counts.T).sum(0)
        return np.abs(over @ counts.T).sum(0) / np.maximum(total, 1)

    return _bootstrapped(error, hit.shape[1], seed)


def causal_agreement(
    answers: Answers, group: Sequence[Question], effects: Mapping[tuple[str, str], float], seed: int
) -> Estimate:
    """Spearman's rank correlation over sites and features between the method's corrected score and the causal effect,
    with a bootstrap interval over the targets of the score; undefined with fewer than three that have both.
    """
    measured = [question for question in group if (question.site, question.feature) in effects]
    if len(measured) < 3:
        return UNDEFINED
    effect = np.array([effects[question.site, question.feature] for question in measured])
    share, chance = (
        np.nan_to_num(np.stack([getattr(answers[q], name) for q in measured])) for name in ("share", "chance")
    )
    labelled = np.stack([answers[question].labelled for question in measured])
    above, room = np.where(labelled, share - chance, 0), np.where(labelled, 1 - chance, 0)

    def agreement(counts: Int[ndarray, "resamples targets"]) -> Float[ndarray, " resamples"]:
        most = counts @ room.T
        score = np.divide(counts @ above.T, most, out=np.zeros_like(most, dtype=float), where=most > 0)
        ranks, wanted = stats.rankdata(score.round(DIGITS), axis=1), stats.rankdata(effect)
        ranks, wanted = ranks - ranks.mean(1, keepdims=True), wanted - wanted.mean()
        size = np.sqrt((ranks**2).sum(1) * (wanted**2).sum())
        return np.divide(ranks @ wanted, size, out=np.full(len(size), np.nan), where=size > 0)

    return _bootstrapped(agreement, share.shape[1], seed)


def _bootstrapped(measure: Any, targets: int, seed: int) -> Estimate:
    """A function of the number of times each target counts, with its percentiles over resamples of the targets."""
    value = float(measure(np.ones((1, targets), dtype=int))[0])
    counts = Stream.ARENA_RESAMPLES.rng(seed).multinomial(targets, np.full(targets, 1 / targets), size=RESAMPLES)
    resampled = measure(counts)
    resampled = resampled[~np.isnan(resampled)]
    if targets < 2 or not len(resampled) or np.isnan(value):
        return Estimate(value, np.nan, np.nan)
    return Estimate(value, *np.percentile(resampled, [2.5, 97.5]).tolist())
