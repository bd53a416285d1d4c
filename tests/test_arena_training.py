"""Training of the arena's methods: where it ends, what it costs, and that it finds what is planted."""

from __future__ import annotations

import sys
import time

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from refusals import refuses

from inversescope.arena.autoencoder import trained
from inversescope.arena.cost import Cost
from inversescope.arena.generated import new_inputs
from inversescope.arena.latents import best
from inversescope.arena.methods import chosen as named
from inversescope.arena.plateau import PATIENCE, train_to_plateau
from inversescope.arena.probes import linear, network
from inversescope.arena.supervised import Labelled
from inversescope.extras import install


def labelled(y: list[int], held: list[int], count: int) -> Labelled:
    rng = torch.Generator().manual_seed(0)
    x, held_x = (
        F.one_hot(torch.tensor(each), count) * 8 + torch.randn(len(each), count, generator=rng) for each in (y, held)
    )
    return Labelled(x, torch.tensor(y), held_x, torch.tensor(held), count)


def test_a_linear_probe_gives_probabilities_of_every_label_also_of_one_it_never_saw():
    given = labelled([0, 2] * 50, [0, 1, 2] * 5, 3)
    found = linear(given, torch.Generator(), np.inf).classify(given.held_x)
    assert torch.allclose(found.sum(1), torch.ones(15)) and (found[:, 1] == 0).all()
    assert (found[given.held_y == 0, 0] > 0.5).all() and (found[given.held_y == 2, 2] > 0.5).all()
    constant = linear(labelled([1] * 8, [1], 3), torch.Generator(), np.inf).classify(given.held_x)
    assert constant.tolist() == [[0, 1, 0]] * 15


def test_the_extra_is_only_needed_for_the_linear_probe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    assert [method.name for method in named(["mlp probe", "reference"], natural=False)] == ["reference", "mlp probe"]
    for names in ([], ["linear probe"], ["all latents"]):
        with refuses("scikit-learn", remedy=install("arena")):
            named(names, natural=False)


# The end of training


class Planned(torch.nn.Module):
    """A model whose held-out loss is planned, epoch by epoch."""

    def __init__(self, losses: list[float]):
        super().__init__()
        self.epoch, self.losses = torch.nn.Parameter(torch.zeros(())), losses

    def train_once(self) -> int:
        with torch.no_grad():
            self.epoch += 1
        return 3

    def loss(self) -> float:
        return self.losses[min(int(self.epoch), len(self.losses)) - 1]


def test_training_ends_at_the_plateau_with_the_best_weights_and_not_before():
    falling = [1.0, 0.5, *[0.6] * (PATIENCE - 1), 0.4, *[0.4] * 50]  # the last gain just within the patience
    model = Planned(falling)
    ended = train_to_plateau(model, model.train_once, model.loss, np.inf)
    assert ended.loss == 0.4 and not ended.cut and model.epoch == falling.index(0.4) + 1
    assert ended.steps == 3 * (falling.index(0.4) + 1 + PATIENCE)
    late = Planned([1.0, 0.5, *[0.6] * PATIENCE, 0.4])
    assert train_to_plateau(late, late.train_once, late.loss, np.inf).loss == 0.5


def test_a_training_that_the_time_ends_is_called_cut():
    model = Planned([1 / epoch for epoch in range(1, 1000)])
    ended = train_to_plateau(model, model.train_once, model.loss, time.monotonic() - 1)
    assert ended.cut and ended.steps == 3
    given = labelled([0, 2] * 50, [0, 1, 2] * 5, 3)
    assert network(given, torch.Generator(), time.monotonic() - 1).cut
    assert not network(given, torch.Generator(), time.monotonic() + 1000).cut


# New inputs


def test_only_near_inputs_that_are_neither_source_nor_trained_on_are_new():
    rows = [
        {"target": 0, "tokens": [1], "distance": 0.2, "source": False, "in_train": False},
        {"target": 0, "tokens": [1], "distance": 0.2, "source": False, "in_train": False},  # again
        {"target": 0, "tokens": [2], "distance": 0.2, "source": False, "in_train": True},
        {"target": 0, "tokens": [3], "distance": 0.0, "source": True, "in_train": False},
        {"target": 0, "tokens": [4], "distance": 0.4, "source": False, "in_train": False},  # too far
        {"target": 1, "tokens": [4], "distance": 0.4, "source": False, "in_train": False},
        {"target": 1, "tokens": None, "distance": None, "source": False, "in_train": False},
        {"target": 2, "tokens": [4], "distance": 0.1, "source": False, "in_train": False},  # nothing is typical
    ]
    assert new_inputs(pa.Table.from_pylist(rows), np.array([0.3, 0.5, np.nan])) == 2


def test_new_inputs_a_second_count_the_time_of_their_own_draws_and_of_training():
    cost = Cost(training=30.0, answering=20.0)
    cost.found(100, 0.5)
    assert cost.new_per_second == (10, 2.5)
    assert Cost().new_per_second == (None, None)


# An autoencoder


def test_the_autoencoder_finds_planted_sparse_directions():
    rng = torch.Generator().manual_seed(0)
    directions = F.normalize(torch.randn(20, 16, generator=rng), dim=1)
    codes = torch.rand(3000, 20, generator=rng) * (torch.rand(3000, 20, generator=rng) < 0.08)
    model, ended = trained(codes @ directions * 3, rng, time.monotonic() + 1000)
    assert not ended.cut
    alike = (directions @ model.decoder.detach().T).max(1).values
    assert (alike > 0.9).sum() >= 18, alike
    assert torch.allclose(model.decoder.norm(dim=1), torch.ones(len(model.decoder)), atol=1e-5)


def test_each_label_gets_the_latent_and_the_threshold_that_tell_it():
    latents = torch.rand(300, 10, generator=torch.Generator().manual_seed(1)).clamp_min(0.2) - 0.2
    codes = torch.arange(300) % 3
    latents[:, 4] = (codes == 0) * 0.7  # fires for the first label alone
    latents[:, 7] = 0.3 + (codes == 2) * 0.5  # always there, and larger for the third
    other = torch.where(torch.arange(300) < 150, codes, -1)  # half of the inputs have no label of this one
    both = best(latents, {"first": codes, "other": other}, {"first": 3, "other": 3})
    found = both["first"]
    assert both["other"].latents[0] == 4 and both["other"].above[0] == 1
    assert found.latents[0] == 4 and found.latents[2] == 7
    assert found.above[0] == 1 and found.below[0] == 0
    assert 0.3 <= found.thresholds[2] < 0.8 and found.above[2] == 1
