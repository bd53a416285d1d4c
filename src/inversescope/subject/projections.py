"""A user's own view of a site: a probe's direction, a subspace, or the encoder of a sparse autoencoder.

Dimensions: `n` inputs, `width` coordinates of the site, `dimension` coordinates of the view.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.errors import UserError
from inversescope.sites import Site, SubjectShape


@dataclass(frozen=True)
class Projection:
    """x ↦ x W + b; of an autoencoder's latents those are kept that exceed their threshold, and of these the `most`
    largest. `points`: those that it was made for; empty: any.
    """

    weight: Float[Tensor, "width dimension"]
    bias: Float[Tensor, " dimension"]
    threshold: Float[Tensor, " dimension"] | None = None
    most: int | None = None
    points: tuple[str, ...] = ()

    def __call__(self, activations: Float[Tensor, "n width"]) -> Float[Tensor, "n dimension"]:
        """The view of these activations, in float32."""
        value = activations @ self.weight + self.bias
        if self.most is not None:
            largest, index = value.topk(self.most, dim=1)
            value = torch.zeros_like(value).scatter(1, index, largest)
        return value if self.threshold is None else value.where(value > self.threshold, 0.0)

    @property
    def width(self) -> int:
        """Number of coordinates that a site must have."""
        return len(self.weight)

    @property
    def dimension(self) -> int:
        """Number of coordinates of the view."""
        return len(self.bias)

    @property
    def linear(self) -> bool:
        """True if it is x W + b and nothing else, so that an activation with any given view can be found."""
        return self.threshold is None and self.most is None

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits: a hash of its numbers."""
        digest = hashlib.sha256(str(self.most).encode())
        for tensor in (self.weight, self.bias, self.threshold):
            digest.update(b"none" if tensor is None else tensor.cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        threshold = None if self.threshold is None else self.threshold.to(device)
        return replace(self, weight=self.weight.to(device), bias=self.bias.to(device), threshold=threshold)


def require_fit(site: Site, shape: SubjectShape, projections: Mapping[str, Projection]) -> None:
    """Refuse a single site whose projection is missing, of another width, or made for another point.

    Raises:
        UserError: so it is.
    """
    if site.projection is None:
        return
    if site.projection not in projections:
        raise UserError(
            "there is no projection of this name",
            given=site,
            allowed=", ".join(projections) or "none: no projections were given",
            remedy="name its file under [subject.projections] in the config",
        )
    projection, width = projections[site.projection], shape.coordinates_of(site)
    if projection.points and site.point not in projection.points:
        raise UserError(
            f"the projection {site.projection!r} was made for another point",
            given=site,
            allowed=", ".join(_address(site, point) for point in projection.points),
        )
    if projection.width != width:
        raise UserError(
            f"the projection {site.projection!r} does not fit this site",
            given=f"{site}: {width} coordinates",
            allowed=f"a site of {projection.width} coordinates",
        )


def _address(site: Site, point: str) -> str:
    layer = "" if site.layer is None or point in ("embed", "final_norm") else f".{site.layer}"
    return f"{site.projection}@{point}{layer}"
