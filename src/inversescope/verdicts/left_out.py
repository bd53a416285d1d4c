"""Verdicts on the weights of one target at a site and bandwidth: reasons why it counts in no mean and gives no finding.

The estimated normaliser Ẑ has a floor that is known: the source is an input itself, so Ẑ ≥ P(x̂)·k(0), where k(0) = 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from inversescope.verdicts.thresholds import COLLAPSED, CONCENTRATED, FOUND, MOST

NO_WEIGHT = "no draw has weight"
MISSED = "the draws missed the mass"
TOO_FEW = "the weights rest on too few inputs"
FAR = "no draw is near"
REASONS = (NO_WEIGHT, MISSED, TOO_FEW, FAR)


def why_left_out(size: float, spread: float, log_normaliser: float, log_floor: float, near: bool) -> str | None:
    """The reason to leave a target out; None where its weights count.

    An effective sample size near one is right at a fine resolution, where the posterior is one input. It is too small
    only where the posterior spreads over more of the inputs that were drawn than the weights do.

    Args:
        size: effective sample size of the weights, by distinct inputs.
        spread: the same of P(x) k(δ/h), the posterior among the inputs that were drawn.
        log_normaliser: ln Ẑ.
        log_floor: ln P(x̂)·k(0), or its estimate; NaN where nothing is known of it: then the size alone decides.
        near: a draw is as near as what the reference holds typical.
    """
    if size <= 0:
        return NO_WEIGHT
    if log_normaliser < log_floor + math.log(FOUND):
        return MISSED
    if size < (COLLAPSED if math.isnan(log_floor) else min(COLLAPSED, CONCENTRATED * spread)):
        return TOO_FEW
    return None if near else FAR


def mostly_left_out(row: Mapping[str, Any]) -> bool:
    """True for a score that stands on the smaller part of its targets: it does not show that a feature is absent."""
    collapsed = row.get("collapsed") or 0
    return collapsed > 0 and collapsed >= MOST * (collapsed + row["targets"])
