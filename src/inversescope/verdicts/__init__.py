"""Verdicts: every threshold, and the rules that turn numbers into words. No files, no torch."""

from inversescope.verdicts.calibration import Judgement, Measured, Verdict, of_question, of_site
from inversescope.verdicts.thresholds import (
    ACCEPTED,
    COLLAPSED,
    DETERMINED,
    ENCODED,
    FAIR_SHARE,
    GAP,
    KL_ANY,
    KL_MEAN,
    MOST,
    MOVES,
    MOVES_TIMES,
    SIGNIFICANT,
    SMALLEST_Q,
    TRUSTED,
    USED,
)

__all__ = [
    "ACCEPTED",
    "COLLAPSED",
    "DETERMINED",
    "ENCODED",
    "FAIR_SHARE",
    "GAP",
    "KL_ANY",
    "KL_MEAN",
    "MOST",
    "MOVES",
    "MOVES_TIMES",
    "SIGNIFICANT",
    "SMALLEST_Q",
    "TRUSTED",
    "USED",
    "Judgement",
    "Measured",
    "Verdict",
    "of_question",
    "of_site",
]
