"""Own texts as a task: what is read from each kind of file, the empirical prior, and every refusal."""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_tokenizer import WordSubject
from pydantic import TypeAdapter, ValidationError
from refusals import refuses

from inversescope.extras import install
from inversescope.tasks import TaskSection, Texts, TextsConfig, load_task
from inversescope.tasks.labels import as_label

ROWS: list[dict[str, Any]] = [
    {"text": "the cat sat", "animal": "cat", "legs": 4, "wild": False},
    {"text": "the owl sat", "animal": "owl", "legs": 2, "wild": True},
    {"text": "the owl sat", "animal": "cat", "legs": 2, "wild": True},
    {"text": "nobody sat", "animal": None, "legs": 0, "wild": None},
    {"text": "  ", "animal": "none", "legs": 0, "wild": None},
]


def save(folder: Path, rows: list[dict[str, Any]], suffix: str) -> Path:
    path = folder / f"texts{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def load(path: Path, **settings: Any) -> tuple[Texts, WordSubject]:
    subject = WordSubject()
    return Texts(TextsConfig(name="texts", path=path, **settings), subject), subject


def test_a_table_whose_texts_have_another_name_says_which_key_names_them(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text(",sentence,tone\n0,the cat sat,calm\n1,the owl sat,calm\n")
    with refuses("column", given="text of", allowed=("''", "sentence", "tone"), remedy="task.column"):
        load(path)
    task, _ = load(path, column="sentence")
    assert "'' (row numbers)" in " ".join(task.reading.notes)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_label_columns_are_features(tmp_path: Path, suffix: str) -> None:
    task, subject = load(save(tmp_path, ROWS, suffix))
    assert task.features == ("animal", "legs", "wild") and task.cut == "end of text"
    assert task.labels(subject.encode("the cat sat")) == {"animal": "cat", "legs": "4", "wild": "False"}
    assert task.labels(subject.encode("nobody sat")) == {"animal": None, "legs": "0", "wild": None}
    # The same text with two labels is undecided on that feature only.
    assert task.labels(subject.encode("the owl sat")) == {"animal": None, "legs": "2", "wild": "True"}
    assert task.labels(subject.encode("the owl")) == {"animal": None, "legs": None, "wild": None}
    assert (task.reading.blank, task.reading.shortened, task.reading.left_out) == (1, 0, {})
    assert task.accuracy(subject, 10, np.random.default_rng(0)) is None


def test_chosen_columns(tmp_path: Path) -> None:
    rows = [{"text": row["animal"], "said": row["text"], "extra": [1]} for row in ROWS[:2]]
    task, subject = load(save(tmp_path, rows, ".jsonl"), column="said", labels=("text",))
    assert task.features == ("text",) and task.labels(subject.encode("the owl sat")) == {"text": "owl"}


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0, "0"), (0.0, "0"), (-0.0, "0"), ("0.0", "0"), ("0", "0"), (3.0, "3"), (1.5, "1.5"), ("1.50", "1.50"),
        ("007.0", "007.0"),
        (10**20, str(10**20)), (1e300, "1e+300"), (np.float64(2.0), "2"), (np.int64(2), "2"), (np.bool_(True), "True"),
        (Decimal("2.0"), "2"), (Decimal("NaN"), None), (True, "True"), (False, "False"), ("", None), (" \n", None),
        (None, None),
        (float("nan"), None), ("nan", "nan"), (" cat", " cat"), (date(2024, 1, 2), "2024-01-02"),
    ],
)  # fmt: skip
def test_labels_are_read_by_value_and_type(value: object, label: str | None) -> None:
    assert as_label(value) == label


@pytest.mark.parametrize("value", [[1], {"a": 1}, b"a", np.zeros(2)])
def test_what_is_no_label_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        as_label(value)


def test_a_gap_does_not_split_a_class(tmp_path: Path) -> None:
    """pandas writes whole numbers of a column with gaps as 0.0; concatenated files have both."""
    rows = [{"text": "a", "x": 0}, {"text": "b", "x": 0.0}, {"text": "c", "x": None}, {"text": "d", "x": ""}]
    task, subject = load(save(tmp_path, rows, ".jsonl"))
    assert [task.labels(subject.encode(text))["x"] for text in "abcd"] == ["0", "0", None, None]


