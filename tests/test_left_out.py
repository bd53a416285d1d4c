"""Planted targets whose weights have collapsed, and others that only look so: the rule leaves out the first alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from toy_world import ToyTask

from inversescope.sample.one_target import KNOWN, TYPICAL, log_floor, weigh
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import weighted_medians
from inversescope.tasks import Tokens
from inversescope.verdicts import FAR, MISSED, NO_WEIGHT, TOO_FEW, mostly_left_out, why_left_out

INPUTS = [(i,) for i in range(400)]
LOG_PRIOR = np.full(400, -np.log(400))


def weighed(drawn: list[int], distances: np.ndarray, h: float, log_q: np.ndarray, near: float = np.inf):
    """Draws from a prior of 400 equally likely inputs; the source is input 0."""
    tokens = [INPUTS[i] for i in drawn]
    return weigh(tokens, distances[drawn], Kernel.GAUSSIAN, h, LOG_PRIOR[drawn], log_q[drawn], LOG_PRIOR[0], near)


FINE = np.r_[0.0, np.full(399, 1.0)]  # at h = 0.1 the posterior is the source alone
WIDE = np.zeros(400)  # every input is as near as the source


def test_a_source_drawn_at_a_fine_resolution_is_right_and_kept():
    found = weighed([0] * 24, FINE, 0.1, np.log(np.r_[0.99, np.full(399, 0.01 / 399)]))
    assert (found.size, found.left_out) == (1, None)
    assert found.times.tolist() == [24, *[0] * 23]
    assert found.weight.tolist() == [1, *[0] * 23]
    assert np.exp(found.log_normaliser) == pytest.approx(1 / 400)


def test_draws_that_never_found_the_source_are_left_out_though_many_inputs_weigh_alike():
    found = weighed([*range(1, 25)], FINE, 0.1, np.full(400, -np.log(399)))
    assert found.size == pytest.approx(24)
    assert found.left_out == MISSED


def test_many_draws_of_one_wrong_input_are_one_input():
    near = np.r_[0.0, 0.3, np.full(398, 1.0)]
    found = weighed([1] * 24, near, 0.1, np.log(np.r_[0.001, 0.9, np.full(398, 0.099 / 398)]))
    assert (found.size, found.left_out) == (1, MISSED)


def test_weights_on_one_input_at_a_wide_resolution_are_left_out():
    q = np.full(400, 1e-6)
    q[1:24], q[30] = 0.04, 1e-5  # input 30 came up by luck
    found = weighed([*range(1, 24), 30], WIDE, 1.0, np.log(q))
    assert found.log_normaliser > LOG_PRIOR[0]  # the normaliser alone lets it pass
    assert found.left_out == TOO_FEW
    assert weighed([*range(24)], WIDE, 1.0, np.full(400, -np.log(400))).left_out is None


def test_a_draw_farther_than_what_is_typical_is_no_finding():
    far = np.full(400, 0.12)
    q = np.full(400, -np.log(400))
    assert weighed([*range(1, 25)], far, 0.1, q, near=0.2).left_out is None
    assert weighed([*range(1, 25)], far, 0.1, q, near=0.1).left_out == FAR


def test_what_is_outside_of_the_prior_has_no_weight():
    found = weigh(INPUTS[:4], np.zeros(4), Kernel.GAUSSIAN, 0.1, np.full(4, -np.inf), np.zeros(4), 0.0, 1.0)
    assert (found.left_out, found.size, found.log_normaliser) == (NO_WEIGHT, 0, -np.inf)


@pytest.mark.parametrize(
    ("size", "spread", "normaliser", "floor", "near", "reason"),
    [
        (1.0, 1.0, 0.0, 0.0, True, None),
        (1.0, 1.0, np.log(0.61), 0.0, True, None),
        (24.0, 24.0, np.log(0.59), 0.0, True, MISSED),
        (1.0, 1.0, np.log(400), 0.0, True, None),  # the source, found by luck
        (1.0, 2.1, 0.0, 0.0, True, TOO_FEW),
        (3.9, 24.0, np.log(400), 0.0, True, TOO_FEW),
        (4.0, 24.0, np.log(400), 0.0, True, None),
        (4.0, 24.0, 5000.0, -5000.0, True, None),
        (3.9, 1.0, 0.0, np.nan, True, TOO_FEW),  # nothing is known of the source's probability: the size decides
        (4.0, 24.0, 0.0, np.nan, True, None),
        (4.0, 4.0, 0.0, np.nan, False, FAR),
        (0.0, 0.0, -np.inf, np.nan, False, NO_WEIGHT),
    ],
)
def test_the_rule(size: float, spread: float, normaliser: float, floor: float, near: bool, reason: str | None):
    assert why_left_out(size, spread, normaliser, floor, near) == reason


def test_a_source_found_by_luck_at_a_fine_resolution_is_kept():
    q = np.full(400, 1e-6)
    q[1:24], q[0] = 0.04, 0.001
    found = weighed([*range(1, 24), 0], FINE, 0.1, np.log(q))
    assert found.log_normaliser > LOG_PRIOR[0] + 3  # it was not likely to be drawn
    assert (found.size, found.left_out) == (pytest.approx(1), None)


class Known(ToyTask):
    """A prior that knows some inputs."""

    def log_prior(self, tokens: Sequence[int]) -> float | None:
        known: dict[Tokens, float | None] = {(0,): -1.0, (1,): -3.0, (2,): None}
        return known.get(tuple(tokens), -np.inf)


def test_the_sources_term_is_known_typical_or_neither():
    assert log_floor(Known(), (0,), [(0,), (1,)]) == (-1.0, KNOWN)
    assert log_floor(Known(), (9,), [(0,), (1,), (2,)]) == (-2.0, TYPICAL)
    value, origin = log_floor(Known(), (2,), [(2,)])
    assert np.isnan(value) and origin is None


def test_a_score_on_the_smaller_part_of_the_targets_shows_no_absence():
    assert [mostly_left_out({"targets": 10, "collapsed": c}) for c in (0, 9, 10)] == [False, False, True]
    assert not mostly_left_out({"necessity": 0.1})


def test_medians_by_weight_row_by_row():
    values, weights = np.array([[3.0, 1.0, 2.0]] * 3), np.array([[0.2, 0.2, 0.6], [0.6, 0.2, 0.2], [0, 0, 0]])
    assert weighted_medians(values, weights).tolist() == [2, 3, np.inf]
