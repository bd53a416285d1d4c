"""Own texts as a task: what is read from each kind of file, the empirical prior, and every refusal."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_tokenizer import WordSubject
from pydantic import TypeAdapter, ValidationError

from inversescope.errors import UserError
from inversescope.tasks import TaskConfig, Texts, TextsConfig, load_task

ROWS: list[dict[str, Any]] = [
    {"text": "the cat sat", "animal": "cat", "legs": 4, "wild": False},
    {"text": "the owl sat", "animal": "owl", "legs": 2, "wild": True},
    {"text": "the owl sat", "animal": "bird", "legs": 2, "wild": True},
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


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_label_columns_are_features(tmp_path: Path, suffix: str) -> None:
    task, subject = load(save(tmp_path, ROWS, suffix))
    assert task.features == ("animal", "legs", "wild") and task.cut == "end of text"
    assert task.labels(subject.encode("the cat sat")) == {"animal": "cat", "legs": "4", "wild": "False"}
    assert task.labels(subject.encode("nobody sat")) == {"animal": None, "legs": "0", "wild": None}
    # The same text with two labels is undecided on that feature only.
    assert task.labels(subject.encode("the owl sat")) == {"animal": None, "legs": "2", "wild": "True"}
    assert task.labels(subject.encode("the owl")) == {"animal": None, "legs": None, "wild": None}
    assert (task.blank, task.shortened) == (1, 0)
    assert task.accuracy(subject, 10, np.random.default_rng(0)) is None


def test_chosen_columns(tmp_path: Path) -> None:
    rows = [{"text": row["animal"], "said": row["text"], "extra": [1]} for row in ROWS[:2]]
    task, subject = load(save(tmp_path, rows, ".jsonl"), column="said", labels=("text",))
    assert task.features == ("text",) and task.labels(subject.encode("the owl sat")) == {"text": "owl"}


def test_nan_in_a_numeric_column_is_undecided(tmp_path: Path) -> None:
    task, subject = load(save(tmp_path, [{"text": "a", "x": float("nan")}, {"text": "b", "x": 1.5}], ".parquet"))
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
    with pytest.raises(UserError, match=r"given:   5\n.*up to 4 \(3 of them distinct\)"):
        task.draw(5, np.random.default_rng(0))


def test_long_texts_are_cut_to_their_first_tokens(tmp_path: Path) -> None:
    rows = [{"text": "one two three four", "x": "a"}, {"text": "one two", "x": "a"}, {"text": "one", "x": "b"}]
    task, subject = load(save(tmp_path, rows, ".jsonl"), max_tokens=2)
    assert task.shortened == 1
    assert dict(task.enumerate()) == {
        tuple(subject.encode("one two")): 2 / 3,
        tuple(subject.encode("one")): 1 / 3,
    }
    assert task.labels(subject.encode("one two")) == {"x": "a"}


def test_a_text_file_has_one_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffà la carte\r\n\none\u2028two\nlast".encode())
    task, subject = load(path)
    assert [subject.decode(tokens) for tokens, _ in task.enumerate()] == ["à la carte", "one\u2028two", "last"]
    assert (task.features, task.blank, task.labels(subject.encode("last"))) == ((), 1, {})


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("texts.csv", b"a,b", {}, r"this kind of file[\s\S]*\.txt, \.jsonl, \.parquet"),
        ("texts.txt", b"", {}, "the file is empty"),
        ("texts.jsonl", b"", {}, "the file is empty"),
        ("texts.txt", b" \n\n", {}, r"holds no text[\s\S]*2 blank rows"),
        ("texts.txt", b"good\nb\xe9te\n", {}, r"not UTF-8[\s\S]*line 2, byte 6 of the file"),
        ("texts.jsonl", b'{"text": "a"}\n{"text": "b\xff"}\n', {}, r"not UTF-8[\s\S]*line 2"),
        ("texts.jsonl", b'{"text": "a"}\n{"text": \n', {}, r"not valid JSON[\s\S]*line 2"),
        ("texts.jsonl", b'"a"\n', {}, r"not a JSON object[\s\S]*line 1"),
        ("texts.jsonl", b'{"body": "a", "x": 1}\n', {}, r"no such column[\s\S]*text of[\s\S]*allowed: body, x"),
        ("texts.jsonl", b'{"text": "a", "x": 1}\n', {"labels": ("y",)}, r"no such column[\s\S]*y of[\s\S]*text, x"),
        ("texts.txt", b"a\n", {"labels": ("y",)}, r"no such column[\s\S]*allowed: text"),
        ("texts.jsonl", b'{"text": "a", "x": 1}\n', {"labels": ("x", "x")}, "named twice"),
        ("texts.jsonl", b'{"text": "a", "x": 1}\n', {"labels": ("text",)}, "is the text column"),
        ("texts.jsonl", b'{"text": "a"}\n{"text": 3}\n', {}, r"not text[\s\S]*line 2: 3"),
        ("texts.jsonl", b'{"text": "a", "x": [1]}\n', {}, r"not a label[\s\S]*line 1: x = \[1\]"),
        ("texts.parquet", b"not parquet at all", {}, "not readable as Parquet"),
    ],
)
def test_refusals(tmp_path: Path, name: str, content: bytes, settings: dict[str, Any], message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load(path, **settings)


def test_a_missing_file_and_a_column_of_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "nowhere.txt")
    with pytest.raises(UserError, match=r"not text[\s\S]*row 1: 7"):
        load(save(tmp_path, [{"text": 7}], ".parquet"))


def test_the_config_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    adapter = TypeAdapter(TaskConfig)
    path = save(tmp_path, ROWS, ".jsonl")
    config = adapter.validate_python({"name": "texts", "path": str(path), "labels": ["animal"]})
    assert isinstance(load_task(config, WordSubject()), Texts)
    for wrong in ({"cut": "END"}, {"max_tokens": 0}, {"name": "own"}):
        with pytest.raises(ValidationError):
            adapter.validate_python({"name": "texts", "path": str(path)} | wrong)
    assert all(field.description for field in TextsConfig.model_fields.values())
