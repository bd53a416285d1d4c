"""Scores against counting by hand, and against truths that were planted."""

from __future__ import annotations

from math import log, log2
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from measured import reference
from safetensors.numpy import load_file
from score_fixture import NOISE_FLOOR, SITE, Draws, scored, write_records
from toy_world import write_store

from inversescope.stats.intervals import paired
from inversescope.stats.resampling import q_values
from inversescope.stats.weights import pareto_smoothed
from inversescope.tasks import Tokens
from inversescope.verdicts import FAR, MISSED

H = 0.1
POOL = ["a"] * 12 + ["b"] * 4
TARGETS = ["a", "a", "b", None]
DRAWS = [
    Draws(0, H, [*"aaaaaab", None], weights=[0.05, 0.05, 0.05, 0.05, 0.1, 0.1, 0.5, 0.1]),
    Draws(1, H, [*"aaaa----"]),
    Draws(2, H, [*"bbb-----"]),  # three are too few: collapsed
    Draws(3, H, [*"aaaaabbb"]),  # its own label is undecided: not used
    *(Draws(target, None, [*"aab-"]) for target in range(4)),
]


def distances() -> np.ndarray:
    """Near inputs of the pool: three a and one b for target 0, four a for target 1, two b for target 2, all for 3."""
    near = np.full((16, 4), 5.0)
    near[[0, 1, 2, 12], 0] = near[:4, 1] = near[[12, 13], 2] = near[:, 3] = 0
    near[[3, 4, 5, 13], 0] = 0.9  # the next nearest
    near[4:8, 1] = 0.9
    near[[0, 1, 2, 3, 4, 14], 2] = 0.9
    return near


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> dict:
    run = tmp_path_factory.mktemp("run")
    write_records(run, POOL, TARGETS, DRAWS, distances())
    return scored(run)


def test_the_generators_consistency_is_what_counting_gives(by_hand: dict):
    row = by_hand["generator", H]
    assert row["fcr"] == pytest.approx((6 / 7 + 1) / 2)
    assert row["chance"] == pytest.approx(0.75)
    assert row["corrected"] == pytest.approx(((6 / 7 + 1) / 2 - 0.75) / 0.25)
    assert (row["targets"], row["collapsed"], row["unverified"]) == (2, 1, 9)
    assert (row["samples"], row["undecided"]) == (8 + 4 + 3 + 8, 1)
    assert row["ess"] == 6  # the median of 8, 4, 3 and 8
    assert (row["site"], row["point"], row["layer"], row["head"], row["feature"]) == (
        str(SITE),
        "resid_post",
        0,
        None,
        "f",
    )


def test_the_reference_is_the_share_among_near_inputs(by_hand: dict):
    row = by_hand["reference", H]
    assert row["fcr"] == pytest.approx((3 / 4 + 4 / 4) / 2)
    assert (row["targets"], row["collapsed"], row["unverified"], row["ess"]) == (2, 1, 0, 4)
    assert row["gap"] is None


def test_the_gap_is_generator_minus_reference_over_the_same_targets(by_hand: dict):
    row = by_hand["generator", H]
    each = [6 / 7 - 3 / 4, 1 - 1]
    assert row["gap"] == pytest.approx(sum(each) / 2)
    expected = paired(np.array([6 / 7, 1]), np.array([3 / 4, 1]))
    assert (row["gap_low"], row["gap_high"]) == pytest.approx(expected[1:])


def test_weighted_draws_count_by_their_weights(by_hand: dict):
    row = by_hand["weighted", H]
    # Target 0: decided weight 0.9, of which a has 0.4; its effective sample size is 1 / 0.29 < 4: collapsed.
    assert row["fcr"] == pytest.approx(1)
    assert (row["targets"], row["collapsed"]) == (1, 2)
    assert row["fcr_low"] is None  # one target has no interval


def test_the_controls_are_what_counting_gives(by_hand: dict):
    # Shuffled: target 0 meets the draws of 2, which have collapsed, 1 those of 0, 2 those of 3 and 3 those of 1.
    shuffled = by_hand["shuffled", H]
    assert shuffled["fcr"] == pytest.approx((6 / 7 + 3 / 8) / 2)
    assert (shuffled["targets"], shuffled["collapsed"]) == (2, 1)
    assert shuffled["chance"] == pytest.approx((0.75 + 0.25) / 2)
    # No condition: eight a and four b, the same for each of the three decided targets.
    free = by_hand["no condition", None]
    assert free["fcr"] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)
    assert (free["samples"], free["unverified"]) == (4 * 12, 4 * 4)  # each draw answers for each target
    # Nearest: of the eight nearest, six a, eight a, and three b.
    nearest = by_hand["nearest", None]
    assert nearest["fcr"] == pytest.approx((6 / 8 + 8 / 8 + 3 / 8) / 3)
    assert nearest["corrected"] == pytest.approx((0 + 2 / 8 + 1 / 8) / (1 / 4 + 1 / 4 + 3 / 4))