def test_row_numbers_ids_and_objects_are_no_features(tmp_path: Path) -> None:
    columns = {"__index_level_0__": 1, "Unnamed: 0": 1, "": 1, "meta": {"a": 1}, "empty": None, "same": "x"}
    rows = [{"text": f"text {i}", "id": i, "kind": i % 2, **columns} for i in range(4)]
    task, _ = load(save(tmp_path, rows, ".jsonl"))
    assert task.features == ("kind", "same")
    assert list(task.reading.left_out) == ["id", "__index_level_0__", "Unnamed: 0", "", "meta", "empty"]
    assert all("id (no value comes twice)" in note for note in task.reading.notes[-1:])
    assert load(tmp_path / "texts.jsonl", labels=("id", "Unnamed: 0"))[0].features == ("id", "Unnamed: 0")
    none, subject = load(tmp_path / "texts.jsonl", labels=())
    assert none.features == () and none.labels(subject.encode("text 1")) == {} and none.reading.left_out == {}


def packed(path: Path) -> Path:
    with gzip.open(path.with_name(f"{path.name}.gz"), "wb") as file:
        file.write(path.read_bytes())
    return path.with_name(f"{path.name}.gz")


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ";.csv", ".jsonl", ".ndjson", ".json", "[.json"])
def test_every_kind_of_file_is_the_same_task(tmp_path: Path, suffix: str, pack: bool) -> None:
    rows = [{"text": 'a, "b"; c\td', "x": 1}, {"text": "è\u2028", "x": 1.0}, {"text": "two\nlines", "x": None}]
    path, frame = tmp_path / f"texts.{suffix.split('.')[-1]}", pd.DataFrame(rows)
    if path.suffix in (".csv", ".tsv"):
        frame.to_csv(path, sep="\t" if suffix == ".tsv" else suffix[0].replace(".", ","), encoding="utf-8-sig")
    elif suffix[0] == "[":
        path.write_text("\ufeff" + json.dumps(rows, indent=1), encoding="utf-8")
    else:
        path.write_text("\ufeff" + "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task, subject = load(packed(path) if pack else path)
    assert inputs(task, subject) == [row["text"] for row in rows] and task.features == ("x",)
    assert [task.labels(subject.encode(row["text"]))["x"] for row in rows] == ["1", "1", None]


def test_a_line_of_a_table_is_named_by_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text('text,x\n"a\nb",1\n\nc\n')
    with refuses(given="line 5: 1 cells"):
        load(path)


def test_classes_have_their_names(tmp_path: Path) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "kind": datasets.ClassLabel(names=["good", "bad"])})
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c", "d"], "kind": [0, 1, 0, -1]}, features=features)
    data.save_to_disk(tmp_path / "saved")
    data.to_parquet(tmp_path / "texts.parquet")
    for settings in ({"dataset": str(tmp_path / "saved")}, {"path": tmp_path / "texts.parquet"}):
        task = Texts(TextsConfig(**settings), subject := WordSubject())
        assert [task.labels(subject.encode(text))["kind"] for text in "abcd"] == ["good", "bad", "good", None]


def test_half_a_character_is_refused_with_its_line(tmp_path: Path) -> None:
    good, half = '{"text": "a \\ud83d\\ude00", "x": "b"}\n', '{"text": "c", "x": "b"}\n'
    for broken in (half.replace("c", "\\ud83d"), half.replace("b", "\\ud83d")):
        (tmp_path / "texts.jsonl").write_text(good + broken + half)
        with refuses("line 2", r"\ud83d"):
            load(tmp_path / "texts.jsonl")
    (tmp_path / "texts.jsonl").write_text(good + half)
    assert load(tmp_path / "texts.jsonl")[0].rows == 2


def test_a_content_may_be_a_list_of_parts(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "who "}, {"type": "text", "text": "sat"}]
    task, subject = load(save(tmp_path, [{"text": [{"role": "user", "content": parts}]}], ".jsonl"), position="user:0")
    assert inputs(task, subject) == ["user: who sat"]
    image = [*parts, {"type": "image", "url": "a.png"}]
    with refuses("line 1", "message 0", "list of parts"):
        load(save(tmp_path, [{"text": [{"role": "user", "content": image}]}], ".jsonl"))


def test_nan_in_a_numeric_column_is_undecided(tmp_path: Path) -> None:
    task, subject = load(
        save(tmp_path, [{"text": "a", "x": float("nan")}, {"text": "b", "x": 1.5}], ".parquet"), labels=("x",)
    )
    assert task.labels(subject.encode("a")) == {"x": None} and task.labels(subject.encode("b")) == {"x": "1.5"}


def test_the_prior_is_the_share_of_rows(tmp_path: Path) -> None:
    task, subject = load(save(tmp_path, ROWS, ".jsonl"))
    support = dict(task.enumerate())
    assert support == {
        tuple(subject.encode("the cat sat")): 0.25,
        tuple(subject.encode("the owl sat")): 0.5,
        tuple(subject.encode("nobody sat")): 0.25,
    }
    assert all(task.log_prior(tokens) == math.log(probability) for tokens, probability in support.items())
    assert task.log_prior(subject.encode("the dog sat")) == -math.inf


