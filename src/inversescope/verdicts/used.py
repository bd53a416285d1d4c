"""Verdicts on a site and feature: encoded and used, encoded and unused, neither, or cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inversescope.verdicts.scores import beyond, trusted
from inversescope.verdicts.thresholds import ENCODED, USED
from inversescope.verdicts.wording import of_row

NOTHING = "a random input's activation hardly moves the next token"
BOTH, UNUSED, NEITHER, CANNOT_TELL = "encoded and used", "encoded, unused", "neither", "cannot tell"
Row = Mapping[str, Any]


def encoded_and_used(score: Row | None, effect: Row) -> tuple[str, str]:
    """The verdict, and the measurement that decides it; a limit that an interval contains decides nothing."""
    if score is None:
        return CANNOT_TELL, "no score is defined here"
    scored, moved = _words(score, "corrected", "score"), effect["reason"] or _words(effect, "necessity", "necessity")
    encoded = beyond(score, "corrected", ENCODED)
    used = False if effect["reason"] == NOTHING else beyond(effect, "necessity", USED)
    if encoded is None or used is None:
        return CANNOT_TELL, scored if encoded is None else moved
    if encoded:
        return BOTH if used else UNUSED, moved
    if used:  # inputs near the target do not share the label, and yet another label moves the next token
        return CANNOT_TELL, f"{scored}, yet {moved}"
    return NEITHER, scored


def first_trusted(scores: Sequence[Row | None], exact: bool) -> Row | None:
    """The first score that counts: a reference only where it is trusted; None where none is defined."""
    defined = [row for row in scores if row is not None and row["corrected"] is not None]
    return next((row for row in defined if row["method"] != "reference" or trusted(row, exact)), None)


def _words(row: Row, name: str, words: str) -> str:
    return f"{words} undefined" if row[name] is None else f"{words} {of_row(row, name)}"
