"""Weights over samples and what can be said of them: kernel, normalisation, effective sample size."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

# A target whose weights are worth fewer samples than this has collapsed: it is counted, and left out of the average.
COLLAPSED = 4.0
ACCEPTED = 0.1  # δ at which a sample counts as accepted: InversionView's neighbourhood (arXiv 2405.17653)


def log_kernel(
    distances: Float[ndarray, "*shape"], bandwidth: float | Float[ndarray, "*#shape"]
) -> Float[ndarray, "*shape"]:
    """ln k(δ/h) of the Gaussian kernel k(u) = exp(−u²/2)."""
    return -0.5 * (distances / bandwidth) ** 2


def log_importance(
    distances: Float[ndarray, " n"],
    bandwidth: float | Float[ndarray, " n"],
    log_prior: Float[ndarray, " n"],
    log_q: Float[ndarray, " n"],
) -> Float[ndarray, " n"]:
    """ln of P(x) k(δ/h) / q(x | ẑ, s, h), not normalised: turns draws from q into draws from P(x; ẑ, s, h)."""
    return log_prior + log_kernel(distances, bandwidth) - log_q


def normalise(log_weights: Float[ndarray, "*batch n"]) -> Float[ndarray, "*batch n"]:
    """Weights that sum to one over the last axis; all zero where every log weight is −inf."""
    highest = log_weights.max(-1, keepdims=True)
    weights = np.exp(log_weights - np.where(np.isfinite(highest), highest, 0))
    total = weights.sum(-1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)


def effective_sample_size(weights: Float[ndarray, "*batch n"]) -> Float[ndarray, "*batch"]:
    """(Σw)² / Σw² (Kish 1965): how many equal weights would say as much; 0 where all weights are 0."""
    squares = (weights**2).sum(-1)
    return np.divide(weights.sum(-1) ** 2, squares, out=np.zeros_like(squares), where=squares > 0)