def test_shuffled_draws_are_not_those_of_the_next_target_which_begins_alike(tmp_path: Path):
    """Targets stand sorted by their tokens, so a label of the beginning is the next one's, too."""
    targets = [*"a" * 30, *"b" * 30]
    draws = [Draws(target, h, [label] * 4) for target, label in enumerate(targets) for h in (H, None)]
    write_records(tmp_path, ["a"] * 8 + ["b"] * 8, targets, draws, np.full((16, 60), 5.0))
    shuffled = scored(tmp_path)["shuffled", H]
    assert shuffled["targets"] == 60 and shuffled["fcr"] == pytest.approx(0.5, abs=0.2)


def test_bits_are_the_drop_in_entropy(by_hand: dict):
    def entropy(*shares: float, n: float) -> float:
        return -sum(p * log2(p) for p in shares) + (len(shares) - 1) / (2 * n * log(2))

    row = by_hand["reference", H]
    prior = entropy(3 / 4, 1 / 4, n=16)
    assert row["bits"] == pytest.approx(prior - (entropy(3 / 4, 1 / 4, n=4) + 0) / 2)


def test_the_tables_hold_what_the_json_holds(by_hand: dict, tmp_path: Path):
    write_records(tmp_path, POOL, TARGETS, DRAWS, distances())
    rows = scored(tmp_path)
    assert rows == by_hand
    table = pq.read_table(tmp_path / "score" / "results.parquet").to_pylist()
    assert [row for row in table if row["feature"] == "f"] == list(rows.values())
    diagnostics = pq.read_table(tmp_path / "score" / "diagnostics.parquet").to_pylist()[0]
    assert (diagnostics["draws"], diagnostics["unverified"], diagnostics["acceptance"]) == (32, 9, 23 / 32)
    assert (diagnostics["distinct"], diagnostics["novel"], diagnostics["median_distance"]) == (23, 1, 0.05)
    histogram = pq.read_table(tmp_path / "score" / "distances.parquet")
    shares = histogram.group_by(["method", "bandwidth"]).aggregate([("share", "sum")]).to_pylist()
    assert [row["share_sum"] for row in shares] == pytest.approx([1, 1])


def test_the_source_is_counted_apart_and_targets_stand_with_their_reasons(tmp_path: Path):
    draws = [
        Draws(0, H, ["a"] * 8, [0.5, *[0.5 / 7] * 7], sources=2, left_out=None),
        Draws(1, H, ["a"] * 8, left_out=MISSED, distance=0.5),
        Draws(2, H, ["b"] * 8, sources=8, left_out=None),
        Draws(3, H, ["b"] * 8, left_out=FAR),
    ]
    write_records(tmp_path, POOL, TARGETS, [*draws, *(Draws(t, None, ["a"]) for t in range(4))], distances())
    rows = scored(tmp_path)
    targets = pq.read_table(tmp_path / "score" / "targets.parquet").to_pylist()
    assert [row["source_draws"] for row in targets] == [0.25, 0, 1, 0]
    assert [row["source_weight"] for row in targets] == pytest.approx([0.5 + 0.5 / 7, 0, 1, 0])
    assert [row["others_acceptance"] for row in targets] == [1, 0, None, 1]
    assert [row["left_out"] for row in targets] == [None, MISSED, None, FAR]
    (row,) = pq.read_table(tmp_path / "score" / "diagnostics.parquet").to_pylist()
    assert (row["source_draws"], row["others_acceptance"]) == (10 / 32, 14 / 22)
    assert row["source_weight"] == pytest.approx((0.5 + 0.5 / 7 + 1) / 2)  # over the targets that count
    assert [row[f"collapsed{kind}"] for kind in ("", "_missed", "_few", "_far")] == [2, 1, 0, 1]
    assert (rows["weighted", H]["targets"], rows["weighted", H]["collapsed"]) == (2, 2)
    assert rows["generator", H]["collapsed"] == 0  # draws as they come have no weights


