"""Linear (Wiener) and kernel (Nadaraya-Watson) regression of the input's components on a noised activation.

Dimensions: `stored` inputs, `batch` activations, `d` coordinates of the site, `width` components and width
of an encoding, `bypass` numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.generator.encoding.encoder import Encoder
from inversescope.generator.fourier import FEATURES, fourier
from inversescope.generator.input_pca import InputPCA
from inversescope.generator.neighbour_lm import NEIGHBOURS, NeighbourLM, pick
from inversescope.generator.site_channel import SiteChannel
from inversescope.generator.token_bias import FLOOR, KINDS, BiasTables, IndicatorReadout

# Eigenvalues of the standardized covariance below this are rounding errors of the activations.
NEGLIGIBLE_VARIANCE = 1e-6
EVEN_SIZE = 4  # effective sample size at which the kernel estimate has weight 1/2 before training
LOGARITHMS = 1 + KINDS  # ln of a neighbour's weight, and of the floor of each kind of indicator
_HIDDEN = 64  # width of the small network of `Combination`


class Combination(nn.Module):
    """One estimate from the linear and the kernel estimate, by a weight for each component. Shared by all sites.

    A small network of the bandwidth and the effective sample size of the kernel weights gives the weight of the kernel
    estimate, a scale of the linear one, and an offset of the encoding. Before training the weight is a function of the
    sample size alone: 1/2 at `EVEN_SIZE`, near 1 where many stored inputs are near.
    """

    def __init__(self, width: int):
        super().__init__()
        last = nn.Linear(_HIDDEN, 3 * width + LOGARITHMS)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(nn.Linear(FEATURES + 1, _HIDDEN), nn.SiLU(), last)

    def forward(
        self,
        linear: Float[Tensor, "batch width"],
        kernel: Float[Tensor, "batch width"],
        size: Float[Tensor, " batch"],
        bandwidth: Float[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch width"], Float[Tensor, "batch logarithms"]]:
        """The combined estimate; the encoding; ln of the neighbours' weight and of the token bias's floors."""
        size, width = size.log()[:, None], linear.shape[1]
        output = self.network(torch.cat((fourier(bandwidth), size / 4), dim=1))
        logit, scale, offset, logarithms = output.split((width, width, width, LOGARITHMS), dim=1)
        weight = (2 * (size - math.log(EVEN_SIZE)) + logit).sigmoid()
        estimate = (scale.exp() * linear).lerp(kernel, weight)
        return estimate, estimate + offset, logarithms


class SiteRegression(nn.Module):
    """The two regressions of one site, both fitted in closed form; the linear one is then trained further.

    Linear: in the eigenbasis of the standardized covariance, the least-squares estimate of a coordinate of variance λ
    from a reading with noise variance d·h² is λ/(λ + d·h²) times the reading (Wiener filter). It uses every direction
    that the noise leaves readable, and is the better one at small bandwidths.

    Kernel: the mean of the stored inputs' components, weighted by k(δ/h) (Nadaraya 1964, Watson 1964). It is the
    reference's estimate, from the training inputs, and is the better one where many of them are near.
    """

    def __init__(self, dimension: int, stored: int, width: int):
        super().__init__()
        self.register_buffer("eigenvalues", torch.zeros(dimension))
        self.register_buffer("eigenvectors", torch.zeros(dimension, dimension))
        self.register_buffer("components", torch.zeros(stored, width))
        self.project = nn.Linear(dimension, width)

    eigenvalues: Tensor
    eigenvectors: Tensor
    components: Tensor

    @torch.no_grad()
    def fit(
        self,
        channel: SiteChannel,
        activations: Float[Tensor, "stored d"],
        components: Float[Tensor, "stored width"],
    ) -> None:
        """Fit both regressions to a site's activations.

        With the filter's gain, the least-squares map from a noised activation is the same matrix at every bandwidth:
        the covariance of components and whitened activation. All sites estimate the same components, so the decoder
        learns to use them once.
        """
        known = channel.log_prior.isfinite()
        standardized = channel.standardize(activations[known])
        variance, vectors = torch.linalg.eigh((standardized.T @ standardized / len(standardized)).double())
        kept = variance > NEGLIGIBLE_VARIANCE
        self.eigenvalues.copy_(variance.where(kept, 0))
        self.eigenvectors.copy_(vectors)
        whitened = (standardized @ self.eigenvectors) * variance.rsqrt().where(kept, 0).float()
        self.project.weight.copy_(components[known].T @ whitened / len(whitened))
        self.project.bias.zero_()
        self.components.copy_(components)

    def forward(
        self,
        channel: SiteChannel,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        weights: Float[Tensor, "batch stored"],
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch width"], Float[Tensor, " batch"]]:
        """Linear estimate, kernel estimate, and effective sample size of the kernel weights."""
        gain = self.eigenvalues.sqrt() / (self.eigenvalues + channel.variance(bandwidth))
        linear = self.project((channel.standardize(activation) @ self.eigenvectors) * gain)
        return linear, weights @ self.components, 1 / (weights**2).sum(1)


class RegressionEncoder(Encoder):
    """Regression of the input's components; the estimate is the encoding, and a bias on the logits.

    The bypass holds the estimated components, the indices of the neighbours among the stored inputs, and `LOGARITHMS`.
    """

    def __init__(
        self,
        dimensions: Sequence[int],
        width: int,
        *,
        stored: int,
        indicators: tuple[int, int, int],
        positions: int,
        vocabulary: int,
    ):
        super().__init__(width)
        self.width = width
        self.bypass_width = width + NEIGHBOURS + LOGARITHMS
        self.register_buffer("inputs", torch.zeros(stored, positions, dtype=torch.long))
        self.sites = nn.ModuleList(SiteRegression(dimension, stored, width) for dimension in dimensions)
        self.combination = Combination(width)
        self.null_floor = nn.Parameter(torch.zeros(KINDS))  # ln of the floors of the prior, over `FLOOR`
        self.readout = IndicatorReadout(indicators, positions, vocabulary, width)
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    inputs: Tensor

    def fit(self, pca: InputPCA, embeddings: Float[Tensor, "vocabulary width"]) -> None:
        self.readout.fit(pca)
        self.inputs.copy_(pca.inputs)

    def fit_site(
        self,
        site: int,
        channel: SiteChannel,
        activations: Float[Tensor, "stored d"],
        components: Float[Tensor, "stored width"],
    ) -> None:
        self._site(site).fit(channel, activations, components)

    def forward(
        self,
        site: int,
        channel: SiteChannel,
        activation: Float[Tensor, "batch d"],
        bandwidth: Float[Tensor, " batch"],
        weights: Float[Tensor, "batch stored"] | None = None,
    ) -> tuple[Float[Tensor, "batch bypass"], Float[Tensor, "batch width"]]:
        if weights is None:
            weights = channel.weights(activation, bandwidth)
        estimates = self._site(site)(channel, activation, bandwidth, weights)
        estimate, encoding, logarithms = self.combination(*estimates, bandwidth)
        # The indices are floats in the condition: exact up to 2²⁴.
        return torch.cat((estimate, pick(weights), logarithms), dim=1), encoding + self.mlp(encoding)

    def null_condition(self, batch: int) -> tuple[Float[Tensor, "batch bypass"], Float[Tensor, "batch width"]]:
        encoding = self.null.expand(batch, -1)
        bypass = encoding.new_zeros(batch, self.bypass_width)
        bypass[:, -LOGARITHMS] = -torch.inf  # neighbours have weight 0
        bypass[:, -KINDS:] = self.null_floor
        return bypass, encoding + self.mlp(encoding)

    def bias_tables(self, bypass: Float[Tensor, "batch bypass"]) -> BiasTables:
        return self.readout(bypass[:, : self.width], FLOOR * bypass[:, -KINDS:].exp())

    def neighbour_lm(self, bypass: Float[Tensor, "batch bypass"]) -> NeighbourLM:
        index = torch.arange(len(bypass), device=bypass.device)
        return NeighbourLM(self.inputs[bypass[:, self.width : -LOGARITHMS].long()], bypass[:, -LOGARITHMS], index)

    def hidden_parameters(self) -> Iterable[nn.Parameter]:
        return self.mlp.parameters()

    def _site(self, site: int) -> SiteRegression:
        encoder = self.sites[site]
        assert isinstance(encoder, SiteRegression)
        return encoder
