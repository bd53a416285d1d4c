"""Windows of documents as a task: the empirical prior, documents kept apart, text in common, and every refusal."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_tokenizer import WordSubject
from pydantic import TypeAdapter, ValidationError
from refusals import refuses

from inversescope.collect.draw_inputs import draw_splits
from inversescope.collect.sizes import sized
from inversescope.config import CollectConfig, RunConfig
from inversescope.tasks import TaskSection, load_task
from inversescope.tasks.corpus import GRAM, Corpus, CorpusConfig
from inversescope.tasks.documents import documents_of_python

WORDS = ("one", "two", "red", "old", "big", "sky", "sea", "owl")
LONG = GRAM + 3


def sentences(document: int, count: int, words: int = 8) -> str:
    """Sentences of one document, which no other document has."""
    rows = itertools.islice(itertools.product(WORDS, repeat=3), count)
    return " ".join(f"The {' '.join(f'{word}{document}' for word in (*row, *['so'] * (words - 4)))}." for row in rows)


def folder_of(path: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return path


def load(path: Path, **settings: Any) -> tuple[Corpus, WordSubject]:
    subject = WordSubject()
    return Corpus(CorpusConfig(path=path, **settings), subject), subject


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    texts = {f"{kind}/{n}.txt": sentences(n, 12) for n, kind in enumerate(["news", "law"] * 10)}
    return load(folder_of(tmp_path, texts), tokens=6)[0]


def test_windows_begin_where_sentences_do(tmp_path: Path):
    text = "First we go. Then she said “No.” And left!\n\nA new paragraph begins here now\n"
    task, subject = load(folder_of(tmp_path, {"a.txt": text}), tokens=4)
    found = {subject.decode(tokens) for tokens, _ in task.enumerate()}
    assert found == {"First we go.", "Then she said ", "And left!\n", "A new paragraph"}
    assert all(len(tokens) == 5 for tokens, _ in task.enumerate()) and task.features == ()


def test_the_prior_is_empirical(corpus: Corpus):
    every = dict(corpus.enumerate())
    assert sum(every.values()) == pytest.approx(1) and len(every) == corpus.reading.windows == 20 * 12
    tokens = next(iter(every))
    assert corpus.log_prior(tokens) == pytest.approx(math.log(every[tokens]))
    assert corpus.log_prior((*tokens[:-1], 10**6)) == -math.inf
    assert sorted(corpus.draw(len(every), np.random.default_rng(0))) == sorted(every)
    assert corpus.labels(tokens)["kind"] in ("news", "law") and corpus.labels(tokens[:-1]) == {"kind": None}
    assert corpus.reading.kinds == {"news": 10, "law": 10}


def test_no_document_is_in_two_splits(corpus: Corpus):
    config = CollectConfig(train=60, pool=60, targets=5)
    splits = draw_splits(config, corpus, np.random.default_rng(3))
    assert {name: len(inputs) for name, inputs in splits.items()} == {"train": 60, "pool": 60, "target": 5}
    documents = {name: [corpus.document(tokens) for tokens in inputs] for name, inputs in splits.items()}
    assert len(set(documents["target"])) == 5, "one position of each document"
    for one, other in itertools.combinations(documents.values(), 2):
        assert not set(one) & set(other)


def test_splits_that_need_more_documents_are_refused(corpus: Corpus):
    with refuses("20 documents"):
        draw_splits(CollectConfig(train=60, pool=60, targets=21), corpus, np.random.default_rng(0))
    with refuses("all"):
        sized(RunConfig(collect=CollectConfig(train="all", pool="all")), corpus, 0)
    open_ = sized(RunConfig.parse("[sample]\nresolutions = [2]", "x"), corpus, 0)
    assert open_.collect.pool == 60 and open_.collect.train == 60 and open_.collect.targets == 5


def test_text_of_another_document_is_left_out_and_listed(tmp_path: Path):
    copied = " ".join(f"w{i % 7}{i}" for i in range(LONG))
    near = " ".join(f"w{i % 7}{i}" for i in range(GRAM - 1)) + " but here another end stands"
    texts = {
        "a.txt": f"{sentences(0, 3, LONG)} {copied}.",
        "b.txt": f"{copied}. {sentences(1, 3, LONG)}",
        "c.txt": f"{near}. {sentences(2, 3, LONG)}",
    }
    task, subject = load(folder_of(tmp_path, texts), tokens=LONG)
    found = {subject.decode(tokens) for tokens, _ in task.enumerate()}
    assert task.reading.repeated == 2 and task.reading.overlaps == (("a.txt", "b.txt", LONG - GRAM + 1),)
    assert not any(text.startswith(copied[:40]) and "but" not in text for text in found)
    assert any("but here" in text for text in found), "twelve tokens in common are no overlap"


def test_short_and_empty_documents_are_counted(tmp_path: Path):
    task, _ = load(folder_of(tmp_path, {"a.txt": "", "b.md": "One", "c.rst": sentences(1, 4)}), tokens=6)
    assert (task.reading.empty, task.reading.short, task.reading.documents) == (1, 1, 1)
    assert json.loads(json.dumps(task.reading.record()))["notes"] == task.reading.notes


def test_rows_of_a_file_are_documents(tmp_path: Path):
    rows = [{"body": sentences(n, 5), "topic": topic} for n, topic in enumerate(["a", "b", ""])]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task, _ = load(path, column="body", kind="topic", tokens=6)
    labels = {task.document(tokens): task.labels(tokens)["kind"] for tokens, _ in task.enumerate()}
    assert set(labels.values()) == {"a", "b", None}
    with refuses("text", "body, topic"):
        load(path, tokens=6)


def test_what_cannot_be_read(tmp_path: Path):
    with refuses("nowhere"):
        load(tmp_path / "nowhere")
    with refuses(".txt"):
        load(folder_of(tmp_path / "pictures", {"a.png": "x"}))
    with refuses("short", 1):
        load(folder_of(tmp_path / "short", {"a.txt": "Only this."}))
    (tmp_path / "latin").mkdir()
    (tmp_path / "latin" / "a.txt").write_bytes("Käse".encode("latin-1"))
    with refuses("UTF-8", "a.txt"):
        load(tmp_path / "latin")
    long, subject = folder_of(tmp_path / "long", {"a.txt": sentences(0, 5)}), WordSubject()
    subject.longest = 10  # type: ignore[attr-defined]
    with refuses("task.tokens", 9):
        Corpus(CorpusConfig(path=long), subject)
    for settings in ({"name": "corpus"}, {"name": "corpus", "path": ".", "included": "python"}):
        with pytest.raises(ValidationError):
            TypeAdapter(TaskSection).validate_python(settings)


def test_documents_that_come_with_python():
    documents = list(documents_of_python())
    kinds = [document.kind for document in documents]
    assert {"reference", "docstrings", "code"} == set(kinds) and min(map(kinds.count, set(kinds))) > 20
    source = next(document.text for document in documents if document.kind == "code" and "class" in document.text)
    assert '"""' not in source.splitlines()[0]


def test_a_config_names_it(tmp_path: Path):
    folder_of(tmp_path, {"a.txt": sentences(0, 5)})
    settings = {"name": "corpus", "path": str(tmp_path), "tokens": 6}
    assert isinstance(load_task(TypeAdapter(TaskSection).validate_python(settings), WordSubject()), Corpus)
