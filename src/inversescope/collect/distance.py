"""Distances between the activations of a site.

Dimensions: `n` activations, `m` targets, `d` coordinates of a site.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from inversescope.config import DistanceName
from inversescope.units import Units


@dataclass(frozen=True)
class Distance:
    """δ of an activation z from a target ẑ: ‖u(z) − u(ẑ)‖ / r(ẑ), with coordinates u and a radius r.

    `standardized`, `euclidean`: u in the site's units, one scale for each coordinate or one for all; r = √d.
    `cosine`: u the direction of z − mean, r = 1, so that δ = √(2 (1 − cos)). These three are about √2 between unrelated
    inputs. `relative`: u = z − mean, r = ‖ẑ‖, so that δ = ‖z − ẑ‖ / ‖ẑ‖ (arXiv 2405.17653).

    Attributes:
        units: of the site; those of `euclidean` have one scale (`Units.isotropic`).
    """

    name: DistanceName
    units: Units

    @classmethod
    def of(cls, name: DistanceName, units: Units) -> Self:
        """The distance at a site of these units."""
        return cls(name, units.isotropic() if name == "euclidean" else units)

    def coordinates(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """u of activations; zero for the direction of an activation that is the mean itself."""
        if self.name == "cosine":
            return torch.nn.functional.normalize(activations - self.units.mean, dim=1)
        if self.name == "relative":
            return activations - self.units.mean
        return self.units.standardize(activations)

    def between(self, activations: Float[Tensor, "n d"], targets: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """δ of every activation from every target."""
        left, right = self.coordinates(activations), self.coordinates(targets)
        # The matrix-product mode of cdist is faster, but gives equal activations a distance slightly above 0.
        gap = torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")
        return gap / self._squared_radius(targets) ** 0.5

    def paired(self, activations: Float[Tensor, "n d"], targets: Float[Tensor, "#n d"]) -> Float[Tensor, " n"]:
        """δ of each activation from the target in its own row, or from the only one."""
        gap = self.coordinates(activations) - self.coordinates(targets)
        return ((gap**2).sum(1) / self._squared_radius(targets)).sqrt()

    def by_products(self, activations: Float[Tensor, "n d"], targets: Float[Tensor, "m d"]) -> Float[ndarray, "m n"]:
        """δ of every activation, in a row for each target, by matrix products: a hundred times as fast, and off by less
        than a thousandth of the smallest bandwidth.
        """
        one, other = self.coordinates(targets), self.coordinates(activations)
        squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
        radius = self._squared_radius(targets)
        radius = radius[:, None].double() if isinstance(radius, Tensor) else radius
        return (squares.clamp_min(0).double() / radius).sqrt().numpy()

    def _squared_radius(self, targets: Float[Tensor, "m d"]) -> int | Float[Tensor, " m"]:
        """r²; a target of length zero is infinitely far from all but itself."""
        if self.name == "relative":
            return (targets**2).sum(1).clamp_min(torch.finfo(torch.float32).tiny)
        return 1 if self.name == "cosine" else self.units.dimension
