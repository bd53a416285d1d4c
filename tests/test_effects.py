"""Sufficiency, necessity and the verdicts, from runs written by hand; what has nothing to divide by is undefined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from partial_records import partial
from scipy.stats import ttest_ind

from inversescope import files, records
from inversescope.causal.effects import effects
from inversescope.causal.used import confirmed, used
from inversescope.sites import Site
from inversescope.stats.intervals import FEWEST, ratio_of_means
from inversescope.stats.resampling import ratio
from inversescope.verdicts import NOTHING, encoded_and_used, significant

SITE = Site("z", 2, 1)
KINDS = {"own": "source", "random": "pool", "same": "samples", "other": "samples"}


def runs(kl: dict[str, list[float]], difference: dict[str, list[float]] | None = None) -> list[dict[str, Any]]:
    """One row for each kind of donor and target; a kind with fewer numbers lacks the last targets."""
    return [
        {
            "site": str(SITE), "feature": "f" if kind in ("same", "other") else None, "kind": kind,
            "drawn_from": KINDS[kind], "target": target, "donors": 4, "distance": 0.5 + target, "kl": value,
            "logit_difference": difference[kind][target] if difference else None,
            "undisturbed": 4.0 if difference else None,
        }
        for kind, values in kl.items()
        for target, value in enumerate(values)
    ]  # fmt: skip


def only(rows: list[dict[str, Any]], reason: str | None = None) -> dict[str, Any]:
    (row,) = effects(rows, {SITE: reason}, {SITE: ["f"]}, 0.5, 0).to_pylist()
    return row


def test_ratios_are_those_of_the_sums_over_targets():
    kl = {"own": [0.0, 0.0, 0.0], "random": [1.0, 2.0, 3.0], "same": [0.0, 0.1, 0.2], "other": [1.0, 1.0, 2.5]}
    difference = {"own": [4.0] * 3, "random": [0.0, 1.0, -1.0], "same": [4.0, 3.0, 5.0], "other": [-4.0, -2.0, -6.0]}
    row = only(runs(kl, difference))
    assert row["sufficiency"] == pytest.approx(1 - 0.3 / 6)
    assert row["necessity"] == pytest.approx((4.5 - 0.3) / 6)
    assert row["effect"] == pytest.approx((4.5 - 0.3) / 3)
    assert [row[f"kept_{kind}"] for kind in ("same", "other", "random")] == pytest.approx([1.0, -1.0, 0.0])
    assert (row["targets"], row["from_pool"], row["reason"]) == (3, 0, None)
    assert (row["site"], row["layer"], row["head"], row["bandwidth"]) == ("z.2.1", 2, 1, 0.5)
    assert row["necessity_low"] < row["necessity"] < row["necessity_high"]
    assert row["distance_same"] == pytest.approx(1.5)


def test_only_targets_with_every_kind_of_donor_count():
    kl = {"own": [0.0] * 3, "random": [1.0, 1.0, 9.0], "same": [0.5, 0.5], "other": [1.0, 1.0, 9.0]}
    row = only(runs(kl))
    assert (row["targets"], row["sufficiency"], row["kl_random"]) == (2, 0.5, 1.0)
    assert row["kept_same"] is None  # the task has no logit difference


def test_a_site_that_moves_nothing_has_no_ratios():
    for kl in (
        {"own": [0.0, 0.0], "random": [0.004, 0.006], "same": [0.0, 0.0], "other": [0.0, 0.0]},
        {"own": [0.02, 0.02], "random": [0.05, 0.05], "same": [0.03, 0.03], "other": [0.04, 0.04]},  # mere rounding
    ):
        row = only(runs(kl))
        assert row["reason"] == NOTHING
        assert row["sufficiency"] is row["necessity"] is row["necessity_low"] is None
        assert row["kl_random"] == pytest.approx(np.mean(kl["random"]))


def test_what_could_not_be_run_says_why():
    row = only([], reason="resid_mid.1 cannot be set")
    assert (row["reason"], row["targets"], row["kl_same"], row["necessity"]) == (
        "resid_mid.1 cannot be set",
        0,
        None,
        None,
    )
    kl = {"own": [0.0], "random": [1.0], "same": [0.1], "other": []}
    assert only(runs(kl))["reason"] == "no target has donors of its label and of another"


def test_intervals_of_ratios_cover_as_often_as_they_claim():
    """Numbers as skewed as divergences are; at 24 targets such a bootstrap covers a little less than it claims."""
    rng, found = np.random.default_rng(0), []
    for seed in range(400):
        size = rng.gamma(2.0, 1.0, 24)
        share = rng.beta(3.0, 1.5, 24)  # of the effect, whatever its size
        _, low, high = ratio(size * share, size, seed)
        found.append(low <= 2 / 3 <= high)
    assert 0.91 <= np.mean(found) <= 0.98


def test_ratios_of_nothing_are_undefined():
    assert np.isnan(ratio(np.array([1.0]), np.array([0.0]), 0)).all()
    assert np.isnan(ratio(np.array([np.nan]), np.array([1.0]), 0)).all()
    assert ratio(np.array([1.0, np.nan]), np.array([2.0, 2.0]), 0)[0] == 0.5
    assert np.isnan(ratio(np.array([1.0]), np.array([2.0]), 0).low)


NECESSITY = [0, 1, -1], [1, 0, 0]  # of random donors, others and those with the same label


@pytest.mark.parametrize("sizes", [(32, 8, 8), (32, 6, 40), (32, 40, 6)])
@pytest.mark.parametrize(("other", "same"), [(0.8, 0.1), (0.5, 0.5), (0.05, 0.05)])
def test_intervals_over_donors_cover_as_often_as_they_claim(sizes: tuple[int, ...], other: float, same: float):
    """Of one source; its donors' divergences are as skewed as a gamma distribution of shape 2."""
    rng, found = np.random.default_rng([*sizes, int(100 * other)]), []
    for _ in range(400):
        groups = [rng.gamma(2.0, mean / 2, n) for mean, n in zip((1.0, other, same), sizes, strict=True)]
        _, low, high = ratio_of_means(groups, *NECESSITY)
        found.append(low <= other - same <= high)
    assert 0.90 <= np.mean(found) <= 0.98


