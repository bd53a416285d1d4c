"""Tables of the terminal, from records made by `inversescope.records`: a column that is renamed there breaks them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from report_fixture import Shape, write_run
from rich.console import Console, RenderableType

from inversescope import files, records
from inversescope.cli.tables.runs import causal_table, hypotheses_table, noise_line, summary_table, verdict_table
from inversescope.verdicts import BELOW_NOISE, NULL_FEATURE
from inversescope.verdicts.wording import number, short

SHAPE = Shape(layers=12, heads=1, generator_layers=(5, 10), targets=7, samples=5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), SHAPE)


def shown(table: Callable[[Path], RenderableType], run: Path, width: int = 140) -> str:
    screen = Console(file=io.StringIO(), width=width, highlight=False)
    screen.print(table(run))
    return screen.file.getvalue()


def line(text: str, *words: str) -> str:
    return next(each for each in text.splitlines() if all(word in each for word in words))


def test_the_summary_has_the_scores_of_the_deepest_site(run: Path):
    scores = files.read_json(run / records.score.SUMMARY.path)["scores"]
    found = {(row["method"], row["bandwidth"]): row for row in scores if row["site"] == "resid_post.10"
             and row["feature"] == "order"}  # fmt: skip
    text, finest = shown(summary_table, run), min(SHAPE.bandwidths)
    trusted = min(h for h in SHAPE.bandwidths if found["reference", h]["trusted"])
    assert trusted > finest and f"h\u00a0=\u00a0{trusted:g}" in text
    for h in (finest, trusted):
        cells = line(text, "order", f" {h:g}")
        assert short(found["generator", h]["fcr"]) in cells and short(found["nearest", None]["fcr"]) in cells


def test_a_bandwidth_at_which_the_null_feature_passes_is_marked(run: Path):
    text = shown(summary_table, run)
    finest, trusted = min(SHAPE.bandwidths), 0.1
    assert f" {finest:g}* " in line(text, "order", f" {finest:g}*") and f" {trusted:g}* " not in text
    null = next(row for row in files.read_json(run / records.score.SUMMARY.path)["scores"]
                if (row["site"], row["feature"], row["method"], row["bandwidth"])
                == ("resid_post.10", NULL_FEATURE, "generator", finest))  # fmt: skip
    assert short(null["fcr"]) in line(text, NULL_FEATURE, f" {finest:g}*")


def test_bandwidths_below_the_subjects_rounding_are_named(run: Path, tmp_path: Path):
    assert BELOW_NOISE in " ".join(shown(summary_table, run).split()) and "0.05" in noise_line(run)
    coarse = write_run(tmp_path, Shape(layers=12, heads=1, generator_layers=(5,), bandwidths=(0.1, 0.3), targets=7))
    assert "noise floor" not in shown(summary_table, coarse)


def test_verdicts_stand_with_their_reasons(run: Path):
    text = shown(verdict_table, run)
    for row in pq.read_table(run / records.calibrate.CALIBRATION.path).to_pylist():
        shown_row = line(text, row["site"], f" {row['bandwidth']:.3g} ", "clean")
        assert row["verdict"] in shown_row and row["reason"] in shown_row


def test_effects_are_those_of_the_largest(run: Path):
    rows = pq.read_table(run / records.causal.EFFECTS.path).to_pylist()
    text = shown(causal_table, run)
    assert next(row["reason"] for row in rows if row["reason"]) in line(text, "resid_post.5")
    assert len(shown(causal_table, run, width=80).splitlines()) <= 3 + len({row["site"] for row in rows})
    largest = max((row for row in rows if row["site"] == "resid_post.10"), key=lambda row: row["effect"])
    assert number(largest["necessity"]) in line(text, "resid_post.10", largest["feature"])


def test_hypotheses_are_shown_at_the_largest_bandwidth_with_a_significant_one(run: Path):
    rows = pq.read_table(run / records.mine.HYPOTHESES.path).to_pylist()
    h = max(row["bandwidth"] for row in rows if row["significant"])
    (first,) = (row for row in rows if (row["site"], row["bandwidth"], row["rank"]) == ("resid_post.10", h, 1))
    assert short(first["corrected"]) in line(shown(hypotheses_table, run), "resid_post.10", first["words"])
