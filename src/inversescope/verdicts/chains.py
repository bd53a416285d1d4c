"""Rule for Markov chains over inputs: believed where chains from different starts agree on distances and last tokens.

ln P(x) − δ²/2h² is no part of it: inputs of different phases have about the same, since a nearer input is a less
likely one, and chains that never meet agree on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from inversescope.verdicts.thresholds import CHAINS_AGREE


class Belief(NamedTuple):
    """True if a sampler's answer may be believed, and the measurement that decided it, in words."""

    believed: bool
    reason: str


def of_chains(r_hat: Mapping[str, float], starts: int) -> Belief:
    """The verdict on the chains at one bandwidth, from R̂ of each quantity; NaN where there were too few steps."""
    if starts < 2:
        return Belief(False, "the chains have one start, and a chain from one start stays in its phase")
    worst = max(r_hat, key=lambda name: math.inf if math.isnan(r_hat[name]) else r_hat[name])
    if math.isnan(r_hat[worst]):
        return Belief(False, f"too few steps for R̂ of {worst}")
    if r_hat[worst] > CHAINS_AGREE:
        return Belief(False, f"chains disagree on {worst}: R̂ {r_hat[worst]:.2f}")
    return Belief(True, f"R̂ at most {r_hat[worst]:.2f} over {len(r_hat)} quantities")