def test_draws_are_rows_without_replacement(tmp_path: Path) -> None:
    task, subject = load(save(tmp_path, ROWS, ".jsonl"))
    everything = Counter(task.draw(4, np.random.default_rng(0)))
    assert {subject.decode(tokens): n for tokens, n in everything.items()} == {
        "the cat sat": 1, "the owl sat": 2, "nobody sat": 1
    }  # fmt: skip
    first = Counter(subject.decode(task.draw(1, np.random.default_rng(seed))[0]) for seed in range(400))
    assert first["the owl sat"] == pytest.approx(200, abs=40) and first["the cat sat"] == pytest.approx(100, abs=35)
    assert task.draw(3, np.random.default_rng(5)) == task.draw(3, np.random.default_rng(5))
    with refuses(given=5, allowed=(4, 3), remedy=True):
        task.draw(5, np.random.default_rng(0))


def test_long_texts_are_cut_to_their_first_tokens(tmp_path: Path) -> None:
    rows = [{"text": "one two three four", "x": "a"}, {"text": "one two", "x": "a"}, {"text": "one", "x": "b"}]
    task, subject = load(save(tmp_path, rows, ".jsonl"), max_tokens=2)
    assert (
        task.reading.shortened == 1
        and "1 of 3 texts" in (task.reading.cut or "")
        and "token 2" in task.reading.notes[1]
    )
    assert load(save(tmp_path, rows, ".jsonl"), max_tokens=4)[0].reading.cut is None
    assert dict(task.enumerate()) == {
        tuple(subject.encode("one two")): 2 / 3,
        tuple(subject.encode("one")): 1 / 3,
    }
    assert task.labels(subject.encode("one two")) == {"x": "a"}


def test_a_text_is_no_longer_than_the_model_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, [{"text": "one two three four"}, {"text": "one"}], ".jsonl")
    monkeypatch.setattr(WordSubject, "longest", len(WordSubject().prefix) + 2, raising=False)
    task, subject = load(path)
    assert inputs(task, subject) == ["one two", "one"]
    assert (task.reading.shortened, task.reading.max_tokens) == (1, 2)


def test_a_text_file_has_one_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffà la carte\r\n\none\u2028two\nlast".encode())
    task, subject = load(path)
    assert [subject.decode(tokens) for tokens, _ in task.enumerate()] == ["à la carte", "one\u2028two", "last"]
    assert (task.features, task.reading.blank, task.labels(subject.encode("last"))) == ((), 1, {})


