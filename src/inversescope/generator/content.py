"""What an input says, as numbers that can be estimated from an activation.

Dimensions: `n` inputs, `positions` of a row of the vocabulary, `width` numbers.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inversescope.generator.vocabulary import BOUNDARY

MOST_FACTS = 4096  # the most frequent count; bounds memory for long and varied inputs
NEGLIGIBLE = 1e-3  # of the largest singular value


@dataclass(frozen=True)
class Facts:
    """Facts of one kind, and how to read them back: fact i has the probability `prior[i]` + components @ `loadings[:, i]`.

    It is `value[i]` at `position[i]`: the token that stands there, or 1 + the position that is repeated there (0: none).
    """

    prior: Float[Tensor, " facts"]  # in how many of the inputs it holds, above 0
    loadings: Float[Tensor, "width facts"]
    position: Int[Tensor, " facts"]
    value: Int[Tensor, " facts"]


@dataclass(frozen=True)
class Content:
    """The principal components of the facts of some inputs.

    A fact is which token stands where, or which earlier position a position repeats. The second kind is what an
    activation can know without knowing either token: "the second name came again".
    """

    components: Float[Tensor, "n width"]  # uncorrelated, of mean 0 and variance 1, or all zero beyond the facts' rank
    tokens: Facts
    repeats: Facts


def content(rows: Int[Tensor, "n positions"], width: int) -> Content:
    """What these inputs (rows of the vocabulary) say, in `width` numbers each."""
    vocabulary = int(rows.max()) + 1
    facts = _facts(rows.clamp_min(BOUNDARY), vocabulary)
    columns, index, counts = facts.unique(return_inverse=True, return_counts=True)
    kept = counts.argsort(descending=True, stable=True)[:MOST_FACTS]
    place = torch.full((len(columns),), len(kept))
    place[kept] = torch.arange(len(kept))
    one_hot = torch.zeros(len(rows), len(kept) + 1).scatter_(1, place[index], 1.0)[:, :-1]
    prior = one_hot.mean(0)
    one_hot -= prior
    rank = min(width, *one_hot.shape)
    with torch.random.fork_rng(devices=[]):  # the range finder draws its test matrix from torch's global generator
        torch.manual_seed(0)
        left, singular, right = torch.svd_lowrank(one_hot, q=rank, niter=4)
    large = singular > singular[0] * NEGLIGIBLE
    components, loadings = torch.zeros(len(rows), width), torch.zeros(width, len(kept))
    components[:, : int(large.sum())] = left[:, large] * len(rows) ** 0.5
    loadings[: int(large.sum())] = (right * singular)[:, large].T / len(rows) ** 0.5
    fact, positions = columns[kept], rows.shape[1]

    def read(chosen: Bool[Tensor, " facts"], first: int, values: int) -> Facts:
        number = fact[chosen] - first
        return Facts(prior[chosen], loadings[:, chosen], number // values, number % values)

    stands = fact < vocabulary * positions
    return Content(components, read(stands, 0, vocabulary), read(~stands, vocabulary * positions, positions + 1))


def _facts(tokens: Int[Tensor, "n positions"], vocabulary: int) -> Int[Tensor, "n facts"]:
    """A number for each fact of each input: token t at position p, then: position p repeats q (the last such q)."""
    positions = tokens.shape[1]
    where = torch.arange(positions)
    stands = tokens + vocabulary * where
    same: Bool[Tensor, "n positions positions"] = tokens[:, :, None] == tokens[:, None, :]
    earlier = same & (where[None, :] < where[:, None]) & (tokens != BOUNDARY)[:, :, None]
    repeats = torch.where(earlier, where + 1, 0).amax(2)  # 0: repeats nothing
    return torch.cat((stands, vocabulary * positions + repeats + (positions + 1) * where), dim=1)
