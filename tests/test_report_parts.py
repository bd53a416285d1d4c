"""Parts of the report: key figures, failures, the choice of targets, packed and embedded numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixture import Shape, write_run

from inversescope.charts.page import embed
from inversescope.report.failures import failures
from inversescope.report.page import pack, render
from inversescope.report.records import Records, load
from inversescope.report.summary import key_figures
from inversescope.report.targets import acceptance, evenly, share
from inversescope.verdicts import NULL_FEATURE


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    shape = Shape(layers=4, heads=1, generator_layers=(1, 3), targets=7, samples=5)
    return load(write_run(tmp_path_factory.mktemp("run"), shape))


def test_key_figures_of_the_records(records: Records):
    figures = {figure.name: figure.value for figure in key_figures(records)}
    assert figures["targets"] == "7"
    assert figures["draws"] == str(2 * 4 * 7 * 5)
    rows = [row for row in records.diagnostics if row["bandwidth"] == 0.03]
    assert figures["accepted"] == f"{sum(row['others_acceptance'] for row in rows) / len(rows):.0%}"


def test_failures_count_what_the_records_count(records: Records):
    found = {failure.site: failure for failure in failures(records)}
    assert list(found) == records.generator_sites
    for site, failure in found.items():
        drawn = [row for row in records.diagnostics if row["site"] == site]
        assert failure.unverified == sum(row["unverified"] for row in drawn)
        assert failure.collapsed == [row["collapsed"] for row in drawn]
        samples = [each for each in records.samples.to_pylist() if each["site"] == site and each["bandwidth"] <= 0.1]
        others = {
            target: [each["accepted"] for each in samples if each["target"] == target and not each["source"]]
            for target in range(7)
        }
        shares = {target: sum(accepted) / len(accepted) for target, accepted in others.items() if accepted}
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


def test_the_null_feature_is_a_table_of_its_own_and_marks_its_bandwidths(tmp_path: Path):
    shape = Shape(layers=12, heads=0, generator_layers=(5, 10), bandwidths=(0.03, 0.3), targets=7, samples=5)
    found = load(write_run(tmp_path, shape))
    assert NULL_FEATURE not in found.features
    for row in found.null_scores.values():
        assert {h for h, score in row.items() if score["null_passes"]} <= {0.03}
    assert found.null_scores["resid_post.10"][0.03]["null_passes"]
    assert not found.null_scores["resid_post.5"][0.03]["null_passes"]
    page = render(found)
    table = page[page.index('class="null"') :]
    assert table[: table.index("</table>")].count('class="null-passes"') == 1  # the page shows the generator's sites
