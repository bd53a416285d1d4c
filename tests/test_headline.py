"""The rule of the headline on planted records: what passes its own controls, is used, and appears over depth, wins."""

from __future__ import annotations

import pytest

from inversescope.verdicts import NULL_FEATURE
from inversescope.verdicts.headline import CONTROLS, Control, headline

H = 0.3
LAYERS = range(4)


def score(method: str, feature: str, layer: int, value: float, h: float | None = H, **others: object) -> dict:
    """A row of `score/results.parquet` with an interval of ± 0.05, trusted, and sure."""
    ends = {"": value, "_low": value - 0.05, "_high": value + 0.05}
    estimates = {f"{name}{end}": x for name in ("corrected", "fcr", "bits") for end, x in ends.items()}
    site = {"site": f"resid_post.{layer}", "point": "resid_post", "layer": layer, "head": None}
    row = {
        "method": method,
        "feature": feature,
        "resolution": None,
        "bandwidth": h,
        "targets": 20,
        "chance": 0.1,
        "ess": 60.0,
    }
    return {
        **row,
        **site,
        **estimates,
        "q_value": 0.001,
        "verdict": None,
        "null_passes": False,
        "source_alone": False,
        **others,
    }


def planted(feature: str, values: list[float], wrong: float = 0.0, none: float = 0.0) -> list[dict]:
    """References over the layers with both controls."""
    rows = [score("reference", feature, layer, value) for layer, value in enumerate(values)]
    rows += [score("wrong site", feature, layer, wrong) for layer in LAYERS]
    return rows + [score("no condition", feature, layer, none, None) for layer in LAYERS]


def use(feature: str, layers: list[int], verdict: str = "encoded and used", h: float = H) -> list[dict]:
    ends = {"necessity": 0.8, "necessity_low": 0.7, "necessity_high": 0.9}
    row = {
        "feature": feature,
        "score_resolution": None,
        "score_bandwidth": H,
        "donor_resolution": None,
        "donor_bandwidth": h,
        "verdict": verdict,
        "reason": "necessity 0.80 [0.70, 0.90]",
        **ends,
    }
    return [row | {"site": f"resid_post.{layer}"} for layer in layers]


APPEARING = planted("name", [0.0, 0.0, 0.4, 0.3])
EVERYWHERE = planted("word", [0.9, 0.9, 0.9, 0.9])


def test_a_feature_that_appears_comes_before_one_that_is_everywhere():
    found = headline(APPEARING + EVERYWHERE, use("name", [2, 3]) + use("word", [0, 1, 2, 3]), exact=False)
    assert (found["feature"], found["site"], found["depth"]["kind"]) == ("name", "resid_post.2", "appears")
    alone = headline(EVERYWHERE, use("word", [0, 1, 2, 3]), exact=False)
    assert (alone["feature"], alone["depth"]["kind"]) == ("word", "everywhere")


@pytest.mark.parametrize(
    ("values", "kind", "ends"),
    [
        ([0.0, 0.4, 0.4, 0.4], "appears", (1, 3)),
        ([0.0, 0.4, 0.4, 0.0], "appears and disappears", (1, 2)),
        ([0.4, 0.4, 0.0, 0.0], "disappears", (0, 1)),
        ([0.4, 0.4, 0.4, 0.4], "everywhere", (0, 3)),
        (
            [0.1, 0.4, 0.4, 0.4],
            "everywhere",
            (1, 3),
        ),  # ± 0.05: the first is not below the limit
        ([0.0, 0.4, 0.4, 0.1], "appears and disappears", (1, 2)),
    ],
)
def test_the_change_over_depth(values: list[float], kind: str, ends: tuple[int, int]):
    depth = headline(planted("name", values), [], exact=False)["depth"]
    assert (depth["kind"], depth["sites"]) == (kind, 4)
    assert (depth["first"], depth["last"]) == tuple(f"resid_post.{layer}" for layer in ends)


def test_depth_is_followed_at_equal_resolution():
    """Each site has bandwidths of its own; at one resolution the feature appears, at the other it is everywhere."""

    def at(resolution: float, values: list[float]) -> list[dict]:
        rows = planted("name", values)
        return [
            row | {"resolution": resolution, "bandwidth": 0.1 + row["layer"] / 100 + 1 / resolution} for row in rows
        ]

    found = headline(at(64, [0.9, 0.9, 0.9, 0.9]) + at(8, [0.0, 0.0, 0.4, 0.3]), [], exact=False)
    assert (found["site"], found["resolution"], found["depth"]["kind"]) == ("resid_post.2", 8, "appears")
    assert found["depth"]["sites"] == 4
    assert [level["resolution"] for level in found["levels"]["above_chance"]] == [64, 8]


def test_what_stays_comes_before_what_disappears_again():
    passing = planted("order", [0.0, 0.8, 0.8, 0.0])
    found = headline(APPEARING + passing, use("name", [2, 3]) + use("order", [1, 2]), exact=False)
    assert found["feature"] == "name"


def test_the_site_is_the_first_at_which_it_is_used():
    found = headline(APPEARING, use("name", [2], "cannot tell") + use("name", [3]), exact=False)
    assert (found["site"], found["depth"]["first"]) == ("resid_post.3", "resid_post.2")


