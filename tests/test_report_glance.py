"""What the top of a report answers about its headline, from the records."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_fixture import Shape, write_run

from inversescope.report.findings import Figure, Headline
from inversescope.report.glance import glance
from inversescope.report.records import Records, Row, load
from inversescope.verdicts.text import number

QUESTIONS = [
    "how strong",
    "how sure",
    "against which control",
    "at what resolution",
    "used or merely present",
    "how verified",
]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    shape = Shape(layers=4, heads=1, generator_layers=(1, 3), targets=7, samples=5)
    return load(write_run(tmp_path_factory.mktemp("run"), shape))


def about(records: Records, row: Row) -> dict[str, Figure]:
    return {figure.name: figure for figure in glance(records, Headline("", "", "", row))}


def weighted(records: Records) -> Row:
    """The surest weighted score: what a headline may stand on."""
    rows = [row for row in records.scores if row["source"] == "weighted" and row["corrected_low"] is not None]
    return max(rows, key=lambda row: row["corrected_low"])


def test_every_question_is_answered_about_the_headlines_own_score(records: Records):
    row = weighted(records)
    answers = about(records, row)
    assert list(answers) == QUESTIONS
    assert answers["how strong"].value == number(row["corrected"])
    assert number(row["chance"]) in answers["how strong"].source
    assert answers["how sure"].value == f"{number(row['corrected_low'])} to {number(row['corrected_high'])}"
    assert f"h\u00a0=\u00a0{row['bandwidth']:g}" == answers["at what resolution"].value


def test_the_control_is_that_of_the_same_place(records: Records):
    row = weighted(records)
    place = ("site", "feature", "bandwidth")
    (shuffled,) = (
        each for each in records.scores
        if each["source"] == "shuffled" and all(each[name] == row[name] for name in place)
    )  # fmt: skip
    assert about(records, row)["against which control"].value == number(shuffled["fcr"])
    assert "no condition" in about(records, row)["against which control"].source


def test_the_use_is_that_of_the_site_and_feature(records: Records):
    row = weighted(records)
    (use,) = (each for each in records.usage if (each["site"], each["feature"]) == (row["site"], row["feature"]))
    assert about(records, row)["used or merely present"].value == use["verdict"]
    elsewhere = {**row, "site": next(s["site"] for s in records.scores if s["site"] not in records.generator_sites)}
    assert about(records, {**elsewhere, "source": "reference"})["used or merely present"].value is None


def test_a_score_without_samples_says_what_was_read(records: Records):
    row = {**weighted(records), "source": "reference"}
    assert about(records, row)["how verified"].value == "every input"


def test_resolution_counts_only_what_is_above_chance(records: Records):
    row = weighted(records)
    scores = [
        {**each, "corrected_low": 0.2 if each["bandwidth"] == row["bandwidth"] else -0.2}
        if each["source"] == "weighted" and each["corrected_low"] is not None else each
        for each in records.scores
    ]  # fmt: skip
    answer = about(Records(**{**vars(records), "scores": scores}), {**row, "corrected_low": 0.2})
    assert f"above chance at h {row['bandwidth']:g}, of" in answer["at what resolution"].source


def test_without_a_headline_nothing_is_asked(records: Records):
    assert glance(records, Headline("nothing", "", "", None)) == []


def test_the_page_shows_them(tmp_path: Path):
    from inversescope.report.page import render

    shape = Shape(layers=4, heads=1, generator_layers=(1, 3), targets=7, samples=5)
    page = render(load(write_run(tmp_path / "run", shape)))
    assert all(f"<dt>{question}</dt>" in page for question in QUESTIONS)
