"""Verdicts on a site and feature: encoded and used, encoded and unused, neither, or cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inversescope.verdicts.left_out import mostly_left_out
from inversescope.verdicts.scores import (
    AGREES,
    FAILING,
    NULL_PASSES,
    SOURCE_ALONE,
    beyond,
    decisive,
    encoded,
    trusted,
)
from inversescope.verdicts.thresholds import COLLAPSED, USED
from inversescope.verdicts.wording import of_row

NOTHING = "a random input's activation hardly moves the next token"
NO_TEXT = "a vector has no text in which another activation could take its place"
BOTH, UNUSED, NEITHER, CANNOT_TELL = "encoded and used", "encoded, unused", "neither", "cannot tell"
Row = Mapping[str, Any]


def encoded_and_used(score: Row | None, effect: Row) -> tuple[str, str]:
    """The verdict, and the measurement that decides it; a limit that an interval contains decides nothing."""
    if score is None:
        return CANNOT_TELL, "no score is reliable here"
    if score["null_passes"]:
        return CANNOT_TELL, NULL_PASSES
    if score["source_alone"]:
        return CANNOT_TELL, SOURCE_ALONE
    scored = _words(score, decisive(score), "score among other inputs" if decisive(score) == "others" else "score")
    moved, above = effect["reason"] or _words(effect, "necessity", "necessity"), encoded(score)
    used = False if effect["reason"] == NOTHING else beyond(effect, "necessity", USED)
    if above is None and mostly_left_out(score):
        return CANNOT_TELL, f"{scored}, with {score['collapsed']} targets left out: their weights have collapsed"
    if above is None or used is None:
        return CANNOT_TELL, scored if above is None else moved
    if above:
        return BOTH if used else UNUSED, moved
    if used:  # inputs near the target do not share the label, and yet another label moves the next token
        return CANNOT_TELL, f"{scored}, yet {moved}"
    return NEITHER, scored


def finest_reliable(scores: Sequence[Row], exact: bool) -> Row | None:
    """Score of a site and feature at the smallest bandwidth at which one is reliable.

    If none is, the weighted samples' score at the largest bandwidth at which the generator does not fail;
    None where there is none either. At one bandwidth the reference comes before the weighted samples.
    """
    defined = [row for row in scores if row["corrected"] is not None and row["bandwidth"] is not None]
    if reliable := [row for row in defined if is_reliable(row, exact)]:
        return min(reliable, key=lambda row: (row["bandwidth"], row["method"] != "reference"))
    others = [row for row in defined if row["method"] == "weighted" and row["verdict"] not in FAILING]
    return max(others, key=lambda row: row["bandwidth"], default=None)


def is_reliable(score: Row, exact: bool) -> bool:
    """True for a reference that is trusted, or weighted samples that agree with one, where more inputs than the source
    answer: the effective sample size is large enough, the bandwidth is not below the subject's own rounding, the null
    feature is not above chance, and the source alone does not carry the score.
    """
    if score["null_passes"] or score["source_alone"] or score["below_noise"] or (score["ess"] or 0.0) < COLLAPSED:
        return False
    if score["method"] == "reference":
        return trusted(score, exact)
    return score["method"] == "weighted" and score["verdict"] == AGREES


def _words(row: Row, name: str, words: str) -> str:
    return f"{words} undefined" if row[name] is None else f"{words} {of_row(row, name)}"
