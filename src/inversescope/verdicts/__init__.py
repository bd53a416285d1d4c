"""Verdicts: every threshold, and the rules that turn numbers into words. No files, no torch."""

from inversescope.verdicts.accepted import acceptance_counts, reasons
from inversescope.verdicts.scores import above_chance, agreement, judged, significant, trusted, why_undefined
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
from inversescope.verdicts.undertrained import Judgement, Measured, Verdict, of_question, of_site
from inversescope.verdicts.used import NOTHING, encoded_and_used, first_trusted

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
    "NOTHING",
    "SIGNIFICANT",
    "SMALLEST_Q",
    "TRUSTED",
    "USED",
    "Judgement",
    "Measured",
    "Verdict",
    "above_chance",
    "acceptance_counts",
    "agreement",
    "encoded_and_used",
    "first_trusted",
    "judged",
    "of_question",
    "of_site",
    "reasons",
    "significant",
    "trusted",
    "why_undefined",
]
