"""docs/make_study.py on a synthetic run: sites are compared at one resolution, and the source is counted apart."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from report_fixture import Shape, write_run

from inversescope import files

PAGE = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "make_study.py"))
SHAPE = Shape(
    layers=24, heads=1, generator_layers=(2, 11), bandwidths=(0.045, 0.1, 0.3, 1.0), resolutions=(512, 64, 8, 2)
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("study"), SHAPE)


def lines_of(table: str) -> dict[str, list[str]]:
    """The cells of each row by its first one."""
    body = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    return {cells[0].strip("`*"): cells for cells in body}


def test_each_site_has_the_bandwidth_of_the_resolution(run: Path):
    scores = PAGE["at_resolution"](run, 8)
    table = lines_of(PAGE["profile"](run, scores))
    column = table["site"].index("h")
    assert {table[site][column] for site in ("resid_post.2", "resid_post.11")} == {"0.30"}
    assert {row["resolution"] for row in scores} == {8}
    assert len({row["bandwidth"] for row in scores if row["bandwidth"]}) > 1  # every site has its own


def test_the_source_is_left_out_of_a_score(run: Path):
    """In the synthetic run the score among other inputs is lower by 0.01."""
    scores = PAGE["at_resolution"](run, 8)
    row = next(r for r in scores if (r["method"], r["site"], r["feature"]) == ("reference", "resid_post.11", "subject"))
    table = lines_of(PAGE["profile"](run, scores))
    shown = table["resid_post.11"][table["site"].index("subject")].strip("*()")
    assert shown.startswith(f"{row['others']:.2f}") and f"{row['others']:.2f}" != f"{row['corrected']:.2f}"


def test_sites_where_a_hash_passes_are_marked(run: Path):
    """It does at the finest resolution, from layer 10 on."""
    finest, wide = (PAGE["profile"](run, PAGE["at_resolution"](run, n)) for n in (512, 8))
    assert "`resid_post.11`*" in finest and "`resid_post.2`*" not in finest and "`*" not in wide


def test_used_features_are_bold_and_others_not(run: Path):
    table = lines_of(PAGE["profile"](run, PAGE["at_resolution"](run, 8)))
    used = {
        (row["site"], row["feature"])
        for row in files.read_table(run / "causal" / "used.parquet").to_pylist()
        if row["verdict"] == "encoded and used"
    }
    assert used
    for site in ("resid_post.2", "resid_post.11"):
        bold = {name for name, cell in zip(table["site"], table[site], strict=True) if "**" in cell}
        assert bold == {feature for at, feature in used if at == site}


def test_verdicts_are_counted_by_resolution(run: Path):
    table = lines_of(PAGE["verdicts"](run))
    names = table["resolution"]
    counts = {n: dict(zip(names, table[f"1 in {n}"], strict=True)) for n in (512, 8)}
    assert counts[512]["cannot tell"] == "2" and counts[512]["calibrated"] == "0"
    assert counts[8]["undertrained"] == "1" and counts[8]["calibrated"] == "1"


def test_a_resolution_that_was_not_used_is_refused(run: Path, tmp_path: Path):
    with pytest.raises(SystemExit, match="the run has 512, 64, 8, 2"):
        PAGE["at_resolution"](run, 5)
    with pytest.raises(SystemExit, match="the run has bandwidths"):
        PAGE["at_resolution"](write_run(tmp_path, Shape(layers=3, heads=1, generator_layers=(2,))), 8)
