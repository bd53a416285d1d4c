"""The rules of the report: verdicts, reasons, the headline, the choice of targets, the marking of differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixture import Shape, write_run

from inversescope.records.score import RESULTS
from inversescope.report import findings
from inversescope.report.page import embed, pack
from inversescope.report.records import Records, load
from inversescope.report.targets import acceptance, evenly, share
from inversescope.verdicts import agreement, why_undefined
from inversescope.verdicts.text import pieces


def row(source: str = "generator", **values: object) -> dict:
    defaults = {"source": source, "site": "resid_post.3", "feature": "subject", "bandwidth": 0.3, "targets": 20}
    counts = {"collapsed": 0, "samples": 320, "undecided": 0, "unverified": 0}
    return dict.fromkeys(RESULTS.names) | defaults | counts | values


def with_scores(records: Records, scores: list[dict], calibration: Sequence[dict] = ()) -> Records:
    return Records(**{**vars(records), "scores": scores, "calibration": list(calibration)})


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    shape = Shape(layers=4, heads=1, generator_layers=(1, 3), targets=7, samples=5)
    return load(write_run(tmp_path_factory.mktemp("run"), shape))


@pytest.mark.parametrize(
    ("gap", "low", "high", "ess", "expected"),
    [
        (0.02, -0.01, 0.05, 60.0, "agrees"),
        (-0.20, -0.30, -0.10, 60.0, "undertrained"),
        (0.20, 0.10, 0.30, 60.0, "undertrained"),
        (-0.08, -0.20, 0.04, 60.0, "unclear"),
        (-0.20, None, None, 60.0, "unclear"),
        (-0.20, -0.30, -0.10, 29.9, "unchecked"),
        (-0.20, -0.30, -0.10, None, "unchecked"),
        (None, None, None, 60.0, "unchecked"),
    ],
)
def test_verdict(gap: float | None, low: float | None, high: float | None, ess: float | None, expected: str):
    reference = row("reference", ess=ess)
    assert agreement(row(gap=gap, gap_low=low, gap_high=high), reference, exact=False) == expected
    assert agreement(row(gap=gap, gap_low=low, gap_high=high), None, exact=False) == "unchecked"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"chance": 1.0, "fcr": 1.0}, "same label"),
        ({"targets": 0, "collapsed": 20}, "all 20 targets have collapsed"),
        ({"samples": 0}, "no samples"),
        ({"undecided": 320}, "all 320 samples are undecided"),
        ({"targets": 0}, "no target has a label"),
        ({"targets": 1}, "too few"),
    ],
)
def test_undefined_scores_have_a_reason(values: dict, words: str):
    assert words in (why_undefined(row(**values)) or "")
    assert why_undefined(row(**values, corrected=0.0)) is None


def estimate(value: float, half: float = 0.1) -> dict:
    bounds = {"": value, "_low": value - half, "_high": value + half}
    return {f"{name}{end}": bound for end, bound in bounds.items() for name in ("corrected", "fcr", "bits")}


def case(feature: str, value: float, gap: float, ess: float = 60.0) -> list[dict]:
    limits = {"gap": gap, "gap_low": gap - 0.01, "gap_high": gap + 0.01}
    place = {"feature": feature, "chance": 0.1}
    return [
        row("generator", **place, **estimate(value), **limits),
        row("weighted", **place, **estimate(value)),
        row("reference", **place, **estimate(value - gap), ess=ess),
        row("shuffled", **place, **estimate(0.03)),
    ]


def test_headline_takes_the_best_that_the_reference_confirms(records: Records):
    scores = [*case("order", 0.95, 0.3), *case("subject", 0.86, 0.01), *case("place", 0.5, 0.0)]
    found = findings.headline(with_scores(records, scores))
    assert found.sentence.replace("\xa0", " ") == (
        "At resid_post.3, h = 0.3, the activation determines the subject: corrected score 0.86 [0.76, 0.96]."
    )
    assert found.numbers == "20 targets; weighted samples; FCR 0.86, by chance 0.10, with a shuffled target 0.03."
    assert "among 2 weighted samples" in found.rule


@pytest.mark.parametrize(("q", "told"), [(0.0002, "q < 0.001."), (0.0314, "q = 0.031.")])
def test_headline_says_how_sure_it_is(records: Records, q: float, told: str):
    scores = [{**row, "q_value": q} for row in case("subject", 0.86, 0.01)]
    found = findings.headline(with_scores(records, scores)).numbers.replace("\xa0", " ")
    assert found.endswith(f"with a shuffled target 0.03; against shuffled targets {told}")


@pytest.mark.parametrize(
    ("asked", "told"), [("undertrained", "undertrained"), ("calibrated", "agrees"), (None, "unchecked")]
)
def test_what_stand_ins_say_counts_where_the_targets_say_nothing(records: Records, asked: str | None, told: str):
    rows = [{"site": "resid_post.3", "bandwidth": 0.3, "query": "clean", "verdict": asked}] if asked else []
    found = with_scores(records, case("order", 0.9, 0.0, ess=5.0), rows)
    assert findings.Index(found).verdict(found.scores[0]) == told


def test_a_score_where_the_generator_is_undertrained_is_no_headline(records: Records):
    noisy = {"site": "resid_post.3", "bandwidth": 0.3, "query": "noisy", "verdict": "undertrained"}
    for query, source in (("clean", "reference"), ("noisy", "weighted")):  # the samples answer the clean question
        found = findings.headline(with_scores(records, case("order", 0.9, 0.0), [noisy | {"query": query}]))
        assert found.row is not None and found.row["source"] == source


def test_headline_falls_back_to_the_reference(records: Records):
    found = findings.headline(with_scores(records, case("order", 0.3, -0.3)))
    assert found.row is not None
    assert found.row["source"] == "reference"
    assert "partly determines" in found.sentence
    assert "neighbours in the pool, no generator" in found.numbers


def test_headline_says_when_the_score_is_unchecked(records: Records):
    found = findings.headline(with_scores(records, case("order", 0.9, 0.0, ess=5.0)))
    assert "no reference is good enough" in found.rule


def test_a_confirmed_nothing_does_not_hide_what_the_pool_shows(records: Records):
    scores = [*case("order", 0.0, 0.0), *case("subject", 0.2, -0.6)]
    found = findings.headline(with_scores(records, scores))
    assert found.row is not None
    assert (found.row["source"], found.row["feature"]) == ("reference", "subject")


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (case("order", 0.0, 0.0), "can be told from chance"),
        ([], "No feature was scored"),
        ([row("weighted")], "No score of this run is defined"),
        ([row("weighted", corrected=0.4)], "has an interval"),
    ],
)
def test_headline_of_nothing(records: Records, scores: list[dict], words: str):
    found = findings.headline(with_scores(records, scores))
    assert words in found.sentence
    assert found.row is None


def test_key_figures_of_the_records(records: Records):
    figures = {figure.name: figure.value for figure in findings.key_figures(records)}
    assert figures["targets"] == "7"
    assert figures["draws"] == str(2 * 4 * 7 * 5)
    rows = [row for row in records.diagnostics if row["bandwidth"] == 0.03]
    assert figures["accepted"] == f"{sum(row['acceptance'] for row in rows) / len(rows):.0%}"


def test_failures_count_what_the_records_count(records: Records):
    found = {failure.site: failure for failure in findings.failures(records)}
    assert list(found) == records.generator_sites
    for site, failure in found.items():
        drawn = [row for row in records.diagnostics if row["site"] == site]
        assert failure.unverified == sum(row["unverified"] for row in drawn)
        assert failure.collapsed == [row["collapsed"] for row in drawn]
        samples = [sample for sample in records.samples.to_pylist() if sample["site"] == site]
        shares = {
            target: sum(sample["accepted"] for sample in samples if sample["target"] == target) / (4 * 5)
            for target in range(7)
        }
        assert failure.worst_acceptance == pytest.approx(min(shares.values()))
        assert failure.worst_target is not None
        assert shares[failure.worst_target] == min(shares.values())


def test_acceptance_is_undefined_where_nothing_was_verified(tmp_path: Path):
    shape = Shape(layers=2, heads=1, generator_layers=(1,), targets=2, samples=3, defined=False)
    shares = acceptance(load(write_run(tmp_path, shape)).samples, ["target"])
    assert shares == {0: None, 1: None}


def test_share_of_nothing_is_undefined():
    assert share(0, 0) is None
    assert share(1, 4) == 0.25


@given(st.text(), st.text())
def test_differences_join_to_the_text(source: str, text: str):
    assert "".join(pieces(source, text)) == text


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("नमस्ते दुनिया", "नमस्कार दुनिया", ["", "नमस्कार", " दुनिया"]),
        ("cafe\u0301, now", "cafe, now", ["", "cafe", ", now"]),
        ("\U0001f469 went", "\U0001f469\u200d\U0001f52c went", ["", "\U0001f469\u200d\U0001f52c", " went"]),
        ("שלום עולם", "שלום לך", ["שלום", " לך"]),
    ],
)
def test_words_are_marked_whole_in_any_script(source: str, text: str, expected: list[str]):
    assert pieces(source, text) == expected


@given(st.text())
def test_equal_texts_do_not_differ(text: str):
    assert pieces(text, text) == [text]


def test_differences_are_marked_by_turns():
    assert pieces("Mary and John went to", "Mary and Anna went to") == ["Mary and", " Anna", " went to"]
    assert pieces("When Mary left", "Then Mary left") == ["", "Then", " Mary left"]
    assert pieces("one two three", "one three") == ["one", "", " three"]


@given(st.lists(st.integers(), unique=True, max_size=50), st.integers(2, 12))
def test_evenly_keeps_both_ends_in_order(items: list[int], n: int):
    found = evenly(items, n)
    assert len(found) == min(n, len(items))
    assert found == [item for item in items if item in found]
    assert found[:1] == items[:1]
    assert found[-1:] == items[-1:]


def test_packing_keeps_undefined():
    table = pack([{"site": "a", "bandwidth": 0.3, "fcr": None}, {"site": "b", "bandwidth": None, "fcr": 0.123456}])
    assert table["site"] == {"levels": ["a", "b"], "codes": [0, 1]}
    assert table["bandwidth"] == {"levels": [0.3], "codes": [0, None]}
    assert table["fcr"] == [None, 0.1235]


@given(st.text())
def test_embedded_text_cannot_end_the_script(text: str):
    assert "<" not in embed([text, "</script><!--"])
