"""Scores among inputs other than the target's own source: what only the source carries is no finding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from score_fixture import Draws, scored, write_records
from test_explain import drawn, hypothesis, scored_finding
from test_headline import planted, score, use

from inversescope.explain.explain import _judged
from inversescope.explain.facts import Fact
from inversescope.explain.null_score import NullScore
from inversescope.score.feature import others_chance, without_source
from inversescope.score.labelled_feature import Feature
from inversescope.score.methods_and_controls import NEIGHBOURS, from_pool
from inversescope.score.pool import SitePool
from inversescope.sites import Site
from inversescope.stats.intervals import Estimate
from inversescope.stats.kernel import Kernel
from inversescope.verdicts import NULL_FEATURE
from inversescope.verdicts.headline import headline

ALONE, SHARED, TARGETS, N = 0.01, 1.0, 24, 16
COUNTING = ("generator", "weighted", "reference")


@pytest.fixture(scope="module", params=range(3))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels that mean nothing. Half of the draws, and of the reference's weight, are the source. The others are any
    input at one bandwidth; at the other, draws with the source's label. Target t is input t of the pool.
    """
    rng, folder = np.random.default_rng(request.param), tmp_path_factory.mktemp("run")
    pool = [str(number) for number in rng.integers(4, size=400)]
    draws, half = [], N // 2
    for target in range(TARGETS):
        others = [x for x in rng.integers(400, size=N).tolist() if x != target][:half]
        alike = [x for x in range(400) if pool[x] == pool[target] and x != target][:half]
        for h, drawn_then in ((ALONE, others), (SHARED, alike)):
            tokens = [target] * half + drawn_then
            draws.append(Draws(target, h, [pool[x] for x in tokens], tokens=tokens, sources=half))
        draws.append(Draws(target, None, [pool[other] for other in others], tokens=others))
    distances = np.full((400, TARGETS), 9.0)
    distances[:TARGETS][np.eye(TARGETS, dtype=bool)] = 0.0
    for target in range(TARGETS):
        near = [x for x in rng.permutation(400).tolist() if x != target][:30]
        distances[near, target] = ALONE * np.sqrt(2 * np.log(25))  # together a little heavier than the source
    write_records(folder, pool, pool[:TARGETS], draws, distances)
    scored(folder)
    return folder


def test_what_only_the_source_carries_is_marked(run: Path):
    rows = scored(run)
    for method in COUNTING:
        row = rows[method, ALONE]
        assert row["source_weight"] == pytest.approx(0.5, abs=0.06)
        assert row["corrected"] > 0.3 and row["corrected_low"] > 0
        assert row["others_low"] < 0 < row["others_high"] and row["others_targets"] == TARGETS
        assert row["source_alone"] is True and row["q_value"] > 0.05
    for method in ("generator", "weighted"):
        row = rows[method, SHARED]
        assert row["q_value"] < 0.01
        assert row["others"] == pytest.approx(1) and row["others_low"] > 0.8 and row["source_alone"] is False
    assert rows["shuffled", ALONE]["others"] is rows["shuffled", ALONE]["source_alone"] is None


def test_the_null_feature_is_judged_among_other_inputs(run: Path):
    """Half of the weight is the source, so that the hash is far above chance with it; among the others it is not."""
    rows, features = scored(run, feature=NULL_FEATURE), scored(run)
    for method in COUNTING:
        row = rows[method, ALONE]
        assert row["corrected_low"] > 0.2 and row["others_low"] < 0.02
        assert row["null_passes"] is features[method, ALONE]["null_passes"] is (row["others_low"] > 0)
    assert sum(rows[method, ALONE]["null_passes"] for method in COUNTING) <= 1  # an interval of 95% in 40, by luck


@pytest.mark.parametrize("sources", [N, N - 3])
def test_it_is_undefined_where_nothing_else_of_weight_is_left(tmp_path: Path, sources: int):
    """All draws are the source, or all but three, which are too few."""
    pool = ["a", "b"] * 20
    draws = [
        Draws(t, ALONE, [pool[t]] * N, tokens=[t] * sources + list(range(30, 30 + N - sources)), sources=sources)
        for t in range(12)
    ]
    draws.append(Draws(0, None, ["a", "b"]))
    write_records(tmp_path, pool, pool[:12], draws, np.ones((40, 12)))
    for method in ("generator", "weighted"):
        row = scored(tmp_path)[method, ALONE]
        assert (row["corrected"], row["others"], row["others_targets"]) == (pytest.approx(1), None, 0)
        assert row["source_alone"] is row["null_passes"] is True


