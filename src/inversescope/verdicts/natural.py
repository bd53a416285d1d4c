"""Rule for weighted draws of natural text: may their numbers be used?"""

from __future__ import annotations

import math
from typing import NamedTuple

from inversescope.verdicts.thresholds import CARRIED, MISSING, NATS, TRUSTED
from inversescope.verdicts.wording import count


class Belief(NamedTuple):
    """Verdict on an estimate. `against` lists what speaks against it; empty: it is to be believed."""

    against: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.against

    @property
    def words(self) -> str:
        """The verdict for people."""
        return "to be believed" if self else f"not to be believed: {'; '.join(self.against)}"


def belief(spread: float, size: float, carried: float, source_share: float | None) -> Belief:
    """Verdict from the diagnostics of an estimate.

    Args:
        spread: largest difference of ln Z between parts of the draws that should agree, in nats; infinite where no part
            confirms another.
        size: effective sample size, by distinct inputs.
        carried: the same, in proportion to the bits that each input carries.
        source_share: the source's own part of Z if no draw is the source, else None.
    """
    against = []
    if not math.isfinite(spread):
        against.append("no second split of the draws has found enough to confirm ln Z")
    elif spread > NATS:
        against.append(f"ln Z of the splits differs by {spread:.1f} nats (at most {NATS:g})")
    if size < TRUSTED:
        against.append(f"the effective sample size is {size:.0f} (at least {TRUSTED:g})")
    if carried < CARRIED:
        against.append(f"the bits are those of {count(round(carried), 'input')}, effectively (at least {CARRIED:g})")
    if source_share is not None and source_share > MISSING:
        share = f"{source_share:.0%}" if source_share < 10 else "many times"
        against.append(f"the source, which no draw is, has {share} of the mass that was found (at most {MISSING:.0%})")
    return Belief(tuple(against))
