"""The one score of a feature: against a loop in plain Python, and the same number for every caller."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, log, log2, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from inversescope import files, records
from inversescope.arena.cost import Cost
from inversescope.arena.method import counted
from inversescope.arena.record import read, rows
from inversescope.collect.posterior import Typical
from inversescope.features.candidates import Candidate
from inversescope.inverter import Inversion, InvertedSample
from inversescope.propose import scoring
from inversescope.propose.split import HeldOut
from inversescope.score.candidate_labels import Drawn, Labelled
from inversescope.score.compare import consistency as of_run
from inversescope.score.feature import PriorLabels, consistency, has_enough, score_feature
from inversescope.score.labelled_feature import Feature
from inversescope.score.methods_and_controls import WeightedInputs
from inversescope.score.mine import _confirm, _discovered
from inversescope.score.one_activation import score_activation
from inversescope.sites import Site
from inversescope.verdicts import Outside

SITE, VALUES = Site("resid_post", 0), ("a", "b", "c")
Codes = list[list[int]]


def by_loop(
    codes: Codes, weights: list[list[float]], targets: list[int], pool: list[int]
) -> tuple[list[float], list[float], list[float], int]:
    """Consistency, chance and drop in entropy of each target, and the number of collapsed ones, input by input."""

    def worth(found: Sequence[float]) -> float:
        return sum(found) ** 2 / sum(w * w for w in found) if any(found) else 0.0

    def entropy(shares: Sequence[float], n: float) -> float:
        seen = sum(min(1, share * n) for share in shares)
        return -sum(p * log2(p) for p in shares if p) + max(seen - 1, 0) / (2 * n) / log(2)

    decided_pool = [code for code in pool if code >= 0]
    prior = [decided_pool.count(value) / len(decided_pool) for value in range(len(VALUES))]
    most, collapsed = entropy(prior, len(decided_pool)), 0
    found: list[tuple[float, float, float]] = []
    for labels, weight, own in zip(codes, weights, targets, strict=True):
        decided = [w for w, code in zip(weight, labels, strict=True) if code >= 0]
        if worth(weight) < min(4, len(weight)):
            collapsed += 1
            found.append((nan, nan, nan))
        elif own < 0 or not sum(decided):
            found.append((nan, nan, nan))
        else:
            shares = [
                sum(w for w, code in zip(weight, labels, strict=True) if code == value) / sum(decided)
                for value in range(len(VALUES))
            ]
            size = worth(decided)
            found.append((shares[own], prior[own], most - entropy(shares, size) if size >= 4 else nan))
    one, two, three = (list(each) for each in zip(*found, strict=True))
    return one, two, three, collapsed


def mean(values: Sequence[float]) -> float:
    known = [value for value in values if not isnan(value)]
    return sum(known) / len(known) if known else nan


@given(st.data(), st.integers(1, 5), st.integers(1, 9))
def test_the_score_is_what_a_loop_over_inputs_gives(data: st.DataObject, targets: int, n: int):
    """Undecided inputs and targets, weights of zero, targets without any weight."""

    def table(elements: st.SearchStrategy) -> list[list]:
        return data.draw(st.lists(st.lists(elements, min_size=n, max_size=n), min_size=targets, max_size=targets))

    codes, weights = table(st.integers(-1, 2)), table(st.sampled_from([0.0, 0.25, 1.0, 1.5]))
    own = data.draw(st.lists(st.integers(-1, 2), min_size=targets, max_size=targets))
    pool = [*data.draw(st.lists(st.integers(-1, 2), max_size=8)), 0]
    prior = PriorLabels.of(np.array(pool), np.full(len(pool), 1 / len(pool)), len(VALUES))
    found = score_feature(np.array(codes), np.array(weights), np.array(own), prior)
    rates, chance, drop, collapsed = by_loop(codes, weights, own, pool)
    assert found.consistency == pytest.approx(np.array(rates), nan_ok=True)
    assert found.chance == pytest.approx(np.array(chance), nan_ok=True)
    assert (found.collapsed, found.targets) == (collapsed, sum(not isnan(rate) for rate in rates))
    assert (found.fcr.value, found.mean_chance) == pytest.approx((mean(rates), mean(chance)), nan_ok=True)
    assert found.bits.value == pytest.approx(mean(drop), nan_ok=True)
    room = 1 - mean(chance)
    if room > 1e-9:
        assert found.corrected.value == pytest.approx(1 - (1 - mean(rates)) / room)
    else:
        assert isnan(found.corrected.value)
    alone = consistency(np.array(codes), np.array(weights), np.array(own), has_enough(np.array(weights)))
    assert alone == pytest.approx(found.consistency, nan_ok=True)


def test_one_label_throughout_is_certain_and_has_no_corrected_score():
    prior = PriorLabels.of(np.zeros(9, int), np.full(9, 1 / 9), 1)
    found = score_feature(np.zeros((3, 8), int), np.ones((3, 8)), np.zeros(3, int), prior)
    assert (found.fcr.value, found.mean_chance, found.bits.value) == (1, 1, 0)
    assert np.isnan(found.corrected).all()


def test_bits_stand_on_the_decided_inputs_alone():
    """Sixteen inputs of which three are decided: a consistency, and no entropy; of which eight are: that of eight."""
    prior = PriorLabels.of(np.array([0, 0, 1, 1]), np.full(4, 1 / 4), 2)
    few, enough = ([*[0] * decided, *[-1] * (16 - decided)] for decided in (3, 8))
    assert score_feature(np.array([few]), np.ones((1, 16)), np.array([0]), prior).fcr.value == 1
    assert isnan(score_feature(np.array([few]), np.ones((1, 16)), np.array([0]), prior).bits.value)
    enough[0] = 1
    found = score_feature(np.array([enough]), np.ones((1, 16)), np.array([0]), prior)
    left = -(7 / 8 * log2(7 / 8) + 1 / 8 * log2(1 / 8)) + 1 / 16 / log(2)  # Miller-Madow for eight, not sixteen
    assert found.bits.value == pytest.approx(1 + 1 / 8 / log(2) - left)


def test_a_target_that_is_known_to_count_has_bits_from_one_input():
    """At a fine resolution the posterior is one input, and its entropy is known: none."""
    prior, one = PriorLabels.of(np.array([0, 0, 1, 1]), np.full(4, 1 / 4), 2), np.eye(1, 16)
    codes = np.zeros((1, 16), int)
    assert isnan(score_feature(codes, one, np.array([0]), prior).fcr.value)
    found = score_feature(codes, one, np.array([0]), prior, np.array([True]))
    assert (found.fcr.value, found.bits.value, found.collapsed) == (1, pytest.approx(prior.entropy), 0)
    assert score_feature(codes, np.ones((1, 16)), np.array([0]), prior, np.array([False])).collapsed == 1


TARGETS, N = 12, 16


@pytest.fixture(scope="module")
def inputs() -> tuple[ndarray, ndarray, ndarray]:
    """Codes of the inputs of each target, the targets' own, and the pool's: some undecided, none too few to count."""
    rng = np.random.default_rng(3)
    return rng.integers(-1, 3, (TARGETS, N)), rng.integers(-1, 3, TARGETS), rng.integers(-1, 3, 40)


def label(code: int) -> str | None:
    return None if code < 0 else VALUES[code]


@pytest.fixture(scope="module")
def expected(inputs: tuple[ndarray, ndarray, ndarray]):
    codes, own, pool = inputs
    return score_feature(codes, np.ones(codes.shape), own, PriorLabels.of(pool, np.ones(len(pool)), len(VALUES)))


def test_the_score_step_and_the_arena_give_the_same(inputs: tuple[ndarray, ndarray, ndarray], expected):
    codes, own, pool = inputs
    feature = Feature("f", list(VALUES), own, pool, np.full(len(pool), 1 / len(pool)))
    weighted = WeightedInputs("generator", SITE, 0.1, {"f": codes}, np.ones(codes.shape))
    found = weighted.score(feature)
    assert np.array_equal(found.consistency, expected.consistency, equal_nan=True)
    for name in ("fcr", "corrected", "bits"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))
    (answer,) = counted(weighted, [feature], Cost())
    table = records.arena.ANSWERS.of(list(rows(feature, str(SITE), 0.1, answer.shares, answer.sizes)))
    (answered,) = read(table, TARGETS).values()
    assert not answered.silent[own >= 0].any()
    assert answered.share == pytest.approx(expected.consistency, nan_ok=True)
    assert answered.chance == pytest.approx(expected.chance, nan_ok=True)


def test_the_miner_gives_the_same(inputs: tuple[ndarray, ndarray, ndarray], expected):
    codes, own, pool = inputs
    everything = np.r_[codes.ravel(), own, pool]
    places = np.arange(len(everything))
    labelled = Labelled(
        [Candidate("f", "f")], [[]], everything[None], places[-len(pool) :], np.full(len(pool), 1 / len(pool)),
        places[codes.size : codes.size + TARGETS], 1,
    )  # fmt: skip
    drawn, chosen = (
        Drawn(
            places[: codes.size].reshape(codes.shape),
            np.ones(codes.shape),
            np.ones(TARGETS, dtype=bool),
            np.zeros(codes.shape, dtype=bool),
        ),
        np.ones(TARGETS, dtype=bool),
    )
    assert _discovered(labelled, drawn, chosen)[0] == pytest.approx(expected.corrected)
    row = _confirm(labelled, drawn, 0, chosen, 0, np.random.default_rng(0))
    assert (row["targets"], row["chance"]) == (expected.targets, pytest.approx(expected.mean_chance))
    assert [row[name] for name in ("corrected", "bits")] == pytest.approx(
        [expected.corrected.value, expected.bits.value]
    )


def test_the_score_of_a_proposal_is_the_same(inputs: tuple[ndarray, ndarray, ndarray], expected):
    codes = inputs[0]
    texts = {
        f"{kind} {i}": label(code)
        for kind, group in zip("sdp", inputs, strict=True)
        for i, code in enumerate(group.ravel())
    }
    sampled, sources, prior = ([text for text in texts if text[0] == kind] for kind in "sdp")
    samples = np.array(sampled).reshape(codes.shape).tolist()
    found = scoring.score(HeldOut(list(range(TARGETS)), sources, samples, prior), texts, 0)
    assert (found["targets"], found["undecided"]) == (expected.targets, (codes < 0).sum())
    assert found["chance"] == pytest.approx(expected.mean_chance)
    for name in ("fcr", "bits"):
        assert found[name] == pytest.approx(getattr(expected, name))
    assert found["corrected"].value == pytest.approx(expected.corrected.value)


def test_the_comparison_of_two_sides_of_a_run_gives_the_same(
    inputs: tuple[ndarray, ndarray, ndarray], expected, tmp_path: Path
):
    from score_fixture import Draws, write_records

    codes, own, pool = inputs
    draws = [Draws(target, 0.1, [label(code) for code in row]) for target, row in enumerate(codes)]
    write_records(
        tmp_path, [label(code) for code in pool], [label(code) for code in own], draws, np.ones((40, TARGETS))
    )
    files.finish(tmp_path / "verify", [tmp_path / "verify" / "samples.parquet"])
    for method in ("generator", "weighted"):  # all weights are alike
        found = of_run(tmp_path, method, str(SITE), "f", None, 0.1)
        assert found.rates == pytest.approx(expected.consistency, nan_ok=True)
        assert found.sizes == pytest.approx(np.full(TARGETS, N))


def test_one_inversion_has_the_share_of_its_target(inputs: tuple[ndarray, ndarray, ndarray], expected):
    codes, own, pool = inputs
    prior = PriorLabels.of(pool, np.ones(len(pool)), len(VALUES))
    for target in range(TARGETS):
        samples = tuple(InvertedSample("", (1,), 0.1, 1 / N, False, -1.0, {"f": label(code)}) for code in codes[target])
        labels, typical = {"f": label(own[target])}, Typical(None, 0.4, 1.4, True)
        inside = Outside(False, 0.2, 0.5, 0.4)
        inversion = Inversion(
            "", (0,), 0, str(SITE), 0.1, labels, samples, 0.0, float(N), None, -1.0, -1.0, "known", None, typical, 0.0,
            inside,
        )  # fmt: skip
        share = inversion.shared("f")
        assert (nan if share is None else share) == pytest.approx(expected.consistency[target], nan_ok=True)
        if own[target] >= 0:
            alone = score_activation(codes[target], np.full(N, 1 / N), int(own[target]), prior, True)
            assert alone.share.value == pytest.approx(expected.consistency[target])
