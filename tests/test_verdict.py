"""The rules by which measurements of a generator become a verdict."""

from __future__ import annotations

import numpy as np
import pytest

from inversescope.stats.intervals import UNDEFINED, Estimate
from inversescope.verdicts import Measured, Verdict, of_question, of_site


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
    ("questions", "judgement", "reason"),
    [
        ([GOOD, GOOD], "calibrated", "KL 0.04 nats from the exact distribution over 2 questions"),
        ([GOOD, measured(kl=around(0.9, 0.2))], "undertrained", "KL 0.90 nats at h = 0.1, clean target"),
        ([measured(kl=around(0.2, 0.05))] * 2, "undertrained", "KL 0.20 nats over all its questions"),
        ([GOOD, measured(kl=around(0.04, 0.02), outside=True)], "cannot tell", "outside the bandwidths"),
        ([measured(gap=around(0.01, 0.02)), measured(size=3)], "calibrated", "in 1 of 2 questions"),
        ([measured(size=3)] * 2, "cannot tell", "the pool is too small"),
        ([measured(gap=around(0.01, 0.02)), measured(gap=around(0.08, 0.05))], "cannot tell", "order +0.08"),
    ],
)
def test_a_site(questions: list[Measured], judgement: str, reason: str):
    found = of_site(questions)
    assert isinstance(found, Verdict)
    assert found.judgement == judgement
    assert reason in found.reason
