"""Sequential Monte Carlo over the end of an input: one token more at each rung, before it a beginning from the pool.

A particle is a whole input: an end written from right to left by its proposal, and the beginning of a draw from the
prior, chosen by how well it leads to the end. Rung m has ends of m tokens and the posterior at its own bandwidth as its
target, from wide to the one that is wanted. A particle whose end does not fit the target dies before more is read for
it. The weights are exact, and Ẑ is unbiased, whatever the proposal and the bandwidths on the way.

Dimensions: `n` particles, `t` tokens of an input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.budget import Budget
from inversescope.natural_text.moves import of_rows
from inversescope.natural_text.posterior import Posterior, Scored
from inversescope.natural_text.proposals import BackwardProposal, Beginnings, picked, sample

RESAMPLED = 0.5  # effective share of the particles below which they are drawn anew


class Particles(NamedTuple):
    """Weighted inputs of the last rung.

    Attributes:
        tokens: of each input.
        log_weight: ln of its weight, for inputs of the posterior at the last bandwidth; not normalised.
        scored: ln P and δ.
        log_normaliser: ln Ẑ at the bandwidth of each rung, from wide to narrow.
        ancestors: number of different first-rung particles that the inputs come from.
    """

    tokens: Int[Tensor, "n t"]
    log_weight: Float[Tensor, " n"]
    scored: Scored
    log_normaliser: list[float]
    ancestors: int

    @property
    def effective(self) -> float:
        """Effective sample size, by distinct inputs."""
        _, place = self.tokens.unique(dim=0, return_inverse=True)
        weights = self.log_weight.softmax(0)
        by_input = torch.zeros(int(place.max()) + 1, dtype=weights.dtype).index_add(0, place, weights)
        return float(1 / by_input.pow(2).sum())


def sequential(
    posterior: Posterior,
    pool: Beginnings,
    end: BackwardProposal,
    bandwidths: Sequence[float],
    particles: int,
    random: torch.Generator,
    budget: Budget,
) -> Particles:
    """Inputs with ends of as many tokens as there are bandwidths, fewer than the input has; the last bandwidth counts.

    If the budget ends on the way, the particles are those of the last whole rung.
    """
    found = _Rungs(posterior, pool, end, particles, random)
    with budget:
        for bandwidth in bandwidths:
            if not budget.left:
                break
            budget.spend(found.climb(bandwidth), f"ends of {found.count} tokens")
    return found.particles


class _Rungs:
    """Particles of the rung that was reached.

    Attributes:
        count: number of tokens of the ends.
    """

    def __init__(
        self, posterior: Posterior, pool: Beginnings, end: BackwardProposal, particles: int, random: torch.Generator
    ) -> None:
        self.posterior, self.pool, self.end, self.random = posterior, pool, end, random
        self.count = 0
        nothing = torch.zeros(particles, dtype=torch.float64)
        self._target = nothing  # ln of each particle's weight in its rung's posterior, g left out
        self._log_z = 0.0
        self._ancestor = torch.arange(particles)
        empty = torch.zeros(particles, posterior.length, dtype=torch.long)
        self.particles = Particles(empty, nothing, Scored(nothing, nothing), [], particles)

    def climb(self, bandwidth: float) -> int:
        """One token more for each end, new beginnings, new weights; the tokens that were read."""
        before, target, log_z, ancestor = self._resampled()
        length = before.tokens.shape[1]
        after = before.tokens[:, length - self.count :]
        log_probs = self.end.log_probs(after)
        token = sample(log_probs, self.random)
        kept = length - self.count - 1
        leads = self.pool.log_next(kept, token)
        row = sample(leads, self.random)
        tokens = torch.cat([self.pool.tokens[row, :kept], token[:, None], after], 1)
        scored = self.posterior.score(tokens, kept)
        # The prior's density of the beginning cancels; the mean over the pool replaces that of its choice.
        rest = scored.log_p - self.pool.token_log_p[row, :kept].sum(1) - picked(leads, row)
        mean = leads.logsumexp(1) - math.log(leads.shape[1])
        now = (mean + rest - scored.distance**2 / (2 * bandwidth**2)).double()
        log_weight = before.log_weight + now - target - picked(log_probs, token)
        log_weight = log_weight.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        normaliser = log_z + float(log_weight.logsumexp(0)) - math.log(len(tokens))
        self.count += 1
        self._target, self._log_z, self._ancestor = now, log_z, ancestor
        self.particles = Particles(
            tokens, log_weight, scored, [*before.log_normaliser, normaliser], len(ancestor.unique())
        )
        return len(tokens) * self.count

    def _resampled(self) -> tuple[Particles, Float[Tensor, " n"], float, Int[Tensor, " n"]]:
        """The particles drawn by weight, with equal weights and the mean weight as a factor of Ẑ, if too few count."""
        now, n = self.particles, len(self.particles.tokens)
        weights = now.log_weight.softmax(0)
        if not float(1 / weights.pow(2).sum()) < RESAMPLED * n:  # NaN: nothing has weight, and nothing will
            return now, self._target, self._log_z, self._ancestor
        places = (torch.rand(1, generator=self.random, dtype=torch.float64) + torch.arange(n)) / n
        rows = torch.searchsorted(weights.cumsum(0), places.clamp_max(float(weights.sum()))).clamp_max(n - 1)
        log_z = self._log_z + float(now.log_weight.logsumexp(0)) - math.log(n)
        drawn = now._replace(
            tokens=now.tokens[rows], log_weight=torch.zeros_like(now.log_weight), scored=of_rows(now.scored, rows)
        )
        return drawn, self._target[rows], log_z, self._ancestor[rows]