def test_the_tails_of_the_weights_are_told_where_they_are_defined(tmp_path: Path):
    rng = np.random.default_rng(0)
    light, heavy = rng.uniform(1, 2, 100), 1 / rng.uniform(0, 1, 100)
    draws = [
        Draws(target, H, ["a"] * 100, list(weights / weights.sum()))
        for target, weights in enumerate([light, heavy, heavy**2, np.ones(100)])
    ]
    free = [Draws(target, None, ["a"]) for target in range(4)]
    alike = [Draws(target, 2 * H, ["a"] * 100) for target in range(4)]
    write_records(tmp_path, POOL, TARGETS, [*draws, *alike, *free], distances())
    scored(tmp_path)
    rows = pq.read_table(tmp_path / "score" / "diagnostics.parquet").to_pylist()
    shapes = [pareto_smoothed(weights)[1] for weights in (light, heavy, heavy**2)]
    assert shapes[0] < 0.5 < shapes[1] < shapes[2]
    assert rows[0]["pareto_k"] == pytest.approx(shapes[1])
    assert rows[0]["unreliable"] == 2
    assert (rows[1]["pareto_k"], rows[1]["unreliable"]) == (None, None)  # all weights are alike


def test_a_bandwidth_below_the_noise_floor_is_marked(tmp_path: Path):
    fine, coarse = NOISE_FLOOR / 2, 2 * NOISE_FLOOR
    draws = [Draws(target, h, ["a"] * 8) for h in (fine, coarse, None) for target in range(4)]
    write_records(tmp_path, POOL, TARGETS, draws, distances())
    rows = scored(tmp_path)
    below = {(method, h): row["below_noise"] for (method, h), row in rows.items()}
    assert below["weighted", fine] is below["reference", fine] is True
    assert below["weighted", coarse] is False and below["nearest", None] is None
    diagnostics = pq.read_table(tmp_path / "score" / "diagnostics.parquet").to_pylist()
    assert [row["below_noise"] for row in diagnostics] == [True, False]
    assert {row["noise_floor"] for row in diagnostics} == {NOISE_FLOOR}


NUMBERS = [f"{name}{end}" for name in ("fcr", "corrected", "bits") for end in ("", "_low", "_high")]


def test_what_is_undecided_throughout_is_undefined(tmp_path: Path):
    nothing = [Draws(target, h, [None] * 8) for h in (H, None) for target in range(4)]
    write_records(tmp_path, POOL, ["a", "a", "b", "b"], nothing, distances())
    rows = scored(tmp_path)
    for source, h in (("generator", H), ("weighted", H), ("shuffled", H), ("no condition", None)):
        row = rows[source, h]
        assert {row[name] for name in NUMBERS} == {None}
        assert (row["targets"], row["chance"], row["gap"]) == (0, None, None)
        assert row["undecided"] == row["samples"] > 0
    assert rows["reference", H]["fcr"] is not None


def test_targets_that_are_undecided_leave_every_source_undefined(tmp_path: Path):
    write_records(tmp_path, POOL, [None] * 4, DRAWS, distances())
    for row in scored(tmp_path).values():
        assert row["targets"] == 0
        assert {row[name] for name in [*NUMBERS, "chance", "gap"]} == {None}


def test_draws_that_never_ended_are_counted_and_undefined(tmp_path: Path):
    lost = [Draws(target, h, ["-"] * 8) for h in (H, None) for target in range(4)]
    write_records(tmp_path, POOL, TARGETS, lost, distances())
    row = scored(tmp_path)["generator", H]
    assert (row["fcr"], row["targets"], row["collapsed"], row["unverified"], row["samples"]) == (None, 0, 4, 32, 0)


def test_a_feature_with_one_value_has_no_corrected_score(tmp_path: Path):
    draws = [Draws(target, h, ["a"] * 8) for h in (H, None) for target in range(4)]
    write_records(tmp_path, ["a"] * 16, ["a"] * 4, draws, distances())
    for row in scored(tmp_path).values():
        assert (row["corrected"], row["corrected_low"], row["corrected_high"]) == (None, None, None)
        assert row["chance"] == 1
    row = scored(tmp_path)["generator", H]
    assert (row["fcr"], row["bits"], row["gap"]) == (1, 0, 0)


VALUES = 6  # of the feature in the simulation; the activation is the value, seen with some noise


def simulated(run: Path, *, exact: bool) -> dict:
    """A one-dimensional site that nearly tells a feature, and draws from its posterior or from the prior."""
    rng, h, n, m = np.random.default_rng(0), 0.3, 64, 100
    prior = np.array([0.3, 0.25, 0.2, 0.1, 0.1, 0.05])
    pool, targets = (rng.choice(VALUES, size, p=prior) for size in (3000, m))
    z_pool, z_targets = (values + 0.3 * rng.normal(size=len(values)) for values in (pool, targets))
    far = np.abs(z_pool[:, None] - z_targets)
    draws = []
    for target in range(m):
        weights = np.exp(-((far[:, target] / h) ** 2) / 2) if exact else np.ones(3000)
        drawn = pool[rng.choice(3000, n, p=weights / weights.sum())]
        draws.append(Draws(target, h, [str(value) for value in drawn]))
    free = [Draws(target, None, [str(v) for v in rng.choice(VALUES, n, p=prior)]) for target in range(m)]
    write_records(run, [str(v) for v in pool], [str(v) for v in targets], draws + free, far)
    return scored(run)


