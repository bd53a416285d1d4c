"""Words of a comparison of two sides on the same targets: ahead, level within a margin, or cannot be told apart."""

from __future__ import annotations

from inversescope.verdicts.thresholds import MARGIN

LEVEL, NOT_APART = "level", "cannot be told apart"


def which_ahead(low: float, high: float, one: str, other: str) -> str | None:
    """The side that is larger by the whole interval of the difference (one − other); else `level` where all of it lies
    within the margin, and `cannot be told apart` where it does not; None where there is no interval (NaN).

    An interval that contains 0 does not show that two sides are level: it may be as wide as all that can differ.
    """
    if not low <= high:
        return None
    if low > 0 or high < 0:
        return one if low > 0 else other
    return LEVEL if low >= -MARGIN and high <= MARGIN else NOT_APART
