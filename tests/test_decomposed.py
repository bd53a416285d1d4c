"""Parts of a divergence (benchmarks/decomposed.py): those by token and of inputs add up, and a wrong part is seen."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import test_generator
import torch

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import decomposed  # pyright: ignore[reportMissingImports]

INPUTS = [x for length in (1, 2, 3) for x in itertools.product((7, 9), repeat=length)]
ROWS = test_generator.generator().vocabulary.encode(INPUTS)


class Halves(decomposed.Parts):
    """Parts over these inputs, every other one trained on, without a store."""

    def __init__(self, distances: np.ndarray):
        self._generator, self._rows = test_generator.generator(), ROWS
        self._trained = np.arange(len(INPUTS)) % 2 == 0
        self._beginnings = decomposed.beginnings(ROWS)
        self._activations = torch.zeros(len(distances), 4)
        self._truth = SimpleNamespace(
            distances=distances, pool=SimpleNamespace(log_prior=np.zeros(len(INPUTS))), at=self._at
        )

    def _at(self, h: float) -> np.ndarray:
        p = np.exp(-((self._truth.distances / h) ** 2) / 2)
        return p / p.sum(1, keepdims=True)


def parts() -> Halves:
    return Halves(np.random.default_rng(0).random((3, len(INPUTS))) + 0.1)


def test_the_parts_of_tokens_and_of_inputs_add_up_to_the_divergence():
    p, made = np.random.default_rng(1).dirichlet(np.ones(len(INPUTS))), test_generator.generator()
    condition = test_generator.conditions(made, 1)
    log_q = -test_generator.nats(made, ROWS, condition.expand(len(INPUTS), -1)).double().numpy()
    by_token, trained = parts()._of_target(p, condition[0])
    assert by_token.sum() == pytest.approx((p * (np.log(p) - log_q)).sum(), abs=1e-4)
    assert trained == pytest.approx((p * (np.log(p) - log_q))[::2].sum(), abs=1e-4)
    assert len(by_token) == ROWS.shape[1] - 1


def test_a_generator_that_knows_the_first_token_loses_nothing_there():
    p = np.random.default_rng(1).dirichlet(np.ones(len(INPUTS)))
    made = parts()
    log_q = decomposed.token_log_q(made._generator, ROWS, test_generator.conditions(made._generator, 1)).T[0]
    tokens = ROWS[:, 1].numpy()
    share = {token: np.exp(log_q[tokens == token][0]) for token in set(tokens.tolist())}
    known = sum(share.values())  # without the boundary, which no input begins with
    q_first = np.array([share[token] / known * p[tokens == token].sum() ** -1 for token in tokens.tolist()]) * p
    by_token, _ = made._of_target(q_first, test_generator.conditions(made._generator, 1)[0])
    assert by_token[0] == pytest.approx(-np.log(known), abs=1e-4)
    assert by_token[1:].sum() > 10 * abs(by_token[0] + np.log(known))


@pytest.mark.parametrize("error", [0.02, 0.2])
def test_the_error_of_a_reading_is_found_from_what_it_costs(error: float):
    made, h = parts(), 0.05
    cost = made._cost(h, np.full(3, error))
    assert cost > 0 and made._cost(h, np.zeros(3)) == pytest.approx(0, abs=1e-9)
    assert made._reading_error(h, cost) == pytest.approx(error, rel=0.01)


def test_coverage_counts_an_input_once_and_no_input_that_the_prior_lacks():
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    places = np.array([[0, 0, -1, 1], [2, -1, 2, 0]])
    assert decomposed.covered(p, places, 3) == pytest.approx((0.5 + 0.8) / 2)
    assert decomposed.covered(p, places, 4) == pytest.approx((0.8 + 0.9) / 2)
