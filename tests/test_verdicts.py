"""Rules of the verdicts: on a generator, on a score, on accepted samples."""

from __future__ import annotations

import numpy as np
import pytest

from inversescope.stats.intervals import UNDEFINED, Estimate
from inversescope.verdicts import (
    MEANINGS,
    NULL_FEATURE,
    Measured,
    Verdict,
    acceptance_counts,
    agreement,
    beside_calibration,
    judged,
    of_question,
    of_site,
    why_undefined,
)
from inversescope.verdicts.comparison import which_ahead


def measured(
    *, kl: Estimate = UNDEFINED, gap: Estimate = UNDEFINED, size: float = 100, outside: bool = False
) -> Measured:
    return Measured("h = 0.1, clean target", size, kl, {"order": gap}, not np.isnan(kl.value), outside)


def around(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half)


GOOD = measured(kl=around(0.04, 0.02), gap=around(0.01, 0.02))


@pytest.mark.parametrize(
    ("question", "judgement"),
    [
        (GOOD, "calibrated"),
        (GOOD._replace(copied=around(0.02, 0.03)), "calibrated"),
        (GOOD._replace(copied=around(0.3, 0.03)), "copies"),
        (GOOD._replace(copied=around(0.3, 0.25)), "cannot tell"),
        (GOOD._replace(copied=around(0.3, 0.03), outside=True), "cannot tell"),
        (measured(kl=around(0.9, 0.2), gap=around(-0.2, 0.1))._replace(copied=around(0.3, 0.03)), "copies"),
        (measured(size=2)._replace(copied=around(0.3, 0.03)), "copies"),
        (GOOD._replace(generalisation=around(2, 0.5), gain=1.0), "copies"),
        (
            GOOD._replace(generalisation=around(2, 0.5), gain=3.0),
            "calibrated",
        ),  # unseen inputs gain more than they lose
        (GOOD._replace(generalisation=around(0.6, 0.5), gain=0.1), "calibrated"),
        (measured(size=2)._replace(generalisation=around(2, 0.5), gain=1.0), "cannot tell"),
        (measured(gap=around(0.01, 0.02))._replace(divergence=around(0.9, 0.2)), "undertrained"),  # from the strata
        (measured(gap=around(0.01, 0.02))._replace(divergence=around(0.2, 0.1)), "calibrated"),
        (measured(kl=around(0.04, 0.02), gap=UNDEFINED), "calibrated"),
        (measured(kl=around(0.9, 0.2), gap=around(0.01, 0.02)), "undertrained"),
        (measured(kl=around(0.6, 0.2), gap=around(0.01, 0.02)), "cannot tell"),
        (measured(kl=around(0.04, 0.02), gap=around(-0.2, 0.1)), "undertrained"),
        (measured(kl=around(0.04, 0.02), gap=around(-0.2, 0.16)), "cannot tell"),
        (measured(kl=around(0.04, 0.02), size=2), "calibrated"),  # the exact distribution needs no size
        (measured(kl=around(0.04, 0.02), outside=True), "cannot tell"),
        (measured(gap=around(0.01, 0.02)), "calibrated"),
        (measured(gap=around(0.2, 0.02)), "undertrained"),
        (measured(gap=around(0.2, 0.02), size=29), "cannot tell"),
        (measured(gap=Estimate(0.2, np.nan, np.nan)), "cannot tell"),
        (measured(), "cannot tell"),
    ],
)
def test_a_question(question: Measured, judgement: str):
    assert of_question(question).judgement == judgement


@pytest.mark.parametrize(
    ("questions", "judgement", "numbers"),
    [
        ([GOOD, GOOD], "calibrated", ["KL 0.04", "2"]),
        ([GOOD, GOOD._replace(copied=around(0.3, 0.03))], "copies", ["+0.30"]),
        ([GOOD, measured(kl=around(0.9, 0.2))], "undertrained", ["KL 0.90", "h = 0.1, clean target"]),
        ([measured(kl=around(0.2, 0.05))] * 2, "undertrained", ["KL 0.20"]),
        ([GOOD, measured(kl=around(0.04, 0.02), outside=True)], "cannot tell", ["h = 0.1, clean target"]),
        ([measured(gap=around(0.01, 0.02)), measured(size=3)], "calibrated", ["1 of 2"]),
        ([measured(size=3)] * 2, "cannot tell", ["pool"]),
        ([measured(gap=around(0.01, 0.02)), measured(gap=around(0.08, 0.05))], "cannot tell", ["order +0.08"]),
    ],
)
def test_a_site(questions: list[Measured], judgement: str, numbers: list[str]):
    found = of_site(questions)
    assert isinstance(found, Verdict)
    assert found.judgement == judgement
    assert [number for number in numbers if number not in found.reason] == []


def row(method: str = "generator", **values: object) -> dict:
    """A row of `score/results.parquet`."""
    place = {"method": method, "site": "resid_post.3", "feature": "subject", "bandwidth": 0.3, "targets": 20}
    counts = {"collapsed": 0, "samples": 320, "undecided": 0, "unverified": 0}
    undefined = ("corrected", "corrected_low", "others_low", "chance", "gap", "gap_low", "gap_high", "ess")
    return dict.fromkeys(undefined) | place | counts | values


