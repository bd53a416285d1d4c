"""What training asks: conditions, and the inputs that answer them.

Dimensions: `n` inputs of the train split, `known` of them kept, `d` coordinates of a site, `width` of a content.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inversescope.config import TrainConfig
from inversescope.generator import Generator
from inversescope.sites import Site

# A clean target is answered by its neighbours where there are at least this many, counted as effective sample size.
NEIGHBOURS = 4
PROBES = 256  # inputs that tell how much effort a site is worth
LEAST = 0.1  # of what a site's neighbours can tell: no site goes without effort


class Examples:
    """Of all sites. How often a site is asked about is in proportion to what its neighbours tell: where there is little
    to say, there is little to learn.
    """

    def __init__(
        self,
        generator: Generator,
        activations: Mapping[Site, Float[Tensor, "n _"]],
        known: Int[Tensor, " known"],
        components: Float[Tensor, "n width"],
        config: TrainConfig,
        seed: int,
    ):
        self.generator = generator
        self.config = config
        self.inputs = len(components)
        self.sites = [_Site(generator, site, read, known) for site, read in activations.items()]
        rng = torch.Generator().manual_seed(seed)
        self.effort = torch.tensor([max(LEAST, site.told(config, components, rng)) for site in self.sites])

    def conditional(self, rng: torch.Generator) -> tuple[Float[Tensor, "batch condition"], Int[Tensor, " batch"]]:
        """Conditions of several sites, some of them dropped, and the inputs that answer them."""
        config = self.config
        chosen = torch.multinomial(self.effort, min(config.sites_per_step, len(self.sites)), generator=rng).tolist()
        count = max(1, config.batch // len(chosen))
        examples = [self.sites[i].examples(count, config, rng) for i in chosen]
        condition = torch.cat([condition for condition, _ in examples])
        dropped = (torch.rand(len(condition), generator=rng) < config.unconditional).to(condition.device)
        condition = self.generator.no_condition(len(condition)).where(dropped[:, None], condition)
        return condition, torch.cat([answers for _, answers in examples])

    def unconditional(self, rng: torch.Generator) -> tuple[Float[Tensor, "batch condition"], Int[Tensor, " batch"]]:
        """No condition, answered by any inputs."""
        condition = self.generator.no_condition(self.config.batch)
        return condition, torch.randint(self.inputs, (self.config.batch,), generator=rng).to(condition.device)


class _Site:
    """One site's part of the training: its activations, and how examples are made of them."""

    def __init__(
        self,
        generator: Generator,
        site: Site,
        activations: Float[Tensor, "n d"],
        known: Int[Tensor, " known"],
    ):
        self.generator = generator
        self.site = site
        self.activations = activations
        self.known = known
        # The place of each input among the known ones.
        self.place = torch.full((len(activations),), -1, device=known.device)
        self.place[known] = torch.arange(len(known), device=known.device)

    def examples(
        self, count: int, config: TrainConfig, rng: torch.Generator
    ) -> tuple[Float[Tensor, "count width"], Int[Tensor, " count"]]:
        """Conditions, and the inputs that answer them. Two kinds of question (docs/method.md), mixed:

        Noisy channel: the activation of an input plus noise of width h; the answer is that input. Clean target: the
        activation itself; the answer is one of its neighbours, drawn with weights k(δ/h). The first is exact but hardly
        ever comes near a clean activation when h is large; the second is the question that is asked later.
        """
        near, device = self.generator.neighbourhood(self.site), self.activations.device
        low, high = torch.tensor(config.bandwidths).log()
        rows = torch.randint(len(self.activations), (count,), generator=rng).to(device)
        bandwidths = (low + (high - low) * torch.rand(count, generator=rng)).exp().to(device)
        itself = self.place[rows]
        activations = self.activations[rows]
        weights = near.weights(activations, bandwidths, itself)
        wanted = (torch.rand(count, generator=rng) < config.clean).to(device)
        noisy = torch.nonzero(~(wanted & _answerable(weights)))[:, 0]
        activations[noisy] = near.noised(activations[noisy], bandwidths[noisy], rng)
        weights[noisy] = near.weights(activations[noisy], bandwidths[noisy], itself[noisy])
        cut = torch.rand(count, 1, generator=rng).to(device)
        neighbours = self.known[(weights.cumsum(1) < cut).sum(1).clamp_max(len(self.known) - 1)]
        answers = neighbours.where(wanted & _answerable(weights), rows)
        return self.generator.condition(self.site, activations, bandwidths, weights), answers

    def told(self, config: TrainConfig, components: Float[Tensor, "n width"], rng: torch.Generator) -> float:
        """How much of an input's content its neighbours tell, from 0 to 1, midway in the range of bandwidths."""
        rows = torch.randint(len(self.activations), (PROBES,), generator=rng).to(self.activations.device)
        bandwidths = torch.tensor(config.bandwidths).log().mean().exp().expand(PROBES).to(self.activations.device)
        weights = self.generator.neighbourhood(self.site).weights(self.activations[rows], bandwidths, self.place[rows])
        own = components[rows]
        return float((weights @ components[self.known] * own).sum() / (own**2).sum())


def _answerable(weights: Float[Tensor, "count known"]) -> Bool[Tensor, " count"]:
    """Whether enough known inputs are near."""
    return 1 / (weights**2).sum(1) >= NEIGHBOURS
