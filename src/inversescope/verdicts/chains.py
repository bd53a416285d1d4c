"""Rule for Markov chains over inputs: believed where chains from different starts agree on distances and last tokens.

ln P(x) − δ²/2h² is no part of it: inputs of different phases have about the same, since a nearer input is a less
likely one, and chains that never meet agree on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from inversescope.verdicts.natural import Belief
from inversescope.verdicts.thresholds import CHAINS_AGREE


def of_chains(r_hat: Mapping[str, float], starts: int) -> Belief:
    """The verdict on the chains at one bandwidth, from R̂ of each quantity; NaN where there were too few steps."""
    against = []
    if starts < 2:
        against.append("the chains have one start, and a chain stays in its phase")
    for name, value in r_hat.items():
        if math.isnan(value):
            against.append(f"too few steps for R̂ of {name}")
        elif value > CHAINS_AGREE:
            against.append(f"chains disagree on {name}: R̂ is {value:.2f} (at most {CHAINS_AGREE:g})")
    return Belief(tuple(against))