@pytest.mark.parametrize(
    ("name", "content", "settings", "values"),
    [
        (
            "texts.docx",
            b"a,b",
            {},
            {"given": "texts.docx", "allowed": ".txt, .csv, .tsv, .jsonl, .ndjson, .json, .parquet"},
        ),
        ("texts.parquet.gz", b"a,b", {}, {"given": "texts.parquet.gz"}),
        ("texts.jsonl.gz", b"not packed", {}, {"given": "texts.jsonl.gz"}),
        ("texts.csv", b"", {}, {"given": "texts.csv"}),
        ("texts.csv", b"text,x\n", {}, {"given": "texts.csv"}),
        ("texts.csv", b"body,x\na,1\n", {}, {"given": "text of", "allowed": "body, x"}),
        ("texts.csv", b"text,x,x\na,1,2\n", {}, {"given": "'x'"}),
        ("texts.csv", b"text,x\na,1\nb,2,3\n", {}, {"given": ("line 3", "3 cells"), "allowed": "2: text, x"}),
        ("texts.csv", b"text,x\na\n", {}, {"given": ("line 2", "1 cells"), "allowed": "2"}),
        ("texts.csv", b'text,x\n"a,1\nb,2\n', {}, {"given": "line 2", "remedy": "quotes"}),
        ("texts.csv", b"text,x\na,1\nb\xff,2\n", {}, {"given": "line 3", "remedy": "UTF-8"}),
        ("texts.json", b'[{"text": "a"}, 3]', {}, {"given": "item 2: 3", "allowed": '{"text":'}),
        ("texts.json", b'[{"text": "a"}, ]', {}, {"given": "texts.json", "allowed": "an array of objects"}),
        ("texts.json", b"[]", {}, {"given": "texts.json"}),
        ("texts.txt", b"", {}, {"given": "texts.txt"}),
        ("texts.jsonl", b"", {}, {"given": "texts.jsonl"}),
        ("texts.txt", b" \n\n", {}, {"given": "texts.txt: 2"}),
        ("texts.txt", b"good\nb\xe9te\n", {}, {"given": ("line 2", "byte 6"), "remedy": "UTF-8"}),
        ("texts.jsonl", b'{"text": "a"}\n{"text": "b\xff"}\n', {}, {"given": "line 2", "remedy": "UTF-8"}),
        ("texts.jsonl", b'{"text": "a"}\n{"text": \n', {}, {"given": "line 2: Expecting"}),
        ("texts.jsonl", b'"a"\n', {}, {"given": "line 1", "allowed": '{"text":'}),
        ("texts.jsonl", b'{"body": "a", "x": 1}\n', {}, {"given": "text of", "allowed": "body, x"}),
        ("texts.jsonl", b'{"text": "a", "x": 1}\n', {"labels": ("y",)}, {"given": "y of", "allowed": "text, x"}),
        ("texts.txt", b"a\n", {"labels": ("y",)}, {"given": "y of", "allowed": "text"}),
        ("texts.jsonl", b'{"text": "a", "x": 1}\n', {"labels": ("x", "x")}, {"given": "x, x"}),
        ("texts.jsonl", b'{"text": "a", "x": 1}\n', {"labels": ("text",)}, {"given": "text, text"}),
        ("texts.jsonl", b'{"text": "a"}\n{"text": 3}\n', {}, {"given": "line 2: 3"}),
        (
            "texts.jsonl",
            b'{"text": "a", "x": [1]}\n',
            {"labels": ("x",)},
            {"given": "x = [1]", "remedy": "labels"},
        ),
        ("texts.parquet", b"not parquet at all", {}, {"given": "texts.parquet"}),
    ],
)
def test_refusals(tmp_path: Path, name: str, content: bytes, settings: dict[str, Any], values: dict) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with refuses(**values):
        load(path, **settings)


def test_a_missing_file_and_a_column_of_numbers_are_refused(tmp_path: Path) -> None:
    with refuses(given=tmp_path / "nowhere.txt"):
        load(tmp_path / "nowhere.txt")
    with refuses(given="row 1: 7"):
        load(save(tmp_path, [{"text": 7}], ".parquet"))


# Positions and conversations


def inputs(task: Texts, subject: WordSubject) -> list[str]:
    return [subject.decode(tokens) for tokens, _ in task.enumerate()]


def test_a_position_cuts_every_text(tmp_path: Path) -> None:
    path = save(tmp_path, ROWS[:2], ".jsonl")
    for position, expected in (
        (0, ["the"]),
        (-2, ["the cat", "the owl"]),
        ("the", ["the"]),
        ("last", ["the cat sat", "the owl sat"]),
    ):
        task, subject = load(path, position=position)
        assert inputs(task, subject) == expected and task.cut == f"position {position}"


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_column_says_where_each_text_is_read(tmp_path: Path, suffix: str) -> None:
    words = ["cat", "the owl", None, "last"]
    rows = [{"text": "the cat and the owl", "at": at, "x": at} for at in words]
    task, subject = load(save(tmp_path, rows, suffix), position_column="at", labels=("x",))
    assert inputs(task, subject) == ["the cat", "the cat and the owl"] and task.cut == "the position in column at"
    assert task.features == ("x",) and task.labels(subject.encode("the cat")) == {"x": "cat"}
    numbers = [{"text": "a b c", "at": at} for at in (0.0, -1.0, float("nan"))]
    task, subject = load(save(tmp_path, numbers, suffix), position_column="at")
    assert inputs(task, subject) == ["a", "a b c"] and task.features == ()


def test_of_a_long_text_a_position_keeps_the_last_tokens_before_it(tmp_path: Path) -> None:
    path = save(tmp_path, [{"text": "one two three four five"}], ".jsonl")
    task, subject = load(path, max_tokens=2, position="four")
    assert inputs(task, subject) == [" three four"] and task.reading.shortened == 1
    assert "last 2 tokens before" in (task.reading.cut or "")
    task, subject = load(path, max_tokens=2)
    assert inputs(task, subject) == ["one two"]


def test_a_conversation_is_read_by_the_template_and_at_a_turn(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "who sat"}, {"role": "assistant", "content": "the cat"}]
    for suffix in (".jsonl", ".parquet"):
        path = save(tmp_path, [{"messages": talk, "x": "a"}, {"messages": talk[:1], "x": "a"}], suffix)
        task, subject = load(path, column="messages")
        assert inputs(task, subject) == ["user: who sat\nassistant: the cat\n", "user: who sat\nassistant:"]
        assert task.features == ("x",)
        task, subject = load(path, column="messages", position="user:0")
        assert inputs(task, subject) == ["user: who sat"]