def test_draws_from_the_posterior_have_no_gap_and_shuffled_ones_fall_to_chance(tmp_path: Path):
    rows = simulated(tmp_path, exact=True)
    row, shuffled, free = rows["generator", 0.3], rows["shuffled", 0.3], rows["no condition", None]
    assert row["corrected"] > 0.5
    assert abs(row["gap"]) < 0.02
    assert row["gap_low"] < 0 < row["gap_high"]
    assert row["bits"] == pytest.approx(rows["reference", 0.3]["bits"], abs=0.05)
    assert abs(shuffled["corrected"]) < 0.15  # 100 targets: its standard error is about 0.05
    assert free["fcr"] == pytest.approx(free["chance"], abs=0.02)
    assert free["bits"] == pytest.approx(0, abs=0.02)


def test_draws_from_the_prior_show_the_whole_gap(tmp_path: Path):
    rows = simulated(tmp_path, exact=False)
    row = rows["generator", 0.3]
    assert row["corrected_low"] < 0.03
    assert row["gap"] == pytest.approx(row["chance"] - rows["reference", 0.3]["fcr"], abs=0.03)
    assert row["gap_high"] < -0.2


def test_each_source_is_tested_against_shuffled_targets_over_all_its_rows(tmp_path: Path):
    rows = simulated(tmp_path, exact=True)
    tested = {place: row for place, row in rows.items() if place[0] in ("generator", "weighted", "reference")}
    assert all(row["p_value"] < 0.001 for row in tested.values())
    assert all(row["p_value"] is row["q_value"] is None for place, row in rows.items() if place not in tested)
    for source in ("generator", "weighted", "reference"):
        own = [row for place, row in rows.items() if place[0] == source]
        assert [row["q_value"] for row in own] == pytest.approx(q_values(np.array([row["p_value"] for row in own])))


def test_draws_that_know_nothing_are_not_told_from_shuffled_ones(tmp_path: Path):
    assert simulated(tmp_path, exact=False)["generator", 0.3]["p_value"] > 0.01


def test_three_samples_give_a_rate_but_no_bits(tmp_path: Path):
    few = [Draws(target, h, ["a", "a", "b"]) for h in (H, None) for target in range(4)]
    write_records(tmp_path, POOL, ["a", "a", "b", "b"], few, distances())
    row = scored(tmp_path)["generator", H]
    assert row["fcr"] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 / 3) / 4)
    assert (row["bits"], row["bits_low"], row["bits_high"]) == (None, None, None)


def test_a_feature_in_the_activations_is_found_and_one_that_is_not_is_at_chance(tmp_path: Path):
    """Inputs (A, B, serial number): the site holds A as one-hot, some numbers of its own, and nothing of B."""
    rng = np.random.default_rng(1)
    inputs: list[Tokens] = [(int(a), int(b), i) for i, (a, b) in enumerate(rng.integers((4, 2), size=(440, 2)))]
    noise = rng.normal(0, 0.02, (440, 2))

    def read(tokens: Tokens) -> dict:
        return {SITE: [*(np.arange(4) == tokens[0]).astype(float).tolist(), *noise[tokens[2]].tolist()]}

    splits = {"train": inputs[:1], "pool": inputs[:400], "target": inputs[400:]}
    store = write_store(tmp_path / "collect", splits, read, lambda x: {"A": str(x[0]), "B": str(x[1])})
    folder = tmp_path / "distances"
    folder.mkdir()
    reference(folder, store, [SITE])
    far = load_file(folder / "distances.safetensors")[str(SITE)]
    for which, feature in enumerate("AB"):
        pool, targets = ([str(x[which]) for x in splits[split]] for split in ("pool", "target"))
        run = tmp_path / feature
        write_records(run, pool, targets, [Draws(t, 0.3, ["0"] * 8) for t in range(40)], far)
        row = scored(run)["reference", 0.3]
        assert row["ess"] > 20
        if feature == "A":
            assert row["fcr"] == pytest.approx(1, abs=1e-3)
            assert row["bits"] == pytest.approx(2, abs=0.05)
        else:
            assert row["fcr_low"] < row["chance"] < row["fcr_high"]
            assert row["corrected_low"] < 0 < row["corrected_high"]
