"""From weighted draws to an answer at one bandwidth: ln Z, effective sample size, bits, and what speaks against them.

Dimensions: `n` draws of all strata together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.natural_text.strata import Stratum
from inversescope.stats.weights import effective_sample_size, normalise
from inversescope.verdicts.natural import Belief, belief
from inversescope.verdicts.thresholds import CONFIRMS, NATS

SHORT = 0.5  # bits that an answer may keep less than is wanted
WIDEST, NARROWEST, STEP_DOWN = 2.0, 0.02, 0.9  # bandwidths that are tried for given bits


@dataclass(frozen=True)
class Estimate:
    """The posterior at one bandwidth.

    Attributes:
        bandwidth: h.
        log_z: ln Z by the strata that are used.
        by_end: ln Z by the strata of each length of ends.
        sizes: effective sample size of each of these strata, by draws.
        spread: difference in nats of the largest of `by_end` from the next that has enough effective draws to confirm
            it, or of ln Z by the halves of the pool, the larger; infinite where nothing confirms it.
        size: effective sample size, by distinct inputs or by draws, the smaller.
        bits: KL of the posterior from the prior, in bits.
        weights: of every draw, of sum one.
        belief: whether the numbers may be used, and what speaks against it.
    """

    bandwidth: float
    log_z: float
    by_end: dict[int, float]
    sizes: dict[int, float]
    spread: float
    size: float
    bits: float
    weights: Float[ndarray, " n"]
    belief: Belief


class Weighted:
    """Draws of all strata, ready to be weighted at any bandwidth.

    `source` is ln P and δ of the source input where it is one of the inputs asked about, else None.
    """

    def __init__(self, strata: Sequence[Stratum], source: tuple[float, float] | None = None, found: bool = False):
        self.strata = list(strata)
        self.source, self.source_found = source, found
        self.rows = [tuple(row) for stratum in strata for row in stratum.tokens.tolist()]
        self.log_p = np.concatenate([stratum.log_p.double().numpy() for stratum in strata])
        self.distance = np.concatenate([stratum.distance.double().numpy() for stratum in strata])
        self._log_weight = np.concatenate([stratum.log_weight.double().numpy() for stratum in strata])
        self._end = np.concatenate([np.full(len(s.tokens), s.end) for s in strata])
        self._half = np.concatenate([np.full(len(s.tokens), s.half) for s in strata])
        places: dict[tuple[int, ...], int] = {}
        self._input = np.array([places.setdefault(row, len(places)) for row in self.rows])

    def at(self, bandwidth: float) -> Estimate:
        """The posterior at a bandwidth.

        An estimate of Z that misses a part of the mass is too low, and hardly ever too high. So strata that find over a
        nat less than the best are left out, and the best must be confirmed by another, of enough effective draws that
        it does not agree by luck. The others are combined by their effective sample sizes.
        """
        logs = self._log_weight - 0.5 * (self.distance / bandwidth) ** 2
        ends = sorted(set(self._end.tolist()))
        by_end = {end: _log_mean(logs[self._end == end]) for end in ends}
        within = {end: normalise(np.where(self._end == end, logs, -np.inf)) for end in ends}
        sizes = {end: float(effective_sample_size(within[end])) for end in ends}
        first = max(ends, key=lambda end: by_end[end])
        best = by_end[first]
        confirmed = max((by_end[end] for end in ends if end != first and sizes[end] >= CONFIRMS), default=-np.inf)
        used = [end for end in ends if best - by_end[end] <= NATS]
        shares = np.array([sizes[end] for end in used]) / max(sum(sizes[end] for end in used), 1e-300)
        weights = sum((share * within[end] for end, share in zip(used, shares, strict=True)), np.zeros(len(logs)))
        log_z = self._combined(logs, used, shares, np.ones(len(logs), dtype=bool))
        halves = [self._combined(logs, used, shares, self._half == half) for half in set(self._half.tolist())]
        spread = max(best - confirmed, max(halves) - min(halves))
        log_kernel = -0.5 * (self.distance / bandwidth) ** 2
        # Where a few near inputs stand beside many unrelated ones, the bits are those of the few.
        carried = weights * np.maximum(log_kernel - log_z, 0) if np.isfinite(log_z) else weights
        size = min(self._size(weights), float(effective_sample_size(weights)))
        bits = (float(weights @ log_kernel) - log_z) / np.log(2) if np.isfinite(log_z) else np.inf
        verdict = belief(spread, size, self._size(carried), self._source_share(bandwidth, log_z))
        return Estimate(bandwidth, log_z, by_end, sizes, float(spread), size, max(bits, 0.0), weights, verdict)

    def at_bits(self, bits: float) -> Estimate:
        """The posterior at the widest bandwidth that keeps so many bits. Far below it nothing is found any more, and
        the bits of the few draws that are left mean nothing; so the search begins at the wide end. Bits may jump
        with the bandwidth: then the wider side is given, and is not to be believed as an answer with so many bits.
        """
        high = WIDEST
        while self.at(high * STEP_DOWN).bits < bits and high > NARROWEST:
            high *= STEP_DOWN
        low = high * STEP_DOWN
        for _ in range(12):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if self.at(middle).bits > bits else (low, middle)
        found = self.at(high)
        if found.bits >= bits - SHORT:
            return found
        jump = f"{found.bits:.1f} bits are kept, and at the next finer bandwidth more than the {bits:g} that are wanted"
        return replace(found, belief=Belief((*found.belief.against, jump)))

    def _combined(self, logs: ndarray, ends: Sequence[int], shares: ndarray, part: ndarray) -> float:
        """ln of the mean of the strata's estimates of Z, weighted by their shares."""
        each = [_log_mean(logs[part & (self._end == end)]) for end in ends]
        return float(np.logaddexp.reduce(np.array(each) + np.log(np.maximum(shares, 1e-300))))

    def _size(self, weights: Float[ndarray, " n"]) -> float:
        return float(effective_sample_size(np.bincount(self._input, weights)))

    def _source_share(self, bandwidth: float, log_z: float) -> float | None:
        """The source's own part of Z where no draw is the source: so much is missing at least."""
        if self.source is None or self.source_found:
            return None
        log_p, distance = self.source
        return float(np.exp(min(log_p - 0.5 * (distance / bandwidth) ** 2 - log_z, 700.0)))


def _log_mean(logs: Float[ndarray, " n"]) -> float:
    return float(np.logaddexp.reduce(logs) - np.log(len(logs))) if len(logs) else -np.inf
