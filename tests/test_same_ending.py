"""The control `same ending`: counted by hand, and on planted worlds: the last token, and what stands before the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from score_fixture import Draws, scored, write_records

from inversescope.score.labelled_feature import Feature
from inversescope.score.same_ending import SameEnding
from inversescope.sites import Site
from inversescope.verdicts.headline import headline

SITE, H = Site("resid_post", 0), 0.1


def endings(sources: list, inputs: list, probability: list[float] | None = None) -> SameEnding:
    own = np.array([[tuple(x) == tuple(source) for x in inputs] for source in sources])
    shares = np.array(probability or [1 / len(inputs)] * len(inputs))
    return SameEnding.of([tuple(x) for x in sources], [tuple(x) for x in inputs], shares, own)


def test_endings_and_lengths_are_what_counting_gives():
    inputs = [(7, 1, 2, 3), (7, 9, 2, 3), (8, 2, 3), (2, 3), (3,), (1, 2, 4), (7, 1, 2, 3, 3)]
    found = endings([(7, 1, 2, 3)], inputs)
    assert found.shared.tolist() == [[4, 2, 2, 2, 1, 0, 1]]
    # Of the six others, 5 share the last token, 3 the last two, none the last three.
    expected = {0.0: 0, 0.2: 1, 0.3: 2, 1.0: 2, 1.5: 3, 10.0: 3}
    assert {bits: int(found.lengths(2**-bits)[0]) for bits in expected} == expected


def test_the_share_of_the_prior_decides_and_not_the_number_of_inputs():
    inputs, shares = [(1, 5), (2, 5), (3, 6)], [0.2, 0.1, 0.7]
    assert endings([(1, 5)], inputs, shares).lengths(1 / 4).tolist() == [1]  # 0.1 of 0.8
    assert endings([(1, 5)], inputs, shares).lengths(1 / 16).tolist() == [2]


def test_a_target_whose_ending_few_others_have_is_left_out():
    inputs = [(i, 5) for i in range(20)] + [(i, 6) for i in range(3)]
    found = endings([(0, 5), (0, 6)], inputs)
    codes = np.zeros(len(inputs), dtype=int)
    feature = Feature("f", ["a"], np.array([0, 0]), codes, found.probability)
    item = found.inputs(SITE, H, 0.1, [feature])
    assert item.counting.tolist() == [True, False]  # 19 others share the 5, 2 the 6
    assert item.ending == 1
    assert item.weights[0].sum() == pytest.approx(20 / 23)  # the source is among them, as in the reference
    alone = found.inputs(SITE, H, 20.0, [feature])
    assert not alone.counting.any() and alone.ending is None


def planted(run: Path, column: int, informative: bool = True) -> dict:
    """Inputs of three tokens of four values each, all 64; the site holds the token of a column, or none. The feature is
    that token.
    """
    tokens = [[a, b, c] for a in range(4) for b in range(4) for c in range(4)] * 4
    rng = np.random.default_rng(0)
    targets = [tokens[row] for row in rng.integers(0, len(tokens), 24)]
    label = [chr(97 + row[column]) for row in tokens]
    own = [chr(97 + row[column]) for row in targets]
    distances = np.array([[0.01 if a == b else 1.4 for b in own] for a in label])
    distances = distances if informative else np.full(distances.shape, 0.05)
    draws = [Draws(t, h, [own[t] if informative else "b"] * 4) for h in (H, None) for t in range(24)]
    write_records(run, label, own, draws, distances, bits=2.0, tokens={"pool": tokens, "target": targets})
    return scored(run)


def test_a_feature_that_is_the_last_token_is_at_the_level_of_the_control(tmp_path: Path):
    rows = planted(tmp_path, column=2)
    assert rows["reference", H]["corrected"] == pytest.approx(1)
    assert rows["same ending", H]["corrected"] == pytest.approx(1)
    assert rows["same ending", H]["ending"] == 1 and rows["reference", H]["ending"] is None
    assert outcome(rows) == "failed"


def test_a_feature_that_the_site_holds_beyond_the_ending_is_above_the_control(tmp_path: Path):
    rows = planted(tmp_path, column=0)
    assert rows["reference", H]["corrected"] == pytest.approx(1)
    assert abs(rows["same ending", H]["corrected"]) < 0.1
    assert outcome(rows) == "passed"


def test_without_known_bits_there_is_no_control(tmp_path: Path):
    draws = [Draws(t, h, ["a"] * 4) for h in (H, None) for t in range(2)]
    write_records(tmp_path, ["a"] * 12 + ["b"] * 4, ["a", "b"], draws, np.full((16, 2), 1.4))
    assert ("same ending", H) not in scored(tmp_path)


def outcome(rows: dict) -> str:
    """The outcome of the control in a headline of these rows, the reference taken as the truth."""
    listed = [dict(row) | {"verdict": None, "null_passes": False, "source_alone": False} for row in rows.values()]
    for row in listed:
        row["q_value"] = 0.001 if row["method"] == "reference" else row["q_value"]
    found = headline(listed, [], exact=True)
    return next(each["outcome"] for each in found["controls"] if each["control"] == "same ending")
