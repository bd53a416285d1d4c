"""The summary at the top of a report, from the stored headline."""

from __future__ import annotations

import pytest
from report_fixture import Shape, write_run

from inversescope.report.page import render
from inversescope.report.records import Records, load
from inversescope.report.summary import Figure, key_figures, summary
from inversescope.report.targets import choose
from inversescope.verdicts.wording import number

SHAPE = Shape(layers=12, heads=1, generator_layers=(5, 8, 10), targets=7, samples=5)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    return load(write_run(tmp_path_factory.mktemp("run"), SHAPE))


def figures(records: Records) -> dict[str, Figure]:
    return {figure.name: figure for figure in summary(records)}


def changed(records: Records, **values: object) -> Records:
    return Records(**{**vars(records), **values})


def test_the_figures_are_those_of_the_headline(records: Records):
    found, answers = records.headline, figures(records)
    score = found["finest"]
    assert (
        score["bandwidth"] < found["bandwidth"] and number(found["score"]["corrected"]) in answers["how strong"].source
    )
    assert answers["how strong"].value == number(score["corrected"])
    assert number(score["chance"]) in answers["how strong"].source
    assert answers["how sure"].value == f"{number(score['corrected_low'])} to {number(score['corrected_high'])}"
    assert answers["at which resolution"].value == f"h\u00a0=\u00a0{found['bandwidth']:g}"
    passed = [each for each in found["controls"] if each["outcome"] == "passed"]
    assert answers["above which controls"].value == f"{len(passed)} of {len(found['controls'])}"
    assert all(number(each["corrected"]) in answers["above which controls"].source for each in found["controls"])


def test_the_verdict_on_use_is_the_stored_one(records: Records):
    use = {"verdict": "encoded and used", "reason": "necessity 0.80 [0.75, 0.85]"}
    found = figures(changed(records, headline=records.headline | {"used": use}))["encoded and used?"]
    assert (found.value, found.source) == ("encoded and used", "necessity 0.80 [0.75, 0.85]")
    assert figures(changed(records, headline=records.headline | {"used": None}))["encoded and used?"].value is None


def test_distances_stand_beside_what_is_typical(records: Records):
    site, h = records.generator_sites[0], 0.3
    (row,) = (row for row in records.diagnostics if (row["site"], row["bandwidth"]) == (site, h))
    there = figures(changed(records, headline=records.headline | {"site": site, "bandwidth": h}))["how verified"]
    for name in ("median_distance", "reference_median_distance", "prior_median_distance"):
        assert number(row[name]) in there.source
    elsewhere = figures(changed(records, headline=records.headline | {"site": "resid_post.0"}))["how verified"]
    assert elsewhere.value == "every input"


def test_acceptance_is_shown_only_where_it_counts(records: Records):
    rows = [row for row in records.diagnostics if row["bandwidth"] == 0.03]
    shown = {figure.name: figure for figure in key_figures(records)}["accepted"]
    assert shown.value == f"{sum(row['others_acceptance'] for row in rows) / len(rows):.0%}"
    wide = [row | {"acceptance_counts": False} for row in records.diagnostics]
    nowhere = changed(records, diagnostics=wide)
    assert {figure.name: figure for figure in key_figures(nowhere)}["accepted"].value is None
    assert all(target["acceptance"] is None for target in choose(nowhere))


def test_without_a_finding_there_is_no_summary(records: Records):
    assert summary(changed(records, headline=records.headline | {"site": None})) == []


def test_the_page_shows_headline_and_figures(records: Records):
    page = render(records)
    assert records.headline["sentence"] in page
    assert all(f"<dt>{name}</dt>" in page for name in figures(records))
