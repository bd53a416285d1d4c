"""The emulator: activations of inputs that were not read, where they are known by construction."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from inversescope.collect.distance import Distance
from inversescope.generator import Vocabulary
from inversescope.sites import Site
from inversescope.tasks import Tokens
from inversescope.train.emulator import Emulator
from inversescope.units import Units

PAIRS, NOISE = Site("resid_post", 0), Site("resid_post", 1)
INPUTS: list[Tokens] = list(itertools.product(range(1, 9), range(11, 19), range(21, 27)))


def rows(inputs: list[Tokens]) -> Tensor:
    return Vocabulary.of(INPUTS).encode(inputs)


def activations() -> dict[Site, Tensor]:
    """At PAIRS a sum over pairs of tokens, and a coordinate that never varies; at NOISE numbers without any rule."""
    rng = torch.Generator().manual_seed(0)
    pair = torch.randn(3, 27, 27, 8, generator=rng)
    summed = [pair[0, a, b] + pair[1, b, c] + pair[2, a, c] for a, b, c in INPUTS]
    constant = torch.full((len(INPUTS), 1), 5.0)
    return {
        PAIRS: torch.cat((torch.stack(summed), constant), 1),
        NOISE: torch.randn(len(INPUTS), 8, generator=rng),
    }


@pytest.fixture(scope="module")
def split() -> tuple[list[int], list[int]]:
    order = np.random.default_rng(1).permutation(len(INPUTS)).tolist()
    return order[:250], order[250:]


@pytest.fixture(scope="module")
def emulator(split: tuple[list[int], list[int]]) -> Emulator:
    read = split[0]
    known = {site: z[read] for site, z in activations().items()}
    return Emulator.of(rows([INPUTS[i] for i in read]), known, {site: Units.of(z) for site, z in known.items()})


def errors(emulator: Emulator, site: Site, at: list[int], read: list[int]) -> Tensor:
    """δ between predicted and real activations."""
    z = activations()[site]
    units = Units.of(z[read])
    predicted = emulator.predict(rows([INPUTS[i] for i in at]), {site: units})[site]
    return Distance.of("standardized", units).paired(predicted, z[at])


def test_activations_that_are_sums_over_pairs_are_predicted(emulator: Emulator, split: tuple[list[int], list[int]]):
    read, others = split
    found, fit = errors(emulator, PAIRS, others, read), emulator.sites[PAIRS]
    assert fit.useful
    assert float((found**2).mean().sqrt()) < 0.5 * fit.nearest


def test_its_error_is_known_without_other_inputs(emulator: Emulator, split: tuple[list[int], list[int]]):
    read, others = split
    real = float((errors(emulator, PAIRS, others, read) ** 2).mean().sqrt())
    assert real < emulator.sites[PAIRS].error < 1.6 * real  # fitted to one input less, and less to be wrong about


def test_left_out_errors_are_those_of_fits_without_each_input():
    few = list(range(0, len(INPUTS), 12))
    z = activations()[PAIRS][few, :3]
    whole = Emulator.of(rows([INPUTS[i] for i in few]), {PAIRS: z}, {PAIRS: Units.of(z)})
    kernel = whole._kernel(whole.features, 2).double()
    from inversescope.train import emulator as module

    left_out = module._left_out(module._inverse(kernel, 0.01), z - z.mean(0))
    ridge = 0.01 * kernel.diagonal().mean()
    for i in (0, 7, len(few) - 1):
        rest = [j for j in range(len(few)) if j != i]
        inner = kernel[rest][:, rest] + ridge * torch.eye(len(rest)).double()
        predicted = kernel[i, rest] @ torch.linalg.solve(inner, (z - z.mean(0))[rest].double())
        assert left_out[i].numpy() == pytest.approx((z[i] - z.mean(0) - predicted).numpy(), abs=1e-3)


def test_what_follows_no_rule_is_of_no_use(emulator: Emulator):
    fit = emulator.sites[NOISE]
    assert not fit.useful and fit.error > fit.nearest


def test_an_input_that_was_read_is_predicted_better_than_others(emulator: Emulator, split: tuple[list[int], list[int]]):
    read, others = split
    assert errors(emulator, PAIRS, read, read).mean() < errors(emulator, PAIRS, others, read).mean()
