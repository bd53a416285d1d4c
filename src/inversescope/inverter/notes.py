"""Notes on an inversion for people: what its samples are, and why they give no finding or an uncertain one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inversescope.sample.one_target import TYPICAL

if TYPE_CHECKING:
    from inversescope.inverter.inversion import Inversion


def notes_on(inversion: Inversion) -> list[str]:
    """A sentence for each: the source's share, and everything that limits the finding."""
    notes = [_origin(inversion)]
    if inversion.proposal is not None:
        notes.append(inversion.proposal)
    if inversion.left_out is not None:
        notes.append(f"no finding: {inversion.left_out}")
    if inversion.floor == TYPICAL:
        notes.append("the prior does not have this source: the probability of a typical input stands for its own")
    if inversion.floor is None and inversion.tokens is not None:
        notes.append("nothing is known of the source's probability: the effective sample size alone decides")
    if inversion.unreliable:
        notes.append("unreliable: the weights have a heavy tail for so few inputs; draw more")
    return notes


def _origin(inversion: Inversion) -> str:
    share = inversion.source_share
    if share.draws is None:
        beside = "" if inversion.norms is None else f": {inversion.norms.words}"
        return f"a vector, with no text of its own{beside}"
    weight = "" if share.weight is None else f" and {share.weight:.0%} of the weight"
    return f"the source itself is {share.draws:.0%} of the draws{weight}"
