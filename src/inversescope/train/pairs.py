"""What the generator is trained on: conditions, and inputs that answer them.

Dimensions: `n` inputs of the train split, `known` of them kept, `count` examples, `d` coordinates of a site.
"""

from __future__ import annotations

from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inversescope.generator import Generator
from inversescope.sites import Site

# A clean target is answered by its neighbours where there are at least this many, counted as effective sample size.
NEIGHBOURS = 4
PROBES = 256  # inputs that tell how much effort a site is worth


class Examples:
    """One site's examples. Two kinds of question (docs/method.md), mixed:

    Noisy channel: the activation of an input plus noise of width h; the answer is that input. Clean target: the
    activation itself; the answer is one of its neighbours, drawn with weights k(δ/h). The first is exact but hardly
    ever comes near a clean activation when h is large; the second is the question that is asked later.

    Of inputs that were drawn from the prior, none answers for itself: another draw would have other neighbours. Where
    they are the whole prior (`probability` is known, and all are kept), the weights are the exact posterior, and answer
    both kinds of question.
    """

    def __init__(
        self,
        generator: Generator,
        site: Site,
        activations: Float[Tensor, "n d"],
        known: Int[Tensor, " known"],
        probability: Float[Tensor, " n"] | None,
    ):
        self.generator = generator
        self.site = site
        self.activations = activations
        self.known = known
        self.probability = probability
        # The place of each input among the known ones.
        self.place = torch.full((len(activations),), -1, device=known.device)
        self.place[known] = torch.arange(len(known), device=known.device)

    def to(self, device: torch.device) -> Self:
        """The same on another device, where the generator must be too."""
        for name in ("activations", "known", "place"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def draw(
        self, count: int, answers: int, clean: float, rng: torch.Generator
    ) -> tuple[Float[Tensor, "count condition"], Int[Tensor, "count answers"]]:
        """Conditions, and inputs (rows of the train split) that answer each; `clean` is the share of that kind."""
        rows = self.rows(count, rng)
        low, high = torch.tensor(self.generator.bandwidths[self.site]).log()
        bandwidths = (low + (high - low) * torch.rand(count, generator=rng)).exp().to(self.activations.device)
        wanted = (torch.rand(count, generator=rng) < clean).to(self.activations.device)
        make = self._from_draws if self.probability is None else self._from_prior
        activations, weights, answered = make(rows, bandwidths, wanted, rng)
        drawn = self._drawn(weights, answers, rng).where(answered[:, None], rows[:, None])
        return self.generator.condition(self.site, activations, bandwidths, weights), drawn

    def told(self, components: Float[Tensor, "n width"], rng: torch.Generator) -> float:
        """How much of an input's content its neighbours tell, from 0 to 1, midway in the site's range of bandwidths."""
        rows = self.rows(PROBES, rng)
        middle = torch.tensor(self.generator.bandwidths[self.site]).log().mean().exp()
        bandwidths = middle.expand(PROBES).to(self.activations.device)
        weights = self.generator.neighbourhood(self.site).weights(self.activations[rows], bandwidths, self.place[rows])
        own = components[rows]
        return float((weights @ components[self.known] * own).sum() / (own**2).sum())

    def rows(self, count: int, rng: torch.Generator) -> Int[Tensor, " count"]:
        """Inputs drawn from the prior."""
        if self.probability is None:
            rows = torch.randint(len(self.activations), (count,), generator=rng)
        else:
            rows = torch.multinomial(self.probability, count, replacement=True, generator=rng)
        return rows.to(self.activations.device)

    def _from_prior(
        self,
        rows: Int[Tensor, " count"],
        bandwidths: Float[Tensor, " count"],
        clean: Bool[Tensor, " count"],
        rng: torch.Generator,
    ) -> tuple[Float[Tensor, "count d"], Float[Tensor, "count known"], Bool[Tensor, " count"]]:
        """What is asked, the weights of the known inputs, and whether these answer: always."""
        near, activations = self.generator.neighbourhood(self.site), self.activations[rows]
        activations = activations.where(clean[:, None], near.noised(activations, bandwidths, rng))
        return activations, near.weights(activations, bandwidths), torch.ones_like(clean)

    def _from_draws(
        self,
        rows: Int[Tensor, " count"],
        bandwidths: Float[Tensor, " count"],
        clean: Bool[Tensor, " count"],
        rng: torch.Generator,
    ) -> tuple[Float[Tensor, "count d"], Float[Tensor, "count known"], Bool[Tensor, " count"]]:
        """The same for draws: clean targets where enough neighbours answer; else noise, answered by what it hides."""
        near, itself, activations = self.generator.neighbourhood(self.site), self.place[rows], self.activations[rows]
        weights = near.weights(activations, bandwidths, itself)
        noisy = torch.nonzero(~(clean & _answerable(weights)))[:, 0]
        activations[noisy] = near.noised(activations[noisy], bandwidths[noisy], rng)
        weights[noisy] = near.weights(activations[noisy], bandwidths[noisy], itself[noisy])
        return activations, weights, clean & _answerable(weights)

    def _drawn(
        self, weights: Float[Tensor, "count known"], answers: int, rng: torch.Generator
    ) -> Int[Tensor, "count answers"]:
        """Known inputs for each row, drawn with these weights."""
        cut = torch.rand(len(weights), answers, generator=rng).to(weights.device)
        return self.known[torch.searchsorted(weights.cumsum(1), cut).clamp_max(len(self.known) - 1)]


def _answerable(weights: Float[Tensor, "count known"]) -> Bool[Tensor, " count"]:
    """Whether enough known inputs are near."""
    return 1 / (weights**2).sum(1) >= NEIGHBOURS