@pytest.mark.parametrize(
    ("row", "settings", "values"),
    [
        ({"text": "the cat the"}, {"position": "the"}, ("line 1", "2 times", "'the'")),
        ({"text": "the cat"}, {"position": 2}, ("line 1", "given:   2", "0 to 1")),
        ({"text": "the cat", "at": 1.5}, {"position_column": "at"}, ("line 1: at = 1.5", "last")),
        ({"text": "the cat", "at": True}, {"position_column": "at"}, ("line 1: at = True", "last")),
        ({"text": "the cat", "at": [1]}, {"position_column": "at"}, ("line 1: at = [1]", "last")),
        ({"text": "the cat"}, {"position_column": "at"}, ("at of", "allowed: text")),
        ({"text": "a", "at": 0}, {"position_column": "at", "labels": ("at",)}, ("at, at",)),
        ({"text": ["a"]}, {}, ("line 1", "message 0: 'a'")),
        ({"text": [{"role": "user", "content": "a"}]}, {"position": "tool:0"}, ("line 1", "given:   tool:0", "user")),
    ],
)
def test_positions_that_cannot_be_read(tmp_path: Path, row: dict, settings: dict[str, Any], values: tuple) -> None:
    with refuses(*values):
        load(save(tmp_path, [row], ".jsonl"), **settings)


# Data sets


def stored(folder: Path, kind: str) -> str:
    """The rows as a data set of one of the three kinds of folder."""
    data = datasets.Dataset.from_list(ROWS)
    if kind == "saved":
        data.save_to_disk(folder / kind)
    elif kind == "splits":
        datasets.DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(folder / kind)
    else:
        (folder / kind).mkdir()
        data.to_parquet(folder / kind / "train.parquet")
    return str(folder / kind)


@pytest.mark.parametrize("kind", ["saved", "splits", "files"])
def test_a_data_set_is_the_same_task_as_its_rows_in_a_file(tmp_path: Path, kind: str) -> None:
    subject = WordSubject()
    task = Texts(TextsConfig(dataset=stored(tmp_path, kind)), subject)
    same, _ = load(save(tmp_path, ROWS, ".jsonl"))
    assert (task.features, task.reading) == (same.features, same.reading)
    assert inputs(task, subject) == ["the cat sat", "the owl sat", "nobody sat"]
    assert task.labels(subject.encode("the cat sat")) == {"animal": "cat", "legs": "4", "wild": "False"}


def test_a_split_and_a_limit_are_kept_to(tmp_path: Path) -> None:
    subject = WordSubject()
    assert Texts(TextsConfig(dataset=stored(tmp_path, "splits"), split="test"), subject).rows == 1
    assert load(save(tmp_path, ROWS, ".jsonl"), limit=2)[0].rows == 2


def test_a_stream_is_read_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def endless():
        for number in range(10**9):
            taken.append(number)
            yield {"text": f"word {number}"}

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **options: endless() if options["streaming"] else None)
    assert Texts(TextsConfig(dataset="some/endless", limit=3), WordSubject()).rows == 3
    assert len(taken) == 3


def test_a_data_set_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking():
        yield {"text": "a"}
        raise ConnectionError("connection lost")

    datasets.Dataset.from_dict({"text": []}).save_to_disk(tmp_path / "empty")
    for name in ("none", "empty"):
        with refuses(given=(f"{tmp_path / name}", "'train'"), allowed="Hugging Face"):
            Texts(TextsConfig(dataset=str(tmp_path / name)), WordSubject())
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: breaking())
    with refuses(given=("some/data", "connection lost")):
        Texts(TextsConfig(dataset="some/data"), WordSubject())
    monkeypatch.setitem(sys.modules, "datasets", None)
    with refuses("datasets", given="some/data", remedy=install("datasets")):
        Texts(TextsConfig(dataset="some/data"), WordSubject())


def test_the_config_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    adapter = TypeAdapter(TaskSection)
    path = save(tmp_path, ROWS, ".jsonl")
    config = adapter.validate_python({"name": "texts", "path": str(path), "labels": ["animal"]})
    assert isinstance(load_task(config, WordSubject()), Texts)
    for wrong in ({"cut": "END"}, {"max_tokens": 0}, {"name": "own"}):
        with pytest.raises(ValidationError):
            adapter.validate_python({"name": "texts", "path": str(path)} | wrong)
    assert all(field.description for field in TextsConfig.model_fields.values())
