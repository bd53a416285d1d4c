"""Verdicts on a score: undefined for which reason, above chance, and the generator's agreement with the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inversescope.verdicts.left_out import mostly_left_out
from inversescope.verdicts.thresholds import ENCODED, GAP, HALF, MOST, SIGNIFICANT, TRUSTED

Row = Mapping[str, Any]

COUNTING = ("generator", "weighted", "reference")  # methods whose scores are findings; the others are controls
SAME_ENDING = "same ending"  # the control of inputs that share the last tokens with the source
NULL_FEATURE = "null feature"  # a hash of the input; its scores show where every feature passes
NULL_PASSES = "a hash of the input is above chance here too: this bandwidth tells inputs apart and nothing else"
SOURCE_ALONE = "the source alone carries this score: among other inputs it is not above chance, or none has weight"

# The generator at a place: its scores agree with the reference's, differ by too much, neither is sure, or no reference.
AGREES, COPIES, UNDERTRAINED, UNCLEAR, UNCHECKED = "agrees", "copies", "undertrained", "unclear", "unchecked"
FAILING = (COPIES, UNDERTRAINED)
MEANINGS = {
    AGREES: "generator and reference agree here",
    COPIES: "copies: the generator draws training inputs where the posterior has others; its scores do not count",
    UNDERTRAINED: "undertrained: a low score here does not show that the feature is absent",
    UNCLEAR: "unclear: too few targets to decide whether generator and reference agree here",
    UNCHECKED: "unchecked: no reference shows whether the generator is calibrated here",
}


def beyond(row: Row, name: str, limit: float) -> bool | None:
    """True where the interval lies above a limit, False where below; None where it contains it, where there is none,
    or where most of the targets are left out of a score that lies below: collapsed weights are no evidence of absence.
    """
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or high is None or low <= limit <= high:
        return None
    return True if low > limit else None if mostly_left_out(row) else False


def significant(q_value: float | None) -> bool:
    """True where the test is sure enough, over all that was tested."""
    return q_value is not None and q_value <= SIGNIFICANT


def above_chance(low: float | None, q_value: float | None) -> bool:
    """True where a corrected score is above chance by its interval, and over all that was tested."""
    return low is not None and low > 0 and significant(q_value)


def decisive(row: Row) -> str:
    """Name of the score that decides: among inputs other than the source, where half of the targets or more have such
    inputs; with the source counted in where it is all that remains, and for methods that never look at it.
    """
    targets = row.get("others_targets")
    most = targets is None or targets >= MOST * row["targets"]
    return "others" if row.get("others_low") is not None and most else "corrected"


def encoded(row: Row) -> bool | None:
    """True where the decisive score lies above the limit from which a site encodes a feature, as `beyond` has it."""
    return beyond(row, decisive(row), ENCODED)


def null_passes(null: Row | None) -> bool | None:
    """True where the decisive score of the null feature is above chance, so that every feature is; None where it has no
    interval. Among other inputs a hash is above chance by luck alone; where only the source remains, it always is.
    """
    low = None if null is None else null[f"{decisive(null)}_low"]
    return None if low is None else low > 0


def source_alone(row: Row) -> bool:
    """True for a score above chance that is not so among inputs other than the source: that the source shares its own
    label is no finding.
    """
    low, others = row["corrected_low"], row["others_low"]
    return low is not None and low > 0 and (others is None or others <= 0)


def disagreement(low: float, bits: float, most: float) -> str | None:
    """Note on a corrected score (its lower limit) and bits, of `most` that there are, that contradict each other; None
    where they do not, or one is undefined (NaN).
    """
    if low > 0 and bits <= 0:
        return "bits do not agree: the source's label is more frequent than in the prior, and all labels are as spread"
    if low <= 0 and most > 0 and bits >= HALF * most:
        return "bits do not agree: the samples share a label, and it is not the source's"
    return None


def trusted(reference: Row | None, exact: bool) -> bool:
    """True where a row of the reference counts as the truth."""
    return reference is not None and (exact or (reference["ess"] or 0.0) >= TRUSTED)


def why_undefined(row: Row) -> str | None:
    """The reason why the corrected score of a row is undefined; None if it is defined."""
    if row["corrected"] is not None:
        return None
    if row["chance"] == 1:
        return "every input of the prior has the same label: there is nothing above chance"
    if not row["targets"] and row["collapsed"]:
        return f"the weights of all {row['collapsed']} targets have collapsed"
    if not row["samples"]:
        return "there are no samples"
    if row["undecided"] >= row["samples"]:
        return f"all {row['samples']} samples are undecided"
    if not row["targets"]:
        return "no target has a label for this feature"
    return "too few targets or decided samples"


def agreement(generator: Row, reference: Row | None, exact: bool) -> str:
    """The verdict of the calibration gap of a generator's row."""
    gap, low, high = generator["gap"], generator["gap_low"], generator["gap_high"]
    if gap is None or not trusted(reference, exact):
        return UNCHECKED
    if low is not None and high is not None and (high < -GAP or low > GAP):
        return UNDERTRAINED
    return AGREES if abs(gap) <= GAP else UNCLEAR


def beside_calibration(verdict: str, calibration: str | None) -> str:
    """The verdict on the generator at a place, beside that of the calibration there, which is about other inputs."""
    if verdict != AGREES:
        return MEANINGS[verdict]
    if calibration == "calibrated":
        return "the generator is calibrated here"
    others = "was not done" if calibration is None else f"on other inputs: {calibration}"
    return f"generator and reference agree on these targets; the calibration {others}"


def judged(scores: Sequence[Row], calibration: Sequence[Row], exact: bool, compared: str) -> list[dict[str, Any]]:
    """The rows of `score/results.parquet` with five columns more: `verdict` on the generator, `reason`, `trusted`,
    `source_alone`, and `null_passes`, by the null feature's row of the same method, site and bandwidth.

    Two comparisons count: the gap on the targets, and the calibration, on other inputs that stand in for targets.

    Args:
        compared: method whose gap counts: `generator`, or `weighted` where the generator has no noise channel for the
            run's posterior; there its unweighted draws have no verdict, and the calibration is about other posteriors.
    """
    by_cell = {(row["method"], row["site"], row["feature"], row["bandwidth"]): row for row in scores}
    on_stand_ins = {(row["site"], row["bandwidth"]): row["verdict"] for row in calibration if row["query"] == "clean"}

    def verdict(row: Row) -> str | None:
        if row["method"] not in (compared, "weighted"):
            return None
        cell = (row["site"], row["feature"], row["bandwidth"])
        generator, on_others = by_cell.get((compared, *cell)), on_stand_ins.get((row["site"], row["bandwidth"]))
        gap = UNCHECKED if generator is None else agreement(generator, by_cell.get(("reference", *cell)), exact)
        if on_others == COPIES:
            return COPIES
        if UNDERTRAINED in (gap, on_others):
            return UNDERTRAINED
        return AGREES if on_others == "calibrated" and gap == UNCHECKED and compared == "generator" else gap

    def counts(row: Row) -> bool | None:
        return trusted(row, exact) if row["method"] == "reference" else None

    def passes(row: Row) -> bool | None:
        return null_passes(by_cell.get((row["method"], row["site"], NULL_FEATURE, row["bandwidth"])))

    return [
        {
            **row,
            "verdict": verdict(row),
            "reason": why_undefined(row),
            "trusted": counts(row),
            "source_alone": source_alone(row) if row["method"] in COUNTING else None,
            "null_passes": passes(row),
        }
        for row in scores
    ]
