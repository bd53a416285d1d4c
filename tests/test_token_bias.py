"""What is read back from an estimate is what the inputs say, and says of the next token what it must."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from inversescope.generator.input_pca import content
from inversescope.generator.token_bias import KINDS, Expectation, Expected, Written

# The generator's own tokens; 0 begins and ends, and fills up behind the end.
ROWS = torch.tensor(
    [[0, a, b, c, 0] for a, b in itertools.permutations((1, 2, 3), 2) for c in (a, b)] + [[0, 4, 0, 0, 0]]
)
DOUBT = 0.03
POSITIONS, VOCABULARY, WIDTH = ROWS.shape[1], 6, 32  # token 5 never occurs


@pytest.fixture(scope="module")
def expectation() -> Expectation:
    says = content(ROWS, WIDTH)
    made = Expectation(says.sizes, POSITIONS, VOCABULARY, WIDTH)
    made.fit(says)
    return made


@pytest.fixture(scope="module")
def exact(expectation: Expectation) -> Expected:
    """What is expected where the estimate is an input's own content."""
    return expectation(content(ROWS, WIDTH).components, torch.full((len(ROWS), KINDS), DOUBT))


def share(holds: Tensor) -> Tensor:
    return holds.double().mean(0)


def test_an_exact_estimate_expects_the_input_itself(exact: Expected):
    stands = torch.nn.functional.one_hot(ROWS, VOCABULARY)
    assert exact.excess.numpy() == pytest.approx((stands - share(stands)).numpy(), abs=1e-4)
    best = exact.token.argmax(2)
    varying = (share(stands).amax(1) < 1).nonzero()[:, 0]
    assert torch.equal(best[:, varying], ROWS[:, varying])
    assert exact.token.min() >= math.log(DOUBT / (1 + DOUBT)) - 1e-4


def test_knowing_nothing_says_of_each_token_what_the_prior_says(expectation: Expectation):
    nothing = expectation(torch.zeros(1, WIDTH), torch.full((1, KINDS), DOUBT))
    assert nothing.excess.abs().max() == nothing.token.abs().max() == nothing.more.abs().max() == 0
    # The third position repeats the first name as often as the second; the others repeat nothing.
    third = nothing.repeat[0, 3].exp() - DOUBT
    names = 12 / 13
    assert third[:4].tolist() == pytest.approx([1 / 13, 0, names / 2, names / 2], abs=1e-5)
    assert (nothing.repeat[0, 2].exp() - DOUBT).tolist() == pytest.approx([1, *[0] * POSITIONS], abs=1e-5)


def test_what_is_said_of_the_next_token_depends_on_what_is_written(exact: Expected):
    row = ROWS.tolist().index([0, 1, 2, 1, 0])
    mine = Expected(*(part[row : row + 1] for part in (exact.excess, exact.token, exact.repeat, exact.more)))
    written = Written.of(ROWS[row : row + 1, :3], VOCABULARY, 0, None)
    token, repeat, more = (part[0] for part in mine.next(written, 1))
    assert token.shape == repeat.shape == more.shape == (3, VOCABULARY)
    assert token[0].argmax() == 1
    # After "1 2" comes a repetition of 1, which occurs again; 2 does not, nor does what has not been written.
    assert repeat[2].exp()[[1, 2, 3]].tolist() == pytest.approx([1 + DOUBT, DOUBT, DOUBT], abs=1e-3)
    assert more[2, 1] > 1 > -1 > more[2, 2]
    # Before anything is written, 1 and 2 are sure to occur, and 3 is sure not to.
    assert min(more[0, 1], more[0, 2]) > 1 > -1 > more[0, 3]


def test_what_is_written_token_by_token_is_what_is_written_at_once():
    tokens = torch.tensor([[0, 2, 2, 3, 2], [0, 1, 3, 1, 0]])
    whole = Written.of(tokens, VOCABULARY, 0, None)
    before = None
    for column in range(tokens.shape[1]):
        before = Written.of(tokens[:, column : column + 1], VOCABULARY, column, before)
        assert torch.equal(before.count[:, 0], whole.count[:, column])
        assert torch.equal(before.latest[:, 0], whole.latest[:, column])
    assert whole.count[0, -1].tolist() == [0, 0, 3, 1, 0, 0]
    assert whole.latest[0, -1].tolist() == [0, 0, 5, 4, 0, 0]  # 1 + the position
    assert whole.count[:, :, 0].sum() == 0  # the boundary is nothing written
