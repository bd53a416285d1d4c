"""Token bias: tables read back from components are those of the inputs, and bias the next token as they must."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from inversescope.generator.input_pca import InputPCA
from inversescope.generator.token_bias import KINDS, BiasTables, IndicatorReadout, Occurrences

# Rows of the vocabulary; 0 is the boundary, and pads behind the end.
ROWS = torch.tensor(
    [[0, a, b, c, 0] for a, b in itertools.permutations((1, 2, 3), 2) for c in (a, b)] + [[0, 4, 0, 0, 0]]
)
FLOOR = 0.03
POSITIONS, VOCABULARY, WIDTH = ROWS.shape[1], 6, 32  # token 5 never occurs


@pytest.fixture(scope="module")
def readout() -> IndicatorReadout:
    pca = InputPCA.of(ROWS, WIDTH)
    made = IndicatorReadout(pca.sizes, POSITIONS, VOCABULARY, WIDTH)
    made.fit(pca)
    return made


@pytest.fixture(scope="module")
def exact(readout: IndicatorReadout) -> BiasTables:
    """Tables of each input's own components."""
    return readout(InputPCA.of(ROWS, WIDTH).components, torch.full((len(ROWS), KINDS), FLOOR))


def share(indicators: Tensor) -> Tensor:
    return indicators.double().mean(0)


def test_exact_components_give_back_the_input(exact: BiasTables):
    one_hot = torch.nn.functional.one_hot(ROWS, VOCABULARY)
    assert exact.difference.numpy() == pytest.approx((one_hot - share(one_hot)).numpy(), abs=1e-4)
    best = exact.token.argmax(2)
    varying = (share(one_hot).amax(1) < 1).nonzero()[:, 0]
    assert torch.equal(best[:, varying], ROWS[:, varying])
    assert exact.token.min() >= math.log(FLOOR / (1 + FLOOR)) - 1e-4


def test_components_of_zero_give_the_prior(readout: IndicatorReadout):
    prior = readout(torch.zeros(1, WIDTH), torch.full((1, KINDS), FLOOR))
    assert prior.difference.abs().max() == prior.token.abs().max() == prior.count.abs().max() == 0
    # The third position repeats the first name as often as the second; the others repeat nothing.
    third = prior.repeat[0, 3].exp() - FLOOR
    names = 12 / 13
    assert third[:4].tolist() == pytest.approx([1 / 13, 0, names / 2, names / 2], abs=1e-5)
    assert (prior.repeat[0, 2].exp() - FLOOR).tolist() == pytest.approx([1, *[0] * POSITIONS], abs=1e-5)


def test_the_bias_of_the_next_token_depends_on_the_prefix(exact: BiasTables):
    row = ROWS.tolist().index([0, 1, 2, 1, 0])
    tables = exact.select(torch.tensor([row]))
    occurrences = Occurrences.of(ROWS[row : row + 1, :3], VOCABULARY, 0, None)
    token, repeat, count = (part[0] for part in tables.terms(occurrences, 1))
    assert token.shape == repeat.shape == count.shape == (3, VOCABULARY)
    assert token[0].argmax() == 1
    # After "1 2" comes a repetition of 1, which occurs again; 2 does not, nor do tokens outside the prefix.
    assert repeat[2].exp()[[1, 2, 3]].tolist() == pytest.approx([1 + FLOOR, FLOOR, FLOOR], abs=1e-3)
    assert count[2, 1] > 1 > -1 > count[2, 2]
    # After the boundary alone, 1 and 2 are sure to occur, and 3 is sure not to.
    assert min(count[0, 1], count[0, 2]) > 1 > -1 > count[0, 3]


def test_occurrences_token_by_token_are_those_of_all_tokens_at_once():
    tokens = torch.tensor([[0, 2, 2, 3, 2], [0, 1, 3, 1, 0]])
    whole = Occurrences.of(tokens, VOCABULARY, 0, None)
    before = None
    for column in range(tokens.shape[1]):
        before = Occurrences.of(tokens[:, column : column + 1], VOCABULARY, column, before)
        assert torch.equal(before.count[:, 0], whole.count[:, column])
        assert torch.equal(before.latest[:, 0], whole.latest[:, column])
    assert whole.count[0, -1].tolist() == [0, 0, 3, 1, 0, 0]
    assert whole.latest[0, -1].tolist() == [0, 0, 5, 4, 0, 0]  # 1 + the position
    assert whole.count[:, :, 0].sum() == 0  # the boundary does not count
