"""Sufficiency, necessity and the verdicts, from runs written by hand; what has nothing to divide by is undefined."""

from __future__ import annotations

from collections.abc import Sequence
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
from inversescope.records.levels import Level
from inversescope.sites import Site
from inversescope.stats.intervals import FEWEST, ratio_of_means
from inversescope.stats.resampling import ratio
from inversescope.verdicts import (
    NOTHING,
    NULL_PASSES,
    SOURCE_ALONE,
    encoded_and_used,
    finest_reliable,
    significant,
)

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
    (row,) = effects(rows, {SITE: reason}, {SITE: ["f"]}, {SITE: Level(None, 0.5)}, 0).to_pylist()
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
    assert (row["site"], row["layer"], row["head"], row["donor_bandwidth"]) == ("z.2.1", 2, 1, 0.5)
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
    row = only(runs(kl))
    assert row["reason"] not in (None, NOTHING) and (row["targets"], row["necessity"]) == (0, None)


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
    return {"corrected": value, "corrected_low": low, "corrected_high": high} | {
        "null_passes": False,
        "source_alone": False,
        "below_noise": False,
    }


def others(value: float, low: float, high: float) -> dict[str, Any]:
    """The score among inputs other than the source, of all 20 targets."""
    return {"others": value, "others_low": low, "others_high": high, "others_targets": 20, "targets": 20}


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
        (score(*HIGH) | others(*HIGH), necessity(*HIGH), "encoded and used", "necessity 0.80"),
        (score(*HIGH) | others(*LOW), necessity(*LOW), "neither", "score among other inputs 0.02"),
        (score(*HIGH) | others(*WIDE), necessity(*HIGH), "cannot tell", "score among other inputs 0.30"),
        (score(*HIGH) | others(*LOW) | {"others_targets": 9}, necessity(*HIGH), "encoded and used", "necessity 0.80"),
        (score(*HIGH) | {"null_passes": True}, necessity(*HIGH), "cannot tell", NULL_PASSES),
        (score(*HIGH) | {"source_alone": True}, necessity(*HIGH), "cannot tell", SOURCE_ALONE),
        (score(*HIGH), necessity(None, None, None, "it cannot be set"), "cannot tell", "it cannot be set"),
    ],
)  # fmt: skip
def test_verdicts(encoded: dict | None, used: dict, verdict: str, words: str):
    found, reason = encoded_and_used(encoded, used)
    assert found == verdict
    assert reason.startswith(words)


def mined(bandwidth: float, found: Sequence[tuple[str, float | None]]) -> list[dict[str, Any]]:
    rows = [
        {"site": str(SITE), "bandwidth": bandwidth, "rank": rank, "hypothesis": name, "significant": significant(q)}
        for rank, (name, q) in enumerate(found, start=1)
    ]
    return [row | dict(zip(("corrected", "corrected_low", "corrected_high"), HIGH, strict=True)) for row in rows]


def reference(feature: str, bandwidth: float, values: Sequence[float | None], ess: float = 60.0) -> dict[str, Any]:
    row = {"method": "reference", "site": str(SITE), "feature": feature, "bandwidth": bandwidth, "ess": ess}
    row |= {"point": "z", "layer": 2, "head": 1, "targets": 20, "chance": 0.1}
    return row | dict(zip(("corrected", "corrected_low", "corrected_high"), values, strict=True)) | {"q_value": 0.001}


def write_records(run: Path, effects: Sequence[dict], scores: Sequence[dict], hypotheses: Sequence[dict] = ()) -> None:
    (run / "calibrate").mkdir()
    files.write_json(run / "calibrate" / "verdicts.json", {"truth": "pool"})
    for record, rows in (
        (records.causal.EFFECTS, effects),
        (records.score.RESULTS, scores),
        (records.mine.HYPOTHESES, hypotheses),
    ):
        files.write_table(run / record.path, partial(record, rows))


def effect_of(feature: str, *values: float) -> dict[str, Any]:
    return {
        "site": str(SITE),
        "donor_resolution": None,
        "donor_bandwidth": 0.5,
        "feature": feature,
        "reason": None,
    } | necessity(*values)


