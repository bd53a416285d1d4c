"""Controls and quality of samples: against counting by hand, and against truths that were planted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from score_fixture import SITE, Draws, scored, write_records

from inversescope import records
from inversescope.score.by_distance import BINS, WIDTH, by_distance
from inversescope.score.diagnostics import histogram
from inversescope.score.labelled_feature import Feature
from inversescope.score.methods_and_controls import from_pool, wrong_sites
from inversescope.score.pool import SitePool
from inversescope.score.quality import Quality
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import normalise
from inversescope.tasks import Tokens
from inversescope.verdicts import reasons

H = 0.1
DEEP = Site("resid_post", 5)
POOL, TARGETS = ["a"] * 12 + ["b"] * 4, ["a", "b"]
FAR = np.full((16, 2), 1.4)


def test_a_wrong_site_is_half_of_all_sites_away():
    sites = [Site("resid_post", layer) for layer in (9, 0, 6, 3)]
    other = wrong_sites(sites)
    assert {site.layer: wrong.layer for site, wrong in other.items()} == {0: 6, 3: 9, 6: 0, 9: 3}
    assert wrong_sites(sites[:1]) == {}
    odd = wrong_sites([Site("z", 4, head) for head in range(5)])
    assert sorted(odd.values(), key=lambda site: site.depth) == sorted(odd, key=lambda site: site.depth)
    assert all(site != wrong for site, wrong in odd.items())


def test_the_wrong_site_answers_with_its_own_draws_for_the_same_targets(tmp_path: Path):
    draws = [Draws(0, H, [*"aaaa"]), Draws(1, H, [*"bbba"])]
    draws += [Draws(0, H, [*"aabb"], site=DEEP), Draws(1, H, [*"bbaa"], site=DEEP)]
    write_records(tmp_path, POOL, TARGETS, draws + [Draws(t, None, ["a"]) for t in range(2)], FAR)
    shallow, deep = scored(tmp_path), scored(tmp_path, DEEP)
    assert shallow["wrong site", H]["fcr"] == deep["generator", H]["fcr"] == 1 / 2
    assert deep["wrong site", H]["fcr"] == shallow["generator", H]["fcr"] == 7 / 8
    assert ("wrong site", H) not in scored_alone(tmp_path / "alone")


def scored_alone(run: Path) -> dict:
    write_records(run, POOL, TARGETS, [Draws(t, h, ["a"] * 4) for h in (H, None) for t in range(2)], FAR)
    return scored(run)


def test_edits_are_weighted_by_the_kernel_and_stand_beside_the_draws(tmp_path: Path):
    near, far = 0.05, 0.2
    edits = [Draws(0, None, [*"aabb-"], None, near, edits=True), Draws(1, None, [*"bbba", None], None, far, edits=True)]
    draws = [Draws(t, h, ["a"] * 4) for h in (H, None) for t in range(2)]
    write_records(tmp_path, POOL, TARGETS, [*draws, *edits], FAR)
    row = scored(tmp_path)["edits", H]
    assert row["fcr"] == pytest.approx((2 / 4 + 3 / 4) / 2)
    assert (row["unverified"], row["undecided"], row["samples"], row["ess"]) == (1, 1, 9, 4.5)
    (diagnostics,) = pq.read_table(tmp_path / "score" / "diagnostics.parquet").to_pylist()
    assert diagnostics["edits_acceptance"] == 4 / 10
    assert diagnostics["edits_median_distance"] == far


def test_near_edits_weigh_more():
    """Half of the edits change the label and go far: the nearer half decides at a small bandwidth, not at a large."""
    distances = np.array([[0.1, 0.1, 0.5, 0.5]])
    small, large = (normalise(Kernel.GAUSSIAN.log(distances, h)) for h in (0.1, 10.0))
    assert small[0, :2].sum() > 0.999
    assert large[0, :2].sum() == pytest.approx(0.5, abs=0.001)


def planted(encoded: bool, rng: np.random.Generator) -> tuple[Feature, np.ndarray, np.ndarray]:
    """A feature of four values that decides where an activation lies, or one that has nothing to do with it."""
    pool, targets = rng.integers(0, 4, 4000), rng.integers(0, 4, 40)
    where = [values if encoded else rng.integers(0, 4, len(values)) for values in (pool, targets)]
    points = [np.eye(4)[values] + rng.normal(0, 0.3, (len(values), 4)) for values in where]
    distances = ((points[0][:, None] - points[1][None]) ** 2).mean(2) ** 0.5 * 2**0.5
    share = np.full(len(pool), 1 / len(pool))
    return Feature("f", list("abcd"), targets, pool, share), distances, share


def test_what_a_site_encodes_falls_from_one_to_below_chance_with_distance():
    feature, distances, share = planted(True, np.random.default_rng(0))
    rows = list(by_distance(SITE, SitePool.of(distances, share, False, [], Kernel.GAUSSIAN), [feature]))
    near, far = rows[1], rows[-2]
    assert near["fcr"] > 0.95
    assert far["fcr_high"] < far["chance"] < near["fcr_low"]
    assert [row["low"] for row in rows] == pytest.approx([WIDTH * round(row["low"] / WIDTH) for row in rows])
    everywhere = sum(row["pairs"] * row["fcr"] for row in rows) / sum(row["pairs"] for row in rows)
    assert everywhere == pytest.approx(np.mean(feature.prior.chance(feature.targets)), abs=0.03)
    assert sum(row["pairs"] for row in rows) == distances.size


def test_what_a_site_does_not_encode_is_at_chance_at_every_distance():
    feature, distances, share = planted(False, np.random.default_rng(1))
    rows = [
        row
        for row in by_distance(SITE, SitePool.of(distances, share, False, [], Kernel.GAUSSIAN), [feature])
        if row["targets"] == 40
    ]
    assert len(rows) > 5
    assert np.mean([row["fcr_low"] <= row["chance"] <= row["fcr_high"] for row in rows]) >= 0.8
    assert all(abs(row["fcr"] - row["chance"]) < 0.1 for row in rows)


def test_consistency_by_distance_is_what_counting_gives_and_a_whole_prior_leaves_the_target_out():
    pool, share = np.array([0, 0, 1, -1, 0]), np.array([0.1, 0.2, 0.3, 0.2, 0.2])
    distances = np.array([[0.0], [0.05], [0.07], [0.08], [5.0]])
    feature = Feature("f", ["a", "b"], np.array([0]), pool, share)
    source = np.array([[True, False, False, False, False]])
    near, far = by_distance(SITE, SitePool.of(distances, share, True, [], Kernel.GAUSSIAN), [feature], source)
    assert near["fcr"] == pytest.approx(0.2 / 0.5)  # the first is the target, the fourth undecided
    assert (near["pairs"], near["targets"], near["fcr_low"]) == (2, 1, None)
    assert (far["low"], far["high"], far["fcr"]) == (pytest.approx(WIDTH * (BINS - 1)), None, 1)
    near, _ = by_distance(SITE, SitePool.of(distances, share, False, [], Kernel.GAUSSIAN), [feature])
    assert near["fcr"] == pytest.approx(0.3 / 0.6)
    undecided = Feature("f", ["a", "b"], np.array([-1]), pool, share)
    assert list(by_distance(SITE, SitePool.of(distances, share, False, [], Kernel.GAUSSIAN), [undecided])) == []


def test_a_source_is_no_neighbour_of_its_own_where_others_have_its_activation():
    """Six inputs have one activation, as at a head that does nothing for them; the fifth is the source."""
    distances = np.array([[0.0] * 6 + [0.5] * 6]).T
    pool, share = np.array([1, 1, 1, 1, 0, 1, *[1] * 6]), np.full(12, 1 / 12)
    feature, source = Feature("f", ["a", "b"], np.array([0]), pool, share), np.arange(12)[None] == 4
    at = SitePool.of(distances, share, True, [], Kernel.GAUSSIAN)
    (nearest,) = from_pool(SITE, at, [feature], source)
    assert nearest.score(feature).fcr.value == 0
    near, far = by_distance(SITE, at, [feature], source)
    assert (near["fcr"], near["pairs"], far["fcr"]) == (0, 5, 0)


def test_distances_of_the_prior_count_by_its_probabilities():
    """A pool that is the whole prior has each input once, however probable."""
    distances, share = np.array([[0.1], [0.9], [1.0]]), np.array([0.8, 0.1, 0.1])
    pool = SitePool.of(distances, share, True, [], Kernel.GAUSSIAN)
    draws = pa.table({"distance": pa.array([0.5]), "bandwidth": pa.array([H])})
    shares = [row["share"] for row in histogram(SITE, draws, pool) if row["method"] == "prior"]
    assert sum(shares) == pytest.approx(1) and max(shares) == shares[4] == pytest.approx(0.8)


def world(rng: np.random.Generator) -> tuple[list[Tokens], np.ndarray, np.ndarray]:
    """Inputs of three tokens, of which the site reads the first two: the pool, δ to 24 targets, the targets."""
    pool = [tuple(row) for row in rng.integers(1, 5, (3000, 3)).tolist()]
    targets = rng.integers(1, 5, (24, 3))
    distances = np.array([[sum(a != b for a, b in zip(x[:2], t[:2], strict=True)) for t in targets] for x in pool])
    return pool, distances.astype(float), targets


def quality_of(corrupt: float) -> dict:
    """Draws from the exact posterior, of which a share of the last tokens is overwritten by one never seen."""
    rng = np.random.default_rng(4)
    pool, distances, _ = world(rng)
    probability = np.full(len(pool), 1 / len(pool))
    weights = normalise(Kernel.GAUSSIAN.log(distances.T, 0.5))
    rows = []
    for target, each in enumerate(weights):
        for sample, place in enumerate(rng.choice(len(pool), 16, p=each).tolist()):
            tokens = (*pool[place][:2], 9 if rng.random() < corrupt else pool[place][2])
            rows.append({"bandwidth": 0.5, "target": target, "sample": sample, "tokens": tokens, "weight": 1 / 16})
    train = [(0, *tokens[1:]) for tokens in pool]
    around = SitePool.of(distances, probability, False, [0.5], Kernel.GAUSSIAN)
    (row,) = Quality(pool, train, 0).rows(SITE, table_of(rows), around)
    assert {"resolution", *row} == set(records.score.QUALITY.names)
    return row


def table_of(rows: list[dict]):
    import pyarrow as pa

    return pa.Table.from_pylist([row | {"tokens": list(row["tokens"])} for row in rows]).append_column(
        "left_out", pa.nulls(len(rows), pa.string())
    )


def test_draws_from_the_posterior_are_like_the_real_inputs_near_the_target():
    row = quality_of(0.0)
    assert row["compared"] == 24
    assert row["p_value"] > 0.05
    assert row["auc_low"] < 0.5 < row["auc_high"]
    assert row["similarity_low"] < row["pool_similarity"] < row["similarity_high"]
    assert row["distinct"] == pytest.approx(row["pool_distinct"], abs=0.05)
    assert (
        row["nearest_train"] == row["pool_nearest_train"] == pytest.approx(1 / 3)
    )  # the first token is never the same


def test_draws_from_a_posterior_that_is_known_are_as_distinct_as_real_inputs():
    """Independent draws of few inputs repeat; inputs taken as evenly as their weights allow would not."""
    pool: list[Tokens] = [(i,) for i in range(32)]
    at = SitePool.of(np.ones((32, 12)), np.full(32, 1 / 32), True, [0.5], Kernel.GAUSSIAN)
    drawn = np.random.default_rng(0).integers(32, size=(12, 32))
    rows = [
        {"bandwidth": 0.5, "target": target, "sample": sample, "tokens": pool[place], "weight": 1 / 32}
        for target, places in enumerate(drawn)
        for sample, place in enumerate(places)
    ]
    (row,) = Quality(pool, [(99,)], 0).rows(SITE, table_of(rows), at)
    assert row["pool_distinct"] == pytest.approx(1 - (1 - 1 / 32) ** 32, abs=0.06)
    assert row["distinct"] == pytest.approx(row["pool_distinct"], abs=0.08)


def test_a_corrupted_sampler_is_told_from_real_inputs():
    row = quality_of(0.3)
    assert row["p_value"] < 0.01
    assert row["auc_low"] > 0.5


def test_where_the_pool_has_no_neighbours_nothing_is_compared():
    pool: list[Tokens] = [(i, 1) for i in range(40)]
    distances = np.full((40, 12), 3.0)
    distances[0] = 0.0
    rows = [
        {"bandwidth": 0.1, "target": t, "sample": i, "tokens": pool[i], "weight": 1 / 6}
        for t in range(12)
        for i in range(6)
    ]
    around = SitePool.of(distances, np.full(40, 1 / 40), False, [0.1], Kernel.GAUSSIAN)
    (row,) = Quality(pool, [(99, 1)], 0).rows(SITE, table_of(rows), around)
    assert row["compared"] == 0
    undefined = ("auc", "auc_low", "p_value", "pool_similarity", "pool_distinct", "pool_nearest_train")
    assert {row[name] for name in undefined} == {None}
    assert row["similarity"] == pytest.approx(1 / 2)  # one of two tokens is the same in any two
    (row,) = Quality(pool, pool, 0).rows(SITE, table_of(rows), around)
    assert row["nearest_train"] is None  # every sample is a training input


ROW = {
    **{"draws": 24, "unverified": 0, "acceptance": 0.0, "nearest": 0.3, "pool_nearest": 0.05, "copied": 0.2},
    **{"ess": 10.0, "pareto_k": 0.1, "unreliable": False, "left_out": None},
}


@pytest.mark.parametrize(
    ("values", "undertrained", "words"),
    [
        ({"unverified": 24, "nearest": None, "copied": None}, None, ["24 of 24"]),
        ({}, "gap -0.2", ["gap -0.2"]),
        ({"pool_nearest": 0.31}, None, ["δ = 0.31"]),
        ({"copied": 0.75}, None, ["75%"]),
        ({"ess": 1.5, "left_out": "too few"}, None, ["1.5"]),
        ({"pareto_k": 0.9, "unreliable": True}, None, ["k̂ = 0.90"]),
        ({"pool_nearest": 0.31, "ess": 1.5, "left_out": "too few"}, None, ["δ = 0.31", "1.5"]),
        ({}, None, ["no rule applies"]),
        ({"copied": None}, None, ["no rule applies"]),
        ({"copied": 0.75, "nearest": 0.02, "acceptance": 0.1}, None, ["no rule applies"]),
    ],
)
def test_each_reason_is_given_by_its_rule(values: dict, undertrained: str | None, words: list[str]):
    found = reasons(ROW | values, undertrained)
    assert len(found) == len(words)
    assert all(part in reason for reason, part in zip(found, words, strict=True))


def test_what_did_not_fail_needs_no_reason():
    assert reasons(ROW | {"acceptance": 0.5, "left_out": "too few"}, "gap") == []


def test_the_worst_targets_are_told_with_their_nearest_sample(tmp_path: Path):
    draws = [
        Draws(0, H, [*"aaaa"]), Draws(1, H, [*"aab-"], None, 0.3), Draws(2, H, [*"----"]),
        Draws(3, H, [*"bbbb"], None, 0.2), *(Draws(t, 0.5, [*"aaaa"]) for t in range(4)),
        *(Draws(t, None, ["a"]) for t in range(4)),
    ]  # fmt: skip
    distances = np.full((16, 4), 1.4)
    distances[3, 1] = 0.25
    write_records(tmp_path, POOL, ["a", "a", "b", "b"], draws, distances, failing_at=H)
    scored(tmp_path)
    rows = pq.read_table(tmp_path / "score" / "worst_targets.parquet").to_pylist()
    assert [row["target"] for row in rows] == [2, 1, 3]  # at the smallest bandwidth, what has no sample first
    assert [row["acceptance"] for row in rows] == [0, 0, 0]
    lost, worst, _ = rows
    assert (lost["nearest"], lost["nearest_text"], lost["copied"]) == (None, None, None)
    assert re.findall(r"\d+", lost["reasons"][0]) == ["4", "4"]
    assert (worst["bandwidth"], worst["draws"], worst["unverified"]) == (H, 4, 1)
    assert (worst["nearest"], worst["nearest_text"], worst["copied"]) == (0.3, "a", 0)
    assert worst["pool_nearest"] == pytest.approx(0.25)
    assert "subject -0.21" in worst["reasons"][0]
    assert "δ = 0.25" in worst["reasons"][1]