@pytest.mark.parametrize(
    ("gap", "low", "high", "ess", "expected"),
    [
        (0.02, -0.01, 0.05, 60.0, "agrees"),
        (-0.20, -0.30, -0.10, 60.0, "undertrained"),
        (0.20, 0.10, 0.30, 60.0, "undertrained"),
        (-0.08, -0.20, 0.04, 60.0, "unclear"),
        (-0.20, None, None, 60.0, "unclear"),
        (-0.20, -0.30, -0.10, 29.9, "unchecked"),
        (-0.20, -0.30, -0.10, None, "unchecked"),
        (None, None, None, 60.0, "unchecked"),
    ],
)
def test_agreement_of_generator_and_reference(
    gap: float | None, low: float | None, high: float | None, ess: float | None, expected: str
):
    reference = row("reference", ess=ess)
    assert agreement(row(gap=gap, gap_low=low, gap_high=high), reference, exact=False) == expected
    assert agreement(row(gap=gap, gap_low=low, gap_high=high), None, exact=False) == "unchecked"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"chance": 1.0, "fcr": 1.0}, "same label"),
        ({"targets": 0, "collapsed": 20}, "20 targets have collapsed"),
        ({"samples": 0}, "no samples"),
        ({"undecided": 320}, "320 samples are undecided"),
        ({"targets": 0}, "no target has a label"),
        ({"targets": 1}, "too few"),
    ],
)
def test_undefined_scores_have_a_reason(values: dict, words: str):
    assert words in (why_undefined(row(**values)) or "")
    assert why_undefined(row(**values, corrected=0.0)) is None


GAP = {"gap": 0.01, "gap_low": 0.0, "gap_high": 0.02}
ASKED = {"site": "resid_post.3", "bandwidth": 0.3, "query": "clean"}


@pytest.mark.parametrize(
    ("ess", "asked", "verdict"),
    [
        (60.0, None, "agrees"),
        (5.0, "undertrained", "undertrained"),
        (60.0, "undertrained", "undertrained"),  # the targets agree, the inputs of the calibration do not
        (5.0, "calibrated", "agrees"),
        (5.0, "cannot tell", "unchecked"),
        (5.0, None, "unchecked"),
    ],
)
def test_the_calibration_counts_beside_the_gap_on_the_targets(ess: float, asked: str | None, verdict: str):
    scores = [row("generator", **GAP), row("weighted"), row("reference", ess=ess), row("shuffled")]
    calibration = [ASKED | {"verdict": asked}, ASKED | {"query": "noisy", "verdict": "undertrained"}]
    found = judged(scores, calibration if asked else calibration[1:], False, "generator")
    assert [each["verdict"] for each in found] == [verdict, verdict, None, None]
    assert all(each["reason"] for each in found)  # no score is defined
    assert [each["trusted"] for each in found] == [None, None, ess == 60, None]
    assert [each["trusted"] for each in judged(scores, [], True, "generator")] == [None, None, True, None]


@pytest.mark.parametrize(("low", "passes"), [(0.01, True), (0.0, False), (-0.2, False), (None, None)])
def test_every_score_of_a_cell_is_marked_where_the_null_feature_is_above_chance(low: float | None, passes: bool | None):
    null = row("weighted", feature=NULL_FEATURE, corrected_low=low)
    scores = [row("weighted"), null, row("reference"), row("weighted", bandwidth=1.0)]
    assert [each["null_passes"] for each in judged(scores, [], False, "generator")] == [passes, passes, None, None]


@pytest.mark.parametrize(
    ("others", "targets", "passes"),
    [
        ((-0.02, 0.03), 20, False),  # among other inputs at chance, whatever the source has
        ((-0.02, 0.03), 10, False),
        ((-0.02, 0.03), 9, True),  # most targets have the source alone
        ((0.02, 0.09), 20, True),  # other inputs share the hash
        ((None, None), 0, True),  # only the source remains
    ],
)
def test_the_null_feature_is_judged_among_other_inputs(others: tuple, targets: int, passes: bool):
    numbers = {"corrected_low": 0.3, "targets": 20, "others_targets": targets}
    null = row("reference", feature=NULL_FEATURE, others_low=others[0], others_high=others[1], **numbers)
    assert [each["null_passes"] for each in judged([row("reference"), null], [], True, "generator")] == [passes] * 2


def test_a_generator_that_agrees_is_calibrated_only_where_the_calibration_finds_it():
    assert "calibrated" in beside_calibration("agrees", "calibrated")
    assert "cannot tell" in beside_calibration("agrees", "cannot tell")
    assert beside_calibration("unchecked", "cannot tell") == MEANINGS["unchecked"]


@pytest.mark.parametrize(
    ("bandwidth", "near", "trusted", "counts"),
    [
        (0.05, 0.0, False, True),  # the kernel itself is no wider than the limit
        (0.3, 0.0, True, False),
        (0.3, 0.3, True, True),
        (0.3, 0.3, False, False),
    ],
)
def test_acceptance_counts_where_the_reference_would_be_accepted(
    bandwidth: float, near: float, trusted: bool, counts: bool
):
    assert acceptance_counts(bandwidth, near, trusted, noise_floor=0.02) is counts
    assert not acceptance_counts(bandwidth, near, trusted, noise_floor=0.12)  # below the subject's own rounding


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.3, "a"),
        (-0.3, -0.01, "b"),
        (0.01, 0.04, "a"),  # small and sure
        (-0.04, 0.05, "level"),
        (-0.04, 0.06, "cannot be told apart"),
        (-0.5, 0.5, "cannot be told apart"),
        (-0.5, 0.01, "cannot be told apart"),
        (float("nan"), float("nan"), None),
    ],
)
def test_two_sides_are_level_only_within_the_margin(low: float, high: float, verdict: str | None):
    assert which_ahead(low, high, "a", "b") == verdict