def judged(run: Path) -> list[dict[str, Any]]:
    used(run)
    return pq.read_table(run / records.causal.USED.path).to_pylist()


def test_of_what_was_mined_the_widest_is_asked_and_judged_by_the_targets_that_confirmed_it(tmp_path: Path):
    """Of a site the first three that were confirmed, the largest bandwidth first, and no feature of the task."""
    wide = [("f", 0.001), ("digits()", 0.2), ("has_digit()", 0.01), ("words()", 0.05), ("a", None)]
    fine = [("words()", 0.0), ("b", 0.0), ("c", 0.0)]
    effects = [effect_of("words()", *HIGH), effect_of("f", *HIGH)]
    scores = [
        reference("f", 0.5, [None, None, None]),  # a feature of the task is judged by its own score
        reference("g", 0.1, HIGH),
    ]
    write_records(tmp_path, effects, scores, [*mined(0.5, wide), *reversed(mined(0.1, fine)), *mined(0.05, fine)])
    assert confirmed(tmp_path, ["f"]) == {str(SITE): ["has_digit()", "words()", "b"]}
    words, undefined = judged(tmp_path)
    assert (words["method"], words["verdict"], words["corrected_low"]) == ("mined", "encoded and used", HIGH[1])
    # At 0.05 it was confirmed as well, but no score of the site is reliable there.
    assert (words["score_bandwidth"], words["donor_bandwidth"]) == (0.1, 0.5)
    assert (undefined["method"], undefined["verdict"]) == (None, "cannot tell")


def test_the_score_is_that_of_the_smallest_bandwidth_at_which_it_is_reliable(tmp_path: Path):
    """At 0.05 the source alone answers, at 0.1 the pool does not suffice, and at that of the donors all is blurred."""
    weighted = reference("f", 0.1, HIGH) | {"method": "weighted"}
    scores = [
        reference("f", 0.05, (0.99, 0.98, 1.0), ess=1.0),
        weighted | {"verdict": "unclear"},
        reference("f", 0.1, (0.9, 0.8, 0.95), ess=20.0),
        reference("f", 0.3, HIGH),
        reference("f", 0.5, LOW),
    ]
    write_records(tmp_path, [effect_of("f", *HIGH)], scores)
    (found,) = judged(tmp_path)
    assert (found["verdict"], found["score_bandwidth"], found["donor_bandwidth"]) == ("encoded and used", 0.3, 0.5)
    assert found["corrected"] == HIGH[0]


@pytest.mark.parametrize(
    ("rows", "bandwidth"),
    [
        ([("weighted", 0.1, "agrees", 20.0), ("reference", 0.5, None, 60.0)], 0.1),
        ([("weighted", 0.1, "agrees", 3.0), ("reference", 0.5, None, 60.0)], 0.5),  # most weights have collapsed
        ([("weighted", 0.1, "unchecked", 20.0), ("weighted", 0.3, "unchecked", 20.0)], 0.3),
        ([("weighted", 0.1, "unclear", 20.0), ("weighted", 0.3, "undertrained", 20.0)], 0.1),
        ([("weighted", 0.1, "undertrained", 20.0), ("reference", 0.5, None, 20.0)], None),
        ([("nearest", None, None, 8.0), ("generator", 0.1, "agrees", 32.0)], None),
    ],
)
def test_the_finest_reliable_score(rows: list[tuple], bandwidth: float | None):
    names = ("method", "bandwidth", "verdict", "ess")
    found = finest_reliable([dict(zip(names, row, strict=True)) | score(*HIGH) for row in rows], exact=False)
    assert (None if found is None else found["bandwidth"]) == bandwidth


def test_a_score_is_not_reliable_where_the_null_feature_is_above_chance():
    fine = score(*HIGH) | {"method": "reference", "bandwidth": 0.1, "ess": 60.0, "verdict": None}
    coarse = fine | {"bandwidth": 0.5}
    assert finest_reliable([fine, coarse], exact=False) == fine
    assert finest_reliable([fine | {"null_passes": True}, coarse], exact=False) == coarse
    assert finest_reliable([fine | {"source_alone": True}, coarse], exact=False) == coarse
    assert finest_reliable([fine | {"below_noise": True}, coarse], exact=False) == coarse
