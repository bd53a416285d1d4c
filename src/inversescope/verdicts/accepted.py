"""Verdicts on the samples of a target: reasons why few are accepted, and where acceptance has a meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inversescope.verdicts.thresholds import ACCEPTED, FAIR_SHARE, MOST

BELOW_NOISE = "below the subject's own rounding"  # of a bandwidth or a radius under the noise floor of a site


def acceptance_counts(bandwidth: float, reference_acceptance: float, trusted: bool, noise_floor: float) -> bool:
    """True where acceptance has a meaning: its limit is not below the noise floor, and the kernel is no wider than the
    limit, or enough of a trusted reference lies within it. Elsewhere even the exact distribution is hardly ever
    accepted, and it is no failure.

    `reference_acceptance`: weight of the reference within the limit, mean over targets.
    """
    return noise_floor <= ACCEPTED and (bandwidth <= ACCEPTED or (trusted and reference_acceptance >= FAIR_SHARE))


def reasons(row: Mapping[str, Any], failing: str | None) -> list[str]:
    """Every rule that holds for a target of which fewer than half of the draws are accepted, with its measurement.

    Args:
        row: a row of `score/worst_targets.parquet`, but for its reasons, with `unreliable` and `left_out`.
        failing: the calibration's verdict at this bandwidth and its reason, if it is `copies` or `undertrained`.
    """
    if row["acceptance"] >= MOST:
        return []
    draws, far = row["draws"], row["nearest"] is not None and row["nearest"] > ACCEPTED
    rules, within = [], f"lies within δ ≤ {ACCEPTED}"
    if row["unverified"] >= MOST * draws:
        rules.append(f"{row['unverified']} of {draws} draws never ended")
    if failing is not None:
        rules.append(f"the calibration finds that the generator is not to be trusted: {failing}")
    if row["pool_nearest"] > ACCEPTED:
        rules.append(f"no other input of the pool {within}: the nearest is at δ = {row['pool_nearest']:.2f}")
    if far and row["copied"] is not None and row["copied"] >= MOST:
        rules.append(f"{row['copied']:.0%} of the draws copy the training set, and none of the draws {within}")
    if row["left_out"] is not None:
        rules.append(f"{row['left_out']}: effective sample size {row['ess']:.1f}")
    if row["unreliable"]:
        rules.append(f"the weights have a heavy tail: k̂ = {row['pareto_k']:.2f}")
    return rules or [
        f"no rule applies: other inputs lie within δ ≤ {ACCEPTED}, and the generator draws them too rarely"
    ]
