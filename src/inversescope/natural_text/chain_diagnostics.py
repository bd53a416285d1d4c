"""Diagnostics of ladders: do their states agree on δ and on the last tokens, whichever start they come from?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from inversescope.natural_text.chains import Trace
from inversescope.stats.chains import r_hat, r_hat_of_labels
from inversescope.verdicts.chains import of_chains
from inversescope.verdicts.natural import Belief

DISTANCE, LAST, LAST_TWO = "the distance", "the last token", "the last two tokens"


class ChainDiagnostics(NamedTuple):
    """Agreement of the ladders at one bandwidth.

    Attributes:
        bandwidth: h.
        r_hat: of the distance, the last token, the last two tokens.
        distances: mean δ of the ladders of each start.
        distinct: number of different inputs among the states.
        verdict: may the states be believed, and why.
    """

    bandwidth: float
    r_hat: dict[str, float]
    distances: dict[str, float]
    distinct: int
    verdict: Belief


def diagnose(trace: Trace, starts: Sequence[str]) -> list[ChainDiagnostics]:
    """Diagnostics of every bandwidth, from the second half of the steps; `starts` names the start of each ladder."""
    tokens, distance = trace.stack(trace.tokens), trace.stack(trace.distance)
    found = []
    for level, bandwidth in enumerate(trace.bandwidths.tolist()):
        states, values = tokens[:, :, level].transpose(0, 1), distance[:, :, level].T.double()
        measured = {DISTANCE: r_hat(values.numpy())}
        for name, count in ((LAST, 1), (LAST_TWO, 2)):
            measured[name] = r_hat_of_labels([[tuple(row[-count:]) for row in chain] for chain in states.tolist()])
        by_start = {
            start: float(values[torch.tensor([name == start for name in starts])].mean()) for start in set(starts)
        }
        distinct = len({tuple(row) for chain in states.tolist() for row in chain})
        # Endings so various that none is common are no disagreement: the distance alone decides there.
        known = {name: value for name, value in measured.items() if name == DISTANCE or value == value}
        verdict = of_chains(known, len(set(starts)))
        found.append(ChainDiagnostics(bandwidth, measured, dict(sorted(by_start.items())), distinct, verdict))
    return found
