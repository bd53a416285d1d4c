"""From a noised activation to a condition: two estimates of what the input says, each trusted where it is good.

Dimensions: `n` inputs, `known` of them kept, `batch` activations, `d` coordinates of the site, `width` of a condition.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inversescope.generator.encoding.encoder import Encoder
from inversescope.generator.fourier import FEATURES, fourier
from inversescope.generator.input_pca import Content
from inversescope.generator.neighbour_lm import WITNESSES, Witnesses, summoned
from inversescope.generator.site_channel import Neighbourhood
from inversescope.generator.token_bias import DOUBT, KINDS, Expectation, Expected

# Directions with less of the standardized variance than this are rounding errors of the activations.
NEGLIGIBLE_VARIANCE = 1e-6
_HIDDEN = 64  # of the small network that weighs the two estimates
EVEN = 4  # effective sample size of the kernel estimate at which it is worth as much as the linear one, to start with
TRUST = 1 + KINDS  # numbers that say how far witnesses and facts are trusted


class Estimates(nn.Module):
    """One estimate of the two: how far the kernel's is trusted over the linear one, for each number of the content.

    Shared by all sites: it knows the bandwidth, and ln of the effective sample size of the kernel estimate. It starts
    out trusting both alike where `EVEN` inputs are near, and the kernel estimate nearly alone where many are. The
    condition is this estimate, scaled and with an offset that say how sure it is. How far the facts that are
    read back from it are trusted to exclude something depends on how sure it is, too.
    """

    def __init__(self, width: int):
        super().__init__()
        last = nn.Linear(_HIDDEN, 3 * width + TRUST)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.weigh = nn.Sequential(nn.Linear(FEATURES + 1, _HIDDEN), nn.SiLU(), last)

    def forward(
        self,
        linear: Float[Tensor, "batch width"],
        kernel: Float[Tensor, "batch width"],
        size: Float[Tensor, " batch"],
        bandwidth: Float[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch width"], Float[Tensor, "batch trust"]]:
        """The estimate, the condition made of it, and ln of how far witnesses are relied on and facts doubted."""
        size, width = size.log()[:, None], linear.shape[1]
        weighed = self.weigh(torch.cat((fourier(bandwidth), size / 4), dim=1))
        learned, scale, offset, trusted = weighed.split((width, width, width, TRUST), dim=1)
        trust = (2 * (size - math.log(EVEN)) + learned).sigmoid()
        estimate = (scale.exp() * linear).lerp(kernel, trust)
        return estimate, estimate + offset, trusted


class SiteEncoder(nn.Module):
    """One site's two estimates. Both are fitted in closed form; the linear one is trained from there.

    Linear: in the eigenbasis of the standardized covariance, a coordinate of variance λ that is read through noise of
    variance d·h² has the best linear estimate λ/(λ + d·h²) times what was read (a Wiener filter). It sees every
    direction that the noise leaves readable, and is best at small bandwidths.

    Kernel: the mean content of known inputs, weighted by k(δ/h) (Nadaraya 1964, Watson 1964). It is what the reference
    computes, from other inputs, and is best where many inputs are near.
    """

    def __init__(self, dimension: int, known: int, width: int):
        super().__init__()
        self.register_buffer("variance", torch.zeros(dimension))
        self.register_buffer("rotation", torch.zeros(dimension, dimension))
        self.register_buffer("content", torch.zeros(known, width))
        self.project = nn.Linear(dimension, width)

    variance: Tensor
    rotation: Tensor
    content: Tensor

    @torch.no_grad()
    def fit(
        self,
        neighbourhood: Neighbourhood,
        activations: Float[Tensor, "n d"],
        content: Float[Tensor, "n width"],
        known: Int[Tensor, " known"],
    ) -> None:
        """Fit both estimates of the inputs' content to a site; `known` are the rows that are kept.

        With the filter's gain, the least-squares estimate from a noised activation is the same matrix at every
        bandwidth: the covariance of content and whitened activation. So all sites start out speaking one language, and
        the backbone learns it once.
        """
        standardized = neighbourhood.standardize(activations)
        variance, rotation = torch.linalg.eigh((standardized.T @ standardized / len(standardized)).double())
        kept = variance > NEGLIGIBLE_VARIANCE
        self.variance.copy_(variance.where(kept, 0))
        self.rotation.copy_(rotation)
        whitened = (standardized @ self.rotation) * variance.rsqrt().where(kept, 0).float()
        self.project.weight.copy_(content.T @ whitened / len(whitened))
        self.project.bias.zero_()
        self.content.copy_(content[known])

    def forward(
        self,
        neighbourhood: Neighbourhood,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        weights: Float[Tensor, "batch known"],
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch width"], Float[Tensor, " batch"]]:
        """The linear estimate, the kernel estimate, and the effective sample size of the latter."""
        gain = self.variance.sqrt() / (self.variance + neighbourhood.variance(bandwidth))
        linear = self.project((neighbourhood.standardize(activation) @ self.rotation) * gain)
        return linear, weights @ self.content, 1 / (weights**2).sum(1)


class EstimatesEncoder(Encoder):
    """The two estimates as one, and the facts that are read back from it."""

    def __init__(
        self,
        dimensions: Sequence[int],
        width: int,
        *,
        known: int,
        facts: tuple[int, int, int],
        positions: int,
        vocabulary: int,
    ):
        super().__init__(width)
        self.width = width
        self.estimated = width + WITNESSES + TRUST
        self.register_buffer("inputs", torch.zeros(known, positions, dtype=torch.long))
        self.sites = nn.ModuleList(SiteEncoder(dimension, known, width) for dimension in dimensions)
        self.estimates = Estimates(width)
        self.doubt = nn.Parameter(torch.zeros(KINDS))  # of the prior's own facts
        self.expectation = Expectation(facts, positions, vocabulary, width)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    inputs: Tensor

    def fit(self, says: Content, known: Int[Tensor, " known"], embeddings: Float[Tensor, "vocabulary width"]) -> None:
        self.expectation.fit(says)
        self.inputs.copy_(says.rows[known])

    def fit_site(
        self,
        site: int,
        neighbourhood: Neighbourhood,
        activations: Float[Tensor, "n d"],
        components: Float[Tensor, "n width"],
        known: Int[Tensor, " known"],
    ) -> None:
        self._site(site).fit(neighbourhood, activations, components, known)

    def forward(
        self,
        site: int,
        neighbourhood: Neighbourhood,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        weights: Float[Tensor, "batch known"] | None = None,
    ) -> tuple[Float[Tensor, "batch estimated"], Float[Tensor, "batch width"]]:
        if weights is None:
            weights = neighbourhood.weights(activation, bandwidth)
        estimates = self._site(site)(neighbourhood, activation, bandwidth, weights)
        estimate, encoded, trusted = self.estimates(*estimates, bandwidth)
        # The places travel as numbers in the condition, exact up to 2²⁴.
        return torch.cat((estimate, summoned(weights), trusted), dim=1), encoded + self.mix(encoded)

    def nothing(self, batch: int) -> tuple[Float[Tensor, "batch estimated"], Float[Tensor, "batch width"]]:
        encoded = self.null.expand(batch, -1)
        estimate = encoded.new_zeros(batch, self.estimated)
        estimate[:, -TRUST] = -torch.inf  # no witness is heard
        estimate[:, -KINDS:] = self.doubt
        return estimate, encoded + self.mix(encoded)

    def expected(self, estimate: Float[Tensor, "batch estimated"]) -> Expected:
        return self.expectation(estimate[:, : self.width], DOUBT * estimate[:, -KINDS:].exp())

    def witnesses(self, estimate: Float[Tensor, "batch estimated"]) -> Witnesses:
        every = torch.arange(len(estimate), device=estimate.device)
        return Witnesses(self.inputs[estimate[:, self.width : -TRUST].long()], estimate[:, -TRUST], every)

    def inside(self) -> Iterable[nn.Parameter]:
        return self.mix.parameters()

    def _site(self, site: int) -> SiteEncoder:
        encoder = self.sites[site]
        assert isinstance(encoder, SiteEncoder)
        return encoder
