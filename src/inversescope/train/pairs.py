"""Training pairs of a site: a condition, and an input drawn from the posterior under that condition.

Dimensions: `n` inputs of the train split, `stored` of them, `count` conditions, `inputs` for each of them, `d`
coordinates of a site, `width` components.
"""

from __future__ import annotations

from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inversescope.generator import Generator
from inversescope.sites import Site

MIN_SIZE = 4  # effective sample size of the neighbours from which a clean query is used
PROBES = 256  # inputs on which a site's explained variance is measured


class TrainingPairs:
    """Training pairs of one site, from two kinds of query (docs/generator.md), mixed:

    Noisy: the activation of an input plus noise of width h; the pair's input is that input. Exact, but at large h a
    noised activation is hardly ever close to an activation without noise.
    Clean: the activation itself; the pair's input is one of its neighbours, drawn with weights k(δ/h). This is the
    query that the finished generator is used with.

    With inputs that are draws from the prior, an input is never its own neighbour, as a new target has no copy of
    itself among the stored inputs. With the whole prior (`probability` is known, and all are stored), the weights are
    the exact posterior, and serve both kinds of query.
    """

    def __init__(
        self,
        generator: Generator,
        site: Site,
        activations: Float[Tensor, "n d"],
        stored: Int[Tensor, " stored"],
        probability: Float[Tensor, " n"] | None,
    ):
        self.generator = generator
        self.site = site
        self.activations = activations
        self.stored = stored
        self.probability = probability
        # Index of each input among the stored ones; −1: not stored.
        self.index = torch.full((len(activations),), -1, device=stored.device)
        self.index[stored] = torch.arange(len(stored), device=stored.device)

    def to(self, device: torch.device) -> Self:
        """Move to another device, where the generator must be too."""
        for name in ("activations", "stored", "index"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def draw(
        self, count: int, inputs: int, clean: float, rng: torch.Generator
    ) -> tuple[Float[Tensor, "count condition"], Int[Tensor, "count inputs"]]:
        """Conditions, and for each its inputs, as rows of the train split; `clean` is the share of clean queries."""
        rows = self.draw_prior(count, rng)
        low, high = torch.tensor(self.generator.bandwidths[self.site]).log()
        bandwidths = (low + (high - low) * torch.rand(count, generator=rng)).exp().to(self.activations.device)
        is_clean = (torch.rand(count, generator=rng) < clean).to(self.activations.device)
        queries = self._from_draws if self.probability is None else self._from_whole_prior
        activations, weights, by_weight = queries(rows, bandwidths, is_clean, rng)
        drawn = self._draw_stored(weights, inputs, rng).where(by_weight[:, None], rows[:, None])
        return self.generator.condition(self.site, activations, bandwidths, weights), drawn

    def explained_variance(self, components: Float[Tensor, "n width"], rng: torch.Generator) -> float:
        """Share of the input components' variance that the neighbours explain, 0 to 1, in the middle of the range."""
        rows = self.draw_prior(PROBES, rng)
        middle = torch.tensor(self.generator.bandwidths[self.site]).log().mean().exp()
        bandwidths = middle.expand(PROBES).to(self.activations.device)
        weights = self.generator.channel(self.site).weights(self.activations[rows], bandwidths, self.index[rows])
        own = components[rows]
        return float((weights @ components[self.stored] * own).sum() / (own**2).sum())

    def draw_prior(self, count: int, rng: torch.Generator) -> Int[Tensor, " count"]:
        """Inputs drawn from the prior, as rows of the train split."""
        if self.probability is None:
            rows = torch.randint(len(self.activations), (count,), generator=rng)
        else:
            rows = torch.multinomial(self.probability, count, replacement=True, generator=rng)
        return rows.to(self.activations.device)

    def _from_whole_prior(
        self,
        rows: Int[Tensor, " count"],
        bandwidths: Float[Tensor, " count"],
        clean: Bool[Tensor, " count"],
        rng: torch.Generator,
    ) -> tuple[Float[Tensor, "count d"], Float[Tensor, "count stored"], Bool[Tensor, " count"]]:
        """Queries, weights of the stored inputs, and whether the pair's input is drawn by them: always."""
        channel, activations = self.generator.channel(self.site), self.activations[rows]
        activations = activations.where(clean[:, None], channel.noised(activations, bandwidths, rng))
        return activations, channel.weights(activations, bandwidths), torch.ones_like(clean)

    def _from_draws(
        self,
        rows: Int[Tensor, " count"],
        bandwidths: Float[Tensor, " count"],
        clean: Bool[Tensor, " count"],
        rng: torch.Generator,
    ) -> tuple[Float[Tensor, "count d"], Float[Tensor, "count stored"], Bool[Tensor, " count"]]:
        """The same where inputs are draws: clean queries with enough neighbours by weight; all others become noisy."""
        channel, own, activations = self.generator.channel(self.site), self.index[rows], self.activations[rows]
        weights = channel.weights(activations, bandwidths, own)
        noisy = torch.nonzero(~(clean & _enough(weights)))[:, 0]
        activations[noisy] = channel.noised(activations[noisy], bandwidths[noisy], rng)
        weights[noisy] = channel.weights(activations[noisy], bandwidths[noisy], own[noisy])
        return activations, weights, clean & _enough(weights)

    def _draw_stored(
        self, weights: Float[Tensor, "count stored"], inputs: int, rng: torch.Generator
    ) -> Int[Tensor, "count inputs"]:
        """Stored inputs for each condition, drawn with these weights."""
        uniform = torch.rand(len(weights), inputs, generator=rng).to(weights.device)
        return self.stored[torch.searchsorted(weights.cumsum(1), uniform).clamp_max(len(self.stored) - 1)]


def _enough(weights: Float[Tensor, "count stored"]) -> Bool[Tensor, " count"]:
    """True where the effective sample size is at least `MIN_SIZE`."""
    return 1 / (weights**2).sum(1) >= MIN_SIZE
