"""The comparison of two run directories: nothing on equal ones, a line for each thing that is not the same."""

from __future__ import annotations

import json
import math
import runpy
import shutil
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_subject import World

COMPARE = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "same_numbers.py"))
TABLE, RECORD = "score/results.parquet", "score/results.json"
ROWS = [{"source": "pool", "fcr": 0.1, "draws": 4}, {"source": "none", "fcr": math.nan, "draws": None}]
SCORES = {"scores": [{"source": "pool", "fcr": 0.1, "draws": 4}], "seconds": 3.0}


def differences(run: Path, other: Path, **names: Any) -> list[str]:
    return list(COMPARE["differences"](run, other, COMPARE["Renamed"](names)))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two directories with the same table and the same record."""
    for name in ("run", "other"):
        (tmp_path / name / "score").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / name / TABLE)
        (tmp_path / name / RECORD).write_text(json.dumps(SCORES))
    return tmp_path / "run", tmp_path / "other"


def write(run: Path, **columns: list[Any]) -> None:
    """The table again, with these columns changed, and those of them that are empty left out."""
    table = pa.Table.from_pylist(ROWS).to_pydict() | columns
    pq.write_table(pa.table({name: values for name, values in table.items() if values}), run / TABLE)


def next_float(value: float) -> float:
    """The number whose last bit is another."""
    return struct.unpack("<d", struct.pack("<q", struct.unpack("<q", struct.pack("<d", value))[0] ^ 1))[0]


def test_a_run_is_the_same_as_its_copy_and_a_changed_number_in_any_file_is_found(world: World, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(world.run, copy)
    assert differences(copy, world.run) == []
    tables = [path for path in copy.rglob("*.parquet") if pq.read_table(path).num_rows]
    assert len(tables) > 10
    for path in tables:
        pq.write_table(pq.read_table(path).slice(1), path)
    found = differences(copy, world.run)
    assert {line.partition(":")[0] for line in found} == {str(path.relative_to(copy)) for path in tables}


def test_equal_ones_have_no_difference_and_seconds_are_no_number(pair: tuple[Path, Path]):
    (pair[0] / RECORD).write_text(json.dumps(SCORES | {"seconds": 4.0}))
    (pair[0] / "provenance.json").write_text("{}")
    assert differences(*pair) == []


@pytest.mark.parametrize("fcr", [[next_float(0.1), math.nan], [0.1, None], [0.1, 0.1], [-0.1, math.nan]])
def test_one_bit_of_a_table_is_found_and_a_missing_value_is_not_nan(pair: tuple[Path, Path], fcr: list):
    write(pair[0], fcr=fcr)
    [line] = differences(*pair)
    assert TABLE in line and "fcr" in line and "1 of 2" in line


def test_a_whole_number_is_not_a_decimal_one(pair: tuple[Path, Path]):
    write(pair[0], draws=[4.0, None])
    assert len(differences(*pair)) == 1


@pytest.mark.parametrize(
    "score", [{"fcr": next_float(0.1)}, {"draws": 4.0}, {"draws": True}, {"fcr": None}, {"extra": 1}]
)
def test_one_value_of_a_record_is_found(pair: tuple[Path, Path], score: dict):
    (pair[0] / RECORD).write_text(json.dumps({"scores": [SCORES["scores"][0] | score]}))
    lines = differences(*pair)
    assert [RECORD in line and next(iter(score)) in line for line in lines if "seconds" not in line] == [True]


def test_rows_and_items_are_counted(pair: tuple[Path, Path]):
    pq.write_table(pa.Table.from_pylist(ROWS[:1]), pair[0] / TABLE)
    (pair[0] / RECORD).write_text(json.dumps(SCORES | {"scores": []}))
    assert len(differences(*pair)) == 2


@pytest.mark.parametrize("name", [TABLE, RECORD])
def test_a_file_that_one_has_alone_is_found_on_either_side(pair: tuple[Path, Path], name: str):
    (pair[0] / name).unlink()
    for one, other in (pair, pair[::-1]):
        [line] = differences(one, other)
        assert name in line
    assert differences(*pair, files={name: ""}) == []
    assert differences(*pair[::-1], added={name: ["*"]}) == []


def test_a_renamed_file_is_followed_and_still_compared(pair: tuple[Path, Path]):
    (pair[0] / TABLE).rename(pair[0] / "score" / "cells.parquet")
    assert len(differences(*pair)) == 2
    renamed = {TABLE: "score/cells.parquet"}
    assert differences(*pair, files=renamed) == []
    changed = pa.table(pa.Table.from_pylist(ROWS).to_pydict() | {"fcr": [0.2, math.nan]})
    pq.write_table(changed, pair[0] / "score" / "cells.parquet")
    assert len(differences(*pair, files=renamed)) == 1


def test_a_renamed_column_is_followed_and_still_compared(pair: tuple[Path, Path]):
    write(pair[0], source=[], method=["pool", "none"])
    assert len(differences(*pair)) == 2  # the new one, and the old one
    renamed = {"score/*.parquet": {"source": "method"}}
    assert differences(*pair, columns=renamed) == []
    write(pair[0], source=[], method=["none", "none"])
    assert len(differences(*pair, columns=renamed)) == 1


def test_a_new_and_a_removed_column_are_found_unless_the_map_has_them(pair: tuple[Path, Path]):
    write(pair[0], fcr=[], share=[0.5, 0.5])
    assert len(differences(*pair)) == 2
    assert differences(*pair, columns={TABLE: {"fcr": ""}}, added={TABLE: ["share"]}) == []


def test_a_renamed_text_is_followed_in_the_files_of_the_map_alone(pair: tuple[Path, Path]):
    write(pair[0], source=["reference", "none"])
    assert len(differences(*pair)) == 1
    assert differences(*pair, values={TABLE: {"pool": "reference"}}) == []
    assert len(differences(*pair, values={"*.*": {"pool": "reference"}})) == 1  # in the record it is as it was


def test_the_command_ends_with_1_where_something_differs(pair: tuple[Path, Path], monkeypatch, capsys, tmp_path: Path):
    write(pair[0], source=[], method=["pool", "none"])
    (tmp_path / "map.toml").write_text('[columns."*.parquet"]\n"source" = "method"\n')
    for arguments, code in (([], 1), (["--map", str(tmp_path / "map.toml")], 0)):
        monkeypatch.setattr("sys.argv", ["same_numbers.py", *map(str, pair), *arguments])
        with pytest.raises(SystemExit) as end:
            COMPARE["main"]()
        assert int(end.value.code) == code
        assert capsys.readouterr().out.count(TABLE) == 2 * code
