"""A run's files and `inversescope.records` are compared, every kind of difference is seen, and no writer can differ."""

from __future__ import annotations

import runpy
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report_fixture import write_run
from run_contract import differences, missing, unknown
from small_subject import world_in

from inversescope import records

PAGE = Path(__file__).parents[1] / "docs" / "run-directory.md"
TABLES = [record for room in records.ROOMS for record in room.records if isinstance(record, records.Table)]


def test_a_finished_run_is_as_its_records_say(tmp_path_factory: pytest.TempPathFactory):
    assert differences(world_in(tmp_path_factory.getbasetemp()).run) == []


def test_the_run_that_the_report_is_tested_with_is_as_its_records_say(tmp_path: Path):
    assert unknown(write_run(tmp_path)) == []


def test_every_kind_of_difference_is_seen(tmp_path: Path):
    run = write_run(tmp_path)
    path = run / "score" / "distances.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["share"]).append_column("weight", table["low"]), path)
    path = run / "score" / "worst_targets.parquet"
    table = pq.read_table(path)
    table = table.set_column(0, "site", pa.nulls(len(table), pa.string()))
    place = table.column_names.index("target")
    pq.write_table(table.set_column(place, "target", table["target"].cast(pa.int64())), path)
    (run / "score" / "surplus.json").write_text("{}")
    (run / "task" / "accuracy.json").write_text("{}")
    (run / "verify" / "samples.parquet").unlink()
    lines = unknown(run)
    for line in (
        "score/distances.parquet: share is only in the records",
        "score/distances.parquet: weight is only in the run",
        "score/worst_targets.parquet: site has nulls",
        "score/worst_targets.parquet: target is int64, not int32",
        "score/surplus.json: no record",
        "task/accuracy.json: needed is only in the records",
    ):
        assert line in lines
    assert "verify/samples.parquet: missing" in missing(run)


@pytest.mark.parametrize("record", TABLES, ids=lambda record: record.path)
def test_a_writer_with_another_column_fails(record: records.Table):
    row = dict.fromkeys(record.names)
    with pytest.raises(AssertionError, match="surplus"):
        record.of([row | {"surplus": 1}])
    first = record.names[0]
    with pytest.raises(AssertionError, match=first):
        record.of([{name: None for name in record.names[1:]}])
    with pytest.raises(AssertionError, match="null in"):
        record.of([row])
    assert record.of([]).schema == record.schema()


def test_a_table_of_columns_must_have_the_types_of_its_record():
    record = records.train.LOSSES
    with pytest.raises(AssertionError, match="int64"):
        record.checked(pa.table({"step": pa.array([1], pa.int64()), "nats": [0.5]}))
    assert record.of_columns({"step": [1], "nats": [0.5]}).schema == record.schema()


def test_no_two_records_describe_one_file():
    paths = [record.path for room in records.ROOMS for record in room.records]
    assert len(set(paths)) == len(paths)
    for room in records.ROOMS:
        assert all(record.path.startswith(f"{room.folder}/" if room.folder else "") for record in room.records)


def test_the_page_is_current():
    made = runpy.run_path(str(PAGE.with_name("make_run_directory_page.py")))["page"]()
    assert PAGE.read_text(encoding="utf-8") == made, "run `make docs/run-directory.md`"