def test_intervals_of_one_group_over_a_known_one_are_welchs():
    """A denominator that hardly varies leaves Welch's interval of the difference."""
    rng = np.random.default_rng(0)
    other, same = rng.gamma(2.0, 1.0, 9), rng.gamma(2.0, 0.5, 14)
    found = ratio_of_means([np.full(FEWEST, 2.0), other, same], *NECESSITY)
    expected = ttest_ind(other, same, equal_var=False).confidence_interval(0.95)
    assert found == pytest.approx(((other.mean() - same.mean()) / 2, expected.low / 2, expected.high / 2))


def test_a_part_of_what_it_is_divided_by_is_not_counted_twice():
    """1 − same / random: the ends are those of same / random, from the other side."""
    rng = np.random.default_rng(1)
    random, same = rng.gamma(2.0, 1.0, 32), rng.gamma(2.0, 0.5, 8)
    value, low, high = ratio_of_means([random, same], [1, -1], [1, 0])
    other = ratio_of_means([random, same], [0, 1], [1, 0])
    assert (1 - value, 1 - high, 1 - low) == pytest.approx(other)


def test_too_few_donors_make_no_interval():
    many, few = np.linspace(0.5, 1.5, 32), np.linspace(0.1, 0.2, FEWEST - 1)
    value, low, high = ratio_of_means([many, many, few], *NECESSITY)
    assert value == pytest.approx(1 - 0.15) and np.isnan([low, high]).all()
    assert np.isnan(ratio_of_means([many, many, few[:0]], *NECESSITY)).all()
    assert np.isnan(ratio_of_means([0 * many, many, many], *NECESSITY)).all()
    # One random input that does something, of ten: what it is divided by may be next to nothing.
    assert np.isnan(ratio_of_means([np.eye(10)[0], many, many], *NECESSITY).low)


def score(value: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"corrected": value, "corrected_low": low, "corrected_high": high}