def test_weight_that_is_next_to_nothing_counts_as_none():
    weights, source = np.array([[0.995, *[0.001] * 5], [0.9, *[0.02] * 5]]), np.array([[True, *[False] * 5]] * 2)
    others, enough = without_source(weights, source)
    assert enough.tolist() == [False, True] and not others[:, 0].any()


def test_chance_among_others_lacks_the_source():
    """Of ten equally likely inputs three have the label, the source among them: two of the nine others."""
    chance = others_chance(np.array([0.3, 0.3, 1.0]), 1.0, np.array([0.1, 0.0, 1.0]))
    assert chance[:2] == pytest.approx([2 / 9, 0.3]) and np.isnan(chance[2])
    assert others_chance(np.array([0.5]), 0.4, np.array([0.1])) == pytest.approx([1 / 3])  # of decided inputs


def test_no_headline_rests_on_the_source_alone():
    rows = planted("name", [0.0, 0.0, 0.4, 0.3])
    alone = [row | {"source_alone": row["method"] == "reference" and row["corrected_low"] > 0} for row in rows]
    found = headline(alone, use("name", [2, 3]), exact=False)
    assert found["site"] is None and "only by the source itself" in found["sentence"]
    assert (found["considered"]["source_alone"], found["considered"]["above_chance"]) == (2, 0)
    one = [*alone[:3], alone[3] | {"source_alone": False}, *alone[4:]]
    assert headline(one, use("name", [2, 3]), exact=False)["site"] == "resid_post.3"
    # It appears at layer 2 if that counts, and does not say where it begins otherwise.
    assert headline(rows, use("name", [2, 3]), exact=False)["depth"]["first"] == "resid_post.2"
    assert score("reference", "name", 0, 0.5)["source_alone"] is False


def test_an_explanation_claims_nothing_of_what_only_the_source_shares(monkeypatch: pytest.MonkeyPatch):
    """The source has 0.4 of the weight, and none of thirty others its label; or ten of them do. The hash, which would
    be above chance as well, is taken out.
    """
    monkeypatch.setattr(NullScore, "passes", lambda self, chance=None: False)
    effects = Estimate(0.5, 0.4, 0.6), Estimate(0.5, 0.4, 0.6)
    for alike, alone in ((0, True), (10, False)):
        labels = ["a"] * alike + ["b"] * (30 - alike)
        others = drawn(labels, [0.02] * 30)
        source = replace(others.samples[0], text="a", tokens=(99,), weight=0.4)
        inversion = replace(others, samples=(source, *others.samples))
        fact = Fact(hypothesis([*labels, *["b"] * 69, "a"], chance=0.05))
        found = scored_finding(fact, inversion, *effects)
        assert found.corrected.low > 0 and found.source_alone is alone
        assert found.others.value == pytest.approx((alike / 30 - 0.05) / 0.95)
        assert found.use == ("cannot tell" if alone else "encoded and used")
    assert not _judged(replace(found, source_alone=True), 0.0).above_chance and _judged(found, 0.0).above_chance


def test_the_share_without_the_source():
    inversion = drawn(["a", "a", "b", "b"], [0.7, 0.1, 0.1, 0.1])
    samples = [replace(sample, labels={"f": sample.text}) for sample in inversion.samples]
    source = replace(samples[0], tokens=(99,))
    found = replace(inversion, samples=(source, *samples[1:]), labels={"f": "a"})
    assert found.shared("f") == pytest.approx(0.8)
    assert found.shared("f", others=True) == pytest.approx(1 / 3)
    alone = replace(found, samples=(source, *(replace(sample, weight=0.001) for sample in samples[1:])))
    assert alone.shared("f", others=True) is None and alone.shared("f") is not None


def test_a_source_is_not_among_its_neighbours_where_others_are_as_near():
    """Of a site that tells no input from another, the nearest of a whole prior are the first of it."""
    inputs, own = 12, np.arange(12)[None] == np.array([[0], [5], [11]])
    pool = SitePool.of(np.zeros((inputs, 3)), np.full(inputs, 1 / inputs), True, [1.0], Kernel.GAUSSIAN)
    codes = np.arange(inputs)
    feature = Feature("itself", [str(i) for i in codes], codes[[0, 5, 11]], codes, pool.probability, codes[:0])
    (nearest,) = (
        each for each in from_pool(Site.parse("resid_post.1"), pool, [feature], own) if each.method == "nearest"
    )
    assert nearest.score(feature).consistency.tolist() == [0, 0, 0] and nearest.samples == 3 * NEIGHBOURS
