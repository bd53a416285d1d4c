"""What an input says, as numbers that can be estimated from an activation.

Dimensions: `n` inputs, `positions` of a row of the vocabulary, `width` numbers.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inversescope.generator.vocabulary import BOUNDARY

MOST_FACTS = 4096  # the most frequent count; bounds memory for long and varied inputs
NEGLIGIBLE = 1e-3  # of the largest singular value


def content(rows: Int[Tensor, "n positions"], width: int) -> Float[Tensor, "n width"]:
    """The principal components of an input's facts: uncorrelated numbers of unit variance, zero beyond their rank.

    A fact is which token stands where, or which earlier position a position repeats. The second kind is what an
    activation can know without knowing either token: "the second name came again".
    """
    facts = _facts(rows.clamp_min(BOUNDARY))
    columns, index, counts = facts.unique(return_inverse=True, return_counts=True)
    kept = counts.argsort(descending=True, stable=True)[:MOST_FACTS]
    place = torch.full((len(columns),), len(kept))
    place[kept] = torch.arange(len(kept))
    one_hot = torch.zeros(len(rows), len(kept) + 1).scatter_(1, place[index], 1.0)[:, :-1]
    one_hot -= one_hot.mean(0)
    rank = min(width, *one_hot.shape)
    with torch.random.fork_rng(devices=[]):  # the range finder draws its test matrix from torch's global generator
        torch.manual_seed(0)
        left, singular, _ = torch.svd_lowrank(one_hot, q=rank, niter=4)
    large = singular > singular[0] * NEGLIGIBLE
    components = torch.zeros(len(rows), width)
    components[:, : int(large.sum())] = left[:, large] * len(rows) ** 0.5
    return components


def _facts(tokens: Int[Tensor, "n positions"]) -> Int[Tensor, "n facts"]:
    """A number for each fact of each input: token t at position p, then: position p repeats q (the last such q)."""
    positions = tokens.shape[1]
    where = torch.arange(positions)
    vocabulary = int(tokens.max()) + 1
    stands = tokens + vocabulary * where
    same: Bool[Tensor, "n positions positions"] = tokens[:, :, None] == tokens[:, None, :]
    earlier = same & (where[None, :] < where[:, None]) & (tokens != BOUNDARY)[:, :, None]
    repeats = torch.where(earlier, where + 1, 0).amax(2)  # 0: repeats nothing
    return torch.cat((stands, vocabulary * positions + repeats + (positions + 1) * where), dim=1)
