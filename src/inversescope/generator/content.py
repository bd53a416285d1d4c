"""What an input says, as numbers that a linear map can estimate from an activation."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.generator.vocabulary import BOUNDARY


def content(rows: Int[Tensor, "n positions"], vocabulary: int, width: int) -> Float[Tensor, "n width"]:
    """What the inputs say, as `width` uncorrelated numbers of unit variance: the principal components of which token
    stands where. Columns beyond the rank are zero."""
    places = rows[:, 1:].clamp_min(BOUNDARY) + vocabulary * torch.arange(rows.shape[1] - 1)
    used, index = places.unique(return_inverse=True)
    one_hot = torch.zeros(len(rows), len(used)).scatter_(1, index, 1.0)
    one_hot -= one_hot.mean(0)
    rank = min(width, *one_hot.shape)
    with torch.random.fork_rng(devices=[]):  # the range finder draws its test matrix from torch's global generator
        torch.manual_seed(0)
        left, singular, _ = torch.svd_lowrank(one_hot, q=rank, niter=4)
    kept = singular > singular[0] * 1e-3
    components = torch.zeros(len(rows), width)
    components[:, : int(kept.sum())] = left[:, kept] * len(rows) ** 0.5
    return components
