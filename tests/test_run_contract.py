"""The page of the run directory and a run's files are compared, and every kind of difference is seen."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from report_fixture import write_run
from run_contract import differences


def test_the_run_that_the_report_is_tested_with_keeps_the_contract(tmp_path: Path):
    assert differences(write_run(tmp_path)) == []


def test_every_kind_of_difference_is_seen(tmp_path: Path):
    run = write_run(tmp_path)
    path = run / "score" / "distances.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["share"]).append_column("weight", table["low"]), path)
    (run / "score" / "unheard.json").write_text("{}")
    (run / "verify" / "samples.parquet").unlink()
    found = differences(run)
    assert "score/distances.parquet: share is only in the page" in found
    assert "score/distances.parquet: weight is only in the run" in found
    assert "score/unheard.json: not in the page" in found
    assert "verify/samples.parquet: log_q is only in the page" in found
