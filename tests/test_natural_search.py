"""Searches on inputs that can be enumerated: they find the best, the nearest and the shortest, and keep them apart."""

from __future__ import annotations

import itertools

import pytest
import torch
from toy_text import LENGTH, TOKENS, Pool, TableProposal, TableText, posterior_of

from inversescope.natural_text.budget import Budget
from inversescope.natural_text.edits import one_token, other_beginning, splice
from inversescope.natural_text.posterior import Scored
from inversescope.natural_text.search import Answer, Kept, Material, by_density, by_distance, of_given_length, shortest

BANDWIDTH = 0.3


class AnyLength:
    """The toy's inputs of every length: a shorter one is as far as the nearest input that it ends, plus a little."""

    def __init__(self, posterior: TableText):
        self.posterior = posterior

    def __call__(self, tokens: torch.Tensor, same_before: int = 0) -> Scored:
        posterior, t = self.posterior, tokens.shape[1]
        if t == LENGTH:
            return posterior.score(tokens)
        by_end = posterior.distance.reshape(-1, TOKENS**t).min(0).values
        log_p = posterior.token_log_probs(tokens).sum(1)
        return Scored(log_p, by_end[posterior.place(tokens)] + 0.1 * (LENGTH - t))


def material_of(posterior: TableText, random: torch.Generator) -> Material:
    pool, end = Pool(posterior, 30, random), TableProposal()
    read = AnyLength(posterior)

    def fit(tokens: torch.Tensor) -> torch.Tensor:
        return -(read(tokens).distance ** 2) / 0.5

    def choose(ends: torch.Tensor, count: int) -> torch.Tensor:
        return pool.log_next(LENGTH - ends.shape[1], ends[:, 0]).topk(count, dim=1).indices

    scored = Scored(pool.token_log_p.sum(1), pool.distance)
    edits, whole = [one_token(posterior, end), splice], [other_beginning(pool)]
    return Material(read, pool.tokens, scored, end, fit, choose, lambda tokens: None, edits, whole)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_is_the_largest_density(seed: int):
    random, posterior = torch.Generator().manual_seed(seed), posterior_of(seed)
    answer = of_given_length("best", material_of(posterior, random), BANDWIDTH, Budget(tokens=4000), random, 2)
    density = posterior.log_p - posterior.distance**2 / (2 * BANDWIDTH**2)
    assert answer.kind == "best"
    assert answer.found[0].tokens == tuple(posterior.inputs[int(density.argmax())].tolist())
    values = [each.log_p - each.distance**2 / (2 * BANDWIDTH**2) for each in answer.found]
    assert values == sorted(values, reverse=True)
    assert len({each.tokens for each in answer.found}) == len(answer.found)


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_is_the_smallest_distance(seed: int):
    random, posterior = torch.Generator().manual_seed(seed), posterior_of(seed)
    answer = of_given_length("nearest", material_of(posterior, random), BANDWIDTH, Budget(tokens=4000), random, 2)
    assert answer.kind == "nearest"
    assert answer.found[0].tokens == tuple(posterior.inputs[int(posterior.distance.argmin())].tolist())


@pytest.mark.parametrize("seed", range(3))
def test_the_shortest_is_worth_its_tokens(seed: int):
    random, posterior = torch.Generator().manual_seed(seed), posterior_of(seed)
    answer = shortest(material_of(posterior, random), BANDWIDTH, Budget(tokens=4000), random)
    read, best = AnyLength(posterior), {}
    for t in range(1, LENGTH + 1):
        inputs = torch.tensor(list(itertools.product(range(TOKENS), repeat=t)))
        best[t] = float(by_density(BANDWIDTH)(read(inputs)).max())
    assert answer.kind == "shortest"
    assert len(answer.found[0].tokens) == max(best, key=lambda t: best[t])
    first = answer.found[0]
    assert first.log_p - first.distance**2 / (2 * BANDWIDTH**2) == pytest.approx(max(best.values()))
    assert answer.by_length[len(first.tokens)] == first


def test_ctrl_c_keeps_what_was_found():
    random, posterior = torch.Generator().manual_seed(0), posterior_of()

    def press(done: int, total: int, note: str = "", /) -> None:
        if "beginnings" in note:
            raise KeyboardInterrupt

    budget = Budget(tokens=4000, progress=press)
    answer = of_given_length("nearest", material_of(posterior, random), BANDWIDTH, budget, random, 2)
    assert answer.cancelled
    assert set(answer.by_length) == {1, LENGTH}
    assert len(answer.found[0].tokens) == LENGTH


def test_a_budget_of_tokens_is_kept():
    random, posterior = torch.Generator().manual_seed(0), posterior_of()
    answer: Answer = of_given_length("nearest", material_of(posterior, random), BANDWIDTH, Budget(tokens=200), random)
    assert 200 <= answer.tokens < 200 + 8 * 8 * LENGTH


def test_ends_and_beginnings_leave_edits_a_third_of_a_small_budget():
    random, posterior = torch.Generator().manual_seed(0), posterior_of()
    notes: list[str] = []
    budget = Budget(tokens=300, progress=lambda done, total, note="", /: notes.append(note))
    of_given_length("nearest", material_of(posterior, random), BANDWIDTH, budget, random, 3)
    assert any("beginnings" in note for note in notes) and any("edits" in note for note in notes)


@pytest.mark.parametrize("tokens", [100, 200, 300, 400])
def test_no_end_is_paid_for_that_has_no_beginning(tokens: int):
    """Whatever the budget: an end that no beginning is put before leads to no input."""
    random, posterior = torch.Generator().manual_seed(0), posterior_of()
    material, ends, begun = material_of(posterior, random), set(), set()

    def read(inputs: torch.Tensor, same_before: int = 0) -> Scored:
        ends.update({inputs.shape[1]} - {LENGTH})
        begun.update({LENGTH - same_before} if same_before else set())
        return material.read(inputs, same_before)

    def stop(inputs: torch.Tensor, count: int, random: torch.Generator):
        raise KeyboardInterrupt

    until_edits = material._replace(read=read, edits=[stop], whole=[stop])
    of_given_length("nearest", until_edits, BANDWIDTH, Budget(tokens=tokens), random, 3)
    assert ends and ends == begun


def test_an_input_is_kept_once_and_the_worst_goes():
    kept = Kept(by_distance, 2)
    tokens = torch.tensor([[1], [2], [1], [3]])
    kept.add(tokens, Scored(torch.zeros(4).double(), torch.tensor([3.0, 2.0, 3.0, 1.0]).double()))
    kept.add(torch.tensor([[2], [4]]), Scored(torch.zeros(2).double(), torch.tensor([2.0, float("nan")]).double()))
    assert [each.tokens for each in kept.found(1)] == [(3,), (2,)]
