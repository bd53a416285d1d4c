"""Bridges: what a part of an input says about its activation, as a Gaussian fitted in closed form on the pool.

Nothing depends on their quality but the number of proposals that are needed: weights are exact whatever they are.
Dimensions: `n` pairs, `d` coordinates of the site, `e` ends, `r` beginnings, `b` bandwidths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

RIDGES = (10.0, 100.0, 1000.0)
HELD_OUT = 5  # one pair in so many chooses the ridge
SHRUNK = 0.1  # share of the covariance's diagonal in place of the covariance


@dataclass(frozen=True)
class Bridge:
    """u = end @ A + beginning @ B + c + residual, with the residual's covariance as its eigenvectors and eigenvalues.

    It computes on the device of the activations from which it is fitted, whatever device its arguments are on.

    Attributes:
        explained: share of the variance of u that it explains in held-out pairs.
    """

    end: Float[Tensor, "d d"]
    beginning: Float[Tensor, "d d"] | None
    constant: Float[Tensor, " d"]
    vectors: Float[Tensor, "d d"]
    values: Float[Tensor, " d"]
    explained: float

    @classmethod
    def fit(
        cls, activation: Float[Tensor, "n d"], end: Float[Tensor, "n d"], beginning: Float[Tensor, "n d"] | None
    ) -> Self:
        """Ridge regression on standardized activations; the ridge that predicts held-out pairs best."""
        features = end if beginning is None else torch.cat([end, beginning], 1)
        held = torch.arange(len(features), device=features.device) % HELD_OUT == 0
        tried = _ridges(features[~held], activation[~held])
        errors = [float(((activation[held] - features[held] @ w - c) ** 2).mean()) for w, c in tried]
        best = min(range(len(RIDGES)), key=errors.__getitem__)
        weights, constant = tried[best]
        residual = activation[held] - features[held] @ weights - constant
        covariance = (1 - SHRUNK) * residual.T @ residual / len(residual)
        covariance += torch.diag((residual**2).mean(0)) * SHRUNK
        values, vectors = torch.linalg.eigh(covariance)
        variance = float(((activation[held] - activation[held].mean(0)) ** 2).mean())
        width = end.shape[1]
        return cls(
            weights[:width],
            None if beginning is None else weights[width:],
            constant,
            vectors,
            values.clamp_min(1e-6),
            1 - errors[best] / max(variance, 1e-12),
        )

    def ends(self, ends: Float[Tensor, "e d"]) -> Float[Tensor, "e d"]:
        """Parts of the prediction that ends make, along the eigenvectors."""
        return ends.to(self.end.device) @ (self.end @ self.vectors)

    def beginnings(self, beginnings: Float[Tensor, "r d"]) -> Float[Tensor, "r d"]:
        """The same of beginnings."""
        assert self.beginning is not None
        return beginnings.to(self.end.device) @ (self.beginning @ self.vectors)

    def log_kernel(
        self,
        target: Float[Tensor, " d"],
        ends: Float[Tensor, "e d"],
        bandwidth: float,
        beginnings: Float[Tensor, "r d"] | None = None,
    ) -> Float[Tensor, "e _"]:
        """ln of the kernel's expectation over the residual, up to a constant, for each end and each beginning if given.

        The kernel exp(−δ²/2h²) is a Gaussian of variance d h² in each coordinate, so that its expectation is a Gaussian
        with the residual's covariance added. Ends and beginnings are given as their parts of the prediction.
        """
        if beginnings is None:
            return self.log_kernels(target, ends, [bandwidth])
        precision = 1 / (self.values + len(target) * bandwidth**2)
        gap = self._gap(target, ends)
        moved = beginnings**2 @ precision
        return -0.5 * (gap**2 @ precision[:, None] + moved - 2 * (gap * precision) @ beginnings.T)

    def log_kernels(
        self, target: Float[Tensor, " d"], ends: Float[Tensor, "e d"], bandwidths: Sequence[float]
    ) -> Float[Tensor, "e b"]:
        """`log_kernel` of ends alone at several bandwidths, in one product."""
        precisions = torch.stack([1 / (self.values + len(target) * bandwidth**2) for bandwidth in bandwidths], 1)
        return -0.5 * self._gap(target, ends) ** 2 @ precisions

    def _gap(self, target: Float[Tensor, " d"], ends: Float[Tensor, "e d"]) -> Float[Tensor, "e d"]:
        return (target.to(self.end.device) - self.constant) @ self.vectors - ends


def _ridges(features: Float[Tensor, "n f"], values: Float[Tensor, "n d"]) -> list[tuple[Tensor, Tensor]]:
    """Weights and constant with each ridge."""
    middle, mean = features.mean(0), values.mean(0)
    centred = features - middle
    eigenvalues, vectors = torch.linalg.eigh(centred.T @ centred)
    cross = vectors.T @ (centred.T @ (values - mean))
    fits = [vectors @ (cross / (eigenvalues.clamp_min(0) + ridge)[:, None]) for ridge in RIDGES]
    return [(weights, mean - middle @ weights) for weights in fits]