def necessity(value: float | None, low: float | None, high: float | None, reason: str | None = None) -> dict[str, Any]:
    return {"necessity": value, "necessity_low": low, "necessity_high": high, "reason": reason}


HIGH, LOW, WIDE = (0.8, 0.6, 0.9), (0.02, -0.02, 0.06), (0.3, -0.1, 0.7)


@pytest.mark.parametrize(
    ("encoded", "used", "verdict", "words"),
    [
        (score(*HIGH), necessity(*HIGH), "encoded and used", "necessity 0.80 [0.60, 0.90]"),
        (score(*HIGH), necessity(*LOW), "encoded, unused", "necessity 0.02 [\N{MINUS SIGN}0.02, 0.06]"),
        (score(*HIGH), necessity(None, None, None, NOTHING), "encoded, unused", NOTHING),
        (score(*LOW), necessity(*LOW), "neither", "score 0.02 [\N{MINUS SIGN}0.02, 0.06]"),
        (score(*LOW), necessity(None, None, None, NOTHING), "neither", "score"),
        (score(*LOW), necessity(*HIGH), "cannot tell", "score 0.02 [\N{MINUS SIGN}0.02, 0.06], yet necessity 0.80"),
        (score(*HIGH), necessity(*WIDE), "cannot tell", "necessity 0.30"),
        (score(*WIDE), necessity(*HIGH), "cannot tell", "score 0.30"),
        (score(0.8, None, None), necessity(*HIGH), "cannot tell", "score 0.80 (no interval)"),
        (None, necessity(*HIGH), "cannot tell", "no score"),
        (score(*HIGH), necessity(None, None, None, "it cannot be set"), "cannot tell", "it cannot be set"),
    ],
)  # fmt: skip
def test_verdicts(encoded: dict | None, used: dict, verdict: str, words: str):
    found, reason = encoded_and_used(encoded, used)
    assert found == verdict
    assert reason.startswith(words)


def test_what_was_mined_is_asked_and_judged_by_the_targets_that_confirmed_it(tmp_path: Path):
    """Of a site the first three that were confirmed at the bandwidth of the check and are no feature of the task."""
    found = [
        ("f", 0.001),
        ("digits()", 0.2),
        ("has_digit()", 0.01),
        ("words()", 0.05),
        ("a", None),
        ("b", 0.0),
        ("c", 0.0),
    ]
    mined = [
        {
            "site": str(SITE),
            "bandwidth": h,
            "rank": rank,
            "hypothesis": name if h == 0.5 else f"near {name}",
            "significant": significant(q),
        }
        | dict(zip(("corrected", "corrected_low", "corrected_high"), HIGH, strict=True))
        for h in (0.05, 0.5)
        for rank, (name, q) in reversed([*enumerate(found, start=1)])
    ]
    for step in ("mine", "causal", "score", "calibrate"):
        (tmp_path / step).mkdir()
    record = records.score.HYPOTHESES
    files.write_table(tmp_path / record.path, partial(record, mined))
    asked = confirmed(tmp_path, 0.5, ["f"])
    assert asked == {str(SITE): ["has_digit()", "words()", "b"]}
    effect = {"site": str(SITE), "bandwidth": 0.5, "feature": "words()", "reason": None} | necessity(*HIGH)
    unknown = effect | {"feature": "f"}  # mined too, but a feature of the task is judged by its own score
    files.write_table(
        tmp_path / "causal" / "effects.parquet",
        partial(records.causal.EFFECTS, [effect, unknown]),
    )
    scored = {"method": "weighted", "site": str(SITE), "feature": "f", "bandwidth": 0.5, "corrected": None}
    scored["verdict"] = "unclear"
    files.write_table(tmp_path / "score" / "results.parquet", partial(records.score.RESULTS, [scored]))
    files.write_json(tmp_path / "calibrate" / "verdicts.json", {"truth": "pool"})
    used(tmp_path)
    judged, undefined = pq.read_table(tmp_path / "causal" / "used.parquet").to_pylist()
    assert (judged["method"], judged["verdict"], judged["corrected_low"]) == ("mined", "encoded and used", HIGH[1])
    assert (undefined["method"], undefined["verdict"]) == (None, "cannot tell")
