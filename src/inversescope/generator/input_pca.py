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
    """Facts of one kind, and how to read them back: `prior` + components @ `loadings` are their probabilities.

    Fact i is `value[i]` at `place[i]`; what these are, the kind says.
    """

    prior: Float[Tensor, " facts"]  # in how many of the inputs it holds, above 0
    loadings: Float[Tensor, "width facts"]
    place: Int[Tensor, " facts"]
    value: Int[Tensor, " facts"]

    def __len__(self) -> int:
        return len(self.prior)


@dataclass(frozen=True)
class Content:
    """The principal components of the facts of some inputs, by kind:

    `tokens`: that a token (value) stands at a position (place);
    `repeats`: that a position (place) repeats an earlier one (value: 1 + the latest such, 0 for none);
    `counts`: that a token (value) occurs at all (place 0), or more than once (place 1).

    The last two are what an activation can know without knowing the first: "the second name came again", "Mary occurs".
    """

    rows: Int[Tensor, "n positions"]  # of the vocabulary, padded with the boundary
    components: Float[Tensor, "n width"]  # uncorrelated, of mean 0 and variance 1, or all zero beyond the facts' rank
    tokens: Facts
    repeats: Facts
    counts: Facts

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many facts there are of each kind."""
        return len(self.tokens), len(self.repeats), len(self.counts)


def content(rows: Int[Tensor, "n positions"], width: int) -> Content:
    """What these inputs (rows of the vocabulary) say, in `width` numbers each."""
    vocabulary = int(rows.max()) + 1
    facts, starts = _facts(rows.clamp_min(BOUNDARY), vocabulary)
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
    fact = columns[kept]

    def read(kind: int, values: int) -> Facts:
        chosen = (fact >= starts[kind]) & (fact < starts[kind + 1])
        number = fact[chosen] - starts[kind]
        return Facts(prior[chosen], loadings[:, chosen], number // values, number % values)

    return Content(
        rows.clamp_min(BOUNDARY), components, read(0, vocabulary), read(1, rows.shape[1] + 1), read(2, vocabulary)
    )


def _facts(tokens: Int[Tensor, "n positions"], vocabulary: int) -> tuple[Int[Tensor, "n facts"], tuple[int, ...]]:
    """A number for each fact of each input, and where the numbers of each kind start (`Content`), and the last ends."""
    positions = tokens.shape[1]
    where = torch.arange(positions)
    starts = (0, vocabulary * positions, (vocabulary + positions + 1) * positions)
    written = tokens != BOUNDARY
    same: Bool[Tensor, "n positions positions"] = (tokens[:, :, None] == tokens[:, None, :]) & written[:, :, None]
    earlier = same & (where[None, :] < where[:, None])
    repeats = torch.where(earlier, where + 1, 0).amax(2)  # 0: repeats nothing
    again = torch.where(same.sum(2) > 1, tokens, BOUNDARY)
    numbers = (
        starts[0] + tokens + vocabulary * where,
        starts[1] + repeats + (positions + 1) * where,
        starts[2] + tokens,
        starts[2] + vocabulary + again,
    )
    return torch.cat(numbers, dim=1), (*starts, starts[2] + 2 * vocabulary)
