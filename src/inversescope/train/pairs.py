"""Training pairs of a site: a condition, and an input drawn from the posterior under that condition.

An input that a pair is to answer with is never favoured by what its condition looks up among the stored inputs: where
they are draws, the pair's input is drawn apart from them, or is left out of them.

Dimensions: `stored` inputs of the generator, `read` inputs that were read, `count` conditions, `inputs` for each of
them, `d` coordinates of a site, `width` components.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.generator import Generator
from inversescope.sites import Site
from inversescope.train.emulator import Emulator
from inversescope.train.training_inputs import TrainingInputs
from inversescope.units import Units

CHUNK = 1024  # inputs whose activations are predicted at once
PROBES = 256  # inputs on which a site's explained variance is measured


class TrainingPairs:
    """Training pairs of one site, from two kinds of query (docs/generator.md):

    Noisy: the activation of an input plus noise of width h; the pair's input is that input.
    Clean: the activation itself; the pair's inputs are drawn with the exact posterior's weights. It needs every input
    of the prior; then these weights serve noisy queries too.

    Args:
        read: activations of the inputs that were read.
        emulator: predicts the activations of the others, if it is of any use at this site.
    """

    def __init__(
        self,
        generator: Generator,
        site: Site,
        inputs: TrainingInputs,
        read: Float[Tensor, "read d"],
        units: Units,
        emulator: Emulator | None,
    ):
        self.generator = generator
        self.site = site
        self.inputs = inputs
        self.read = read
        self.units = units
        self.emulator = emulator if emulator is not None and emulator.sites[site].useful else None
        is_stored = inputs.read < inputs.stored
        drawn = torch.bincount(inputs.read[is_stored], minlength=inputs.stored)
        # Index among the stored inputs of an input that was read once; −1: not stored, or drawn more than once.
        self.alone = inputs.read.where(is_stored & (drawn[inputs.read.where(is_stored, 0)] == 1), -1)
        # ln P of the stored inputs, up to a constant; −∞ where there is no activation.
        known = self.emulator is not None or bool((drawn > 0).all())
        self.log_prior = torch.zeros(inputs.stored) if known else drawn.log()
        self.exact = inputs.probability is not None and known
        if inputs.probability is not None and known:
            self.log_prior = inputs.probability.log()

    def to(self, device: torch.device) -> Self:
        """Move to another device, where the generator must be too."""
        for name in ("inputs", "read", "alone", "units"):
            setattr(self, name, getattr(self, name).to(device))
        self.emulator = self.emulator and self.emulator.to(device)
        return self

    def draw(
        self, count: int, inputs: int, clean: float, rng: torch.Generator
    ) -> tuple[Float[Tensor, "count condition"], Int[Tensor, "count inputs"]]:
        """Conditions, and for each its inputs, as training inputs; `clean` is the share of clean queries.

        Without the whole prior all queries are noisy, and the inputs of a condition are one and the same.
        """
        low, high = torch.tensor(self.generator.bandwidths[self.site]).log()
        bandwidths = (low + (high - low) * torch.rand(count, generator=rng)).exp().to(self.read.device)
        if self.exact:
            return self._by_posterior(bandwidths, inputs, clean, rng)
        query = self._from_read if self.emulator is None else self._from_others
        condition, rows = query(bandwidths, rng)
        return condition, rows[:, None].expand(-1, inputs)

    def draw_prior(self, count: int, rng: torch.Generator) -> Int[Tensor, " count"]:
        """Inputs drawn from the prior, as training inputs."""
        inputs = self.inputs
        if inputs.probability is not None:
            return torch.multinomial(inputs.probability.cpu(), count, replacement=True, generator=rng).to(
                self.read.device
            )
        among = inputs.others if len(inputs.others) else inputs.read
        return among[torch.randint(len(among), (count,), generator=rng).to(among.device)]

    def explained_variance(self, components: Float[Tensor, "stored width"], rng: torch.Generator) -> float:
        """Share of the input components' variance that the neighbours explain, 0 to 1, in the middle of the range."""
        stored = torch.nonzero(self.inputs.read < self.inputs.stored)[:, 0]
        index = stored[torch.randint(len(stored), (PROBES,), generator=rng).to(stored.device)]
        middle = torch.tensor(self.generator.bandwidths[self.site]).log().mean().exp()
        bandwidths = middle.expand(PROBES).to(self.read.device)
        weights = self.generator.channel(self.site).weights(self.read[index], bandwidths, self.alone[index])
        own = components[self.inputs.read[index]]
        return float((weights @ components * own).sum() / (own**2).sum())

    def _by_posterior(
        self, bandwidths: Float[Tensor, " count"], inputs: int, clean: float, rng: torch.Generator
    ) -> tuple[Float[Tensor, "count condition"], Int[Tensor, "count inputs"]]:
        """Queries of both kinds, answered by the exact posterior."""
        channel = self.generator.channel(self.site)
        activations = channel.stored[self.draw_prior(len(bandwidths), rng)] * channel.deviation + channel.mean
        is_clean = (torch.rand(len(bandwidths), generator=rng) < clean).to(self.read.device)
        activations = activations.where(is_clean[:, None], channel.noised(activations, bandwidths, rng))
        weights = channel.weights(activations, bandwidths)
        uniform = torch.rand(len(weights), inputs, generator=rng).to(weights.device)
        drawn = torch.searchsorted(weights.cumsum(1), uniform).clamp_max(self.inputs.stored - 1)
        return self.generator.condition(self.site, activations, bandwidths, weights), drawn

    def _from_others(
        self, bandwidths: Float[Tensor, " count"], rng: torch.Generator
    ) -> tuple[Float[Tensor, "count condition"], Int[Tensor, " count"]]:
        """Noisy queries of inputs drawn apart from the stored ones, by their predicted activations."""
        assert self.emulator is not None
        rows = self.draw_prior(len(bandwidths), rng)
        activations = self.emulator.predict(self.inputs.rows[rows], {self.site: self.units})[self.site]
        activations = self.generator.channel(self.site).noised(activations, bandwidths, rng)
        return self.generator.condition(self.site, activations, bandwidths), rows

    def _from_read(
        self, bandwidths: Float[Tensor, " count"], rng: torch.Generator
    ) -> tuple[Float[Tensor, "count condition"], Int[Tensor, " count"]]:
        """Noisy queries of inputs that were read, each left out of the stored ones."""
        channel = self.generator.channel(self.site)
        index = torch.randint(len(self.read), (len(bandwidths),), generator=rng).to(self.read.device)
        activations = channel.noised(self.read[index], bandwidths, rng)
        weights = channel.weights(activations, bandwidths, self.alone[index])
        return self.generator.condition(self.site, activations, bandwidths, weights), self.inputs.read[index]


def stored_activations(pairs: Sequence[TrainingPairs]) -> dict[Site, Float[Tensor, "stored _"]]:
    """Activations of the stored inputs at each site: as read, else as predicted; zeros where nothing is predicted.

    The sites share an emulator, and with it the kernels of the inputs: most of the work.
    """
    inputs = pairs[0].inputs
    activations = {site.site: torch.zeros(inputs.stored, site.read.shape[1]) for site in pairs}
    predicted = {site.site: site.units for site in pairs if site.emulator is not None}
    emulator = next((site.emulator for site in pairs if site.emulator is not None), None)
    if emulator is not None:
        for at in torch.arange(inputs.stored).split(CHUNK):
            for site, values in emulator.predict(inputs.rows[at], predicted).items():
                activations[site][at] = values
    is_stored = inputs.read < inputs.stored
    for site in pairs:
        activations[site.site][inputs.read[is_stored]] = site.read[is_stored]
    return activations