def test_nothing_is_claimed_where_a_hash_of_the_input_is_above_chance():
    """Marked at the smaller bandwidth, the finding is the one at the larger; marked at both, there is none."""
    fine = [row | {"bandwidth": 0.1, "null_passes": True} for row in planted("name", [0.9, 0.9, 0.9, 0.9])]
    hash_row = score("reference", NULL_FEATURE, 2, 0.9, null_passes=True)
    found = headline([*APPEARING, *fine, hash_row], use("name", [2, 3]), exact=False)
    assert (found["bandwidth"], found["finest"]["bandwidth"], found["depth"]["kind"]) == (H, H, "appears")
    assert found["considered"]["null_passes"] == 4 and found["levels"]["above_chance"] == [
        {"resolution": None, "bandwidth": H}
    ]
    none = headline([*fine, hash_row], use("name", [2, 3]), exact=False)
    assert none["site"] is None and "hash" in none["sentence"]
    unmarked = headline([row | {"null_passes": False} for row in fine], [], exact=False)
    assert unmarked["feature"] == "name"


def test_a_used_feature_comes_before_an_unused_one():
    surer = planted("word", [0.0, 0.0, 0.9, 0.9])
    found = headline(APPEARING + surer, use("name", [2]) + use("word", [2, 3], "encoded, unused"), exact=False)
    assert (found["feature"], found["used"]["verdict"]) == ("name", "encoded and used")
    untested = headline(APPEARING + surer, use("word", [2, 3], "encoded, unused"), exact=False)
    assert (untested["feature"], untested["used"]) == ("name", None)


def test_a_feature_unused_with_donors_of_another_bandwidth_does_not_count_as_untested():
    rows, uses = APPEARING + planted("word", [0.0, 0.0, 0.9, 0.9]), use("word", [2, 3], "encoded, unused", h=1.0)
    assert headline(rows, uses, exact=False)["feature"] == "name"


def test_the_score_at_the_smallest_bandwidth_that_counts_stands_beside_it():
    fine = [score("reference", "name", 2, 0.9, 0.1), score("reference", "name", 2, 0.95, 0.05, ess=29.0)]
    found = headline(APPEARING + fine, use("name", [2, 3]), exact=False)
    assert (found["site"], found["bandwidth"], found["score"]["corrected"]) == ("resid_post.2", H, 0.4)
    assert (found["finest"]["bandwidth"], found["finest"]["corrected"]) == (0.1, 0.9)  # at 0.05 no reference is trusted
    assert all(f"h\xa0=\xa0{h}" in found["numbers"] for h in (0.1, H))


def test_what_fails_the_wrong_site_is_shared_and_comes_last():
    shared = planted("word", [0.0, 0.0, 0.9, 0.9], wrong=0.88)
    alone = headline(shared, use("word", [2, 3]), exact=False)
    assert "shared with other sites" in alone["sentence"]
    assert {each["control"]: each["outcome"] for each in alone["controls"]}["wrong site"] == "failed"
    found = headline(shared + APPEARING, use("word", [2, 3]), exact=False)
    assert found["feature"] == "name" and "shared" not in found["sentence"]


def test_without_a_wrong_site_the_control_is_not_available():
    rows = [row for row in APPEARING if row["method"] != "wrong site"]
    outcomes = {each["control"]: each["outcome"] for each in headline(rows, [], exact=False)["controls"]}
    assert outcomes == {"no condition": "passed", "wrong site": "not available", "same ending": "not available"}


def test_a_feature_of_the_last_tokens_comes_after_one_that_the_site_holds_beyond_them():
    """Both are used and appear at the same layer; the surer is no more than inputs with the same ending share."""
    near = planted("word", [0.0, 0.0, 0.9, 0.9]) + [score("same ending", "word", layer, 0.95) for layer in LAYERS]
    far = APPEARING + [score("same ending", "name", layer, 0.0) for layer in LAYERS]
    uses = use("name", [2, 3]) + use("word", [2, 3])
    assert headline(near + far, uses, exact=False)["feature"] == "name"
    alone = headline(near, uses, exact=False)
    assert {each["control"]: each["outcome"] for each in alone["controls"]}["same ending"] == "failed"
    assert "last tokens" in alone["sentence"]


def test_a_control_can_be_added():
    ending = Control("shorter input", True, "a shorter input scores as high")
    rows = APPEARING + [score("shorter input", "name", layer, 0.38) for layer in LAYERS]
    found = headline(rows, use("name", [2, 3]), exact=False, controls=(*CONTROLS, ending))
    assert found["site"] is None and found["considered"]["above_chance"] == 2 and not found["considered"]["passed"]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        planted("name", [0.0, 0.0, 0.0, 0.0]),
        planted("name", [0.0, 0.0, 0.4, 0.3], none=0.38),
        [row | {"q_value": 0.06} for row in APPEARING],
        [row | {"q_value": None} for row in APPEARING],
        [row | {"ess": 29.0} for row in APPEARING],
        [row | {"method": "weighted", "verdict": "unclear"} for row in APPEARING if row["method"] == "reference"],
    ],
)  # fmt: skip
def test_where_nothing_passes_there_is_no_finding(rows: list[dict]):
    found = headline(rows, use("name", [2, 3]), exact=False)
    assert found["site"] is None and found["feature"] is None and found["score"] is None
    assert found["sentence"].startswith("No ") and found["considered"]["passed"] == 0


def test_weighted_samples_count_where_the_generator_agrees_and_no_reference_is_trusted():
    rows = [
        row | {"method": "weighted", "verdict": "agrees"} if row["method"] == "reference" else row for row in APPEARING
    ]
    assert headline(rows, [], exact=False)["method"] == "weighted"
    assert headline(rows + APPEARING, [], exact=False)["method"] == "reference"
    small = [row | {"ess": 2.0} for row in APPEARING]
    assert headline(small, [], exact=True)["method"] == "reference"
