"""A run knows its prior: what its inputs and labels come from may not change, and its own inputs keep their labels."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import check, printed, refuses
from small_subject import World, call, config_text
from toy_world import ToyTask

from inversescope import files
from inversescope.collect.inputs import Inputs
from inversescope.collect.store import Store
from inversescope.run import prior
from inversescope.subject import Subject
from inversescope.subject.tokenizer import DATE
from inversescope.tasks import Labels, TextsConfig
from inversescope.tasks.ravel import RavelConfig

CITIES = ("Paris", "Lima", "Rome", "Oslo")
TEXTS = [f"{start} {city} is in" for start in ("The city of", "Near", "Over", "To", "At", "From") for city in CITIES]


def write(path: Path, side: Callable[[int], str]) -> Path:
    path.write_text("".join(json.dumps({"text": text, "side": side(i)}) + "\n" for i, text in enumerate(TEXTS)))
    return path


@pytest.fixture
def texts(world: World, tmp_path: Path) -> Path:
    """A config of a run on own texts, and their file beside it."""
    path = write(tmp_path / "texts.jsonl", lambda i: "left" if i % 2 else "right")
    text = config_text(world.model, steps=4)
    start, end = text.index("[task]"), text.index("[collect]")
    text = text[:start] + f'[task]\nname = "texts"\npath = "{path}"\n\n' + text[end:]
    for old, new in (("train = 30", "train = 10"), ("pool = 24", "pool = 8"), ("targets = 4", "targets = 3")):
        text = text.replace(old, new)
    (tmp_path / "texts.toml").write_text(text)
    return tmp_path / "texts.toml"


def test_a_changed_data_file_is_refused_until_it_is_as_it_was(texts: Path, tmp_path: Path, capsys):
    run, data = tmp_path / "run", tmp_path / "texts.jsonl"
    assert call("run", texts, "--out", run, "--until", "reference") == 0
    before = data.read_bytes()
    write(data, lambda i: "right" if i % 2 else "left")
    larger = tmp_path / "larger.toml"
    larger.write_text(texts.read_text().replace("pool = 8", "pool = 10"))
    capsys.readouterr()
    for command in (("run", texts, "--out", run, "--resume"), ("step", run, "train")):
        assert call(*command) == 2
        check(printed(capsys.readouterr().err), "task.path", given="fingerprint", allowed="fingerprint", remedy=True)
    data.unlink()
    assert call("step", run, "train") == 2
    check(printed(capsys.readouterr().err), "task.path", given="no such file", remedy=True)
    data.write_bytes(before)
    assert call("run", texts, "--out", run, "--resume", "--until", "train") == 0
    assert call("invert", TEXTS[0], "--site", "resid_post.1", "--run", run, "-b", "0.5", "-n", "2") == 0
    write(data, lambda i: "right" if i % 2 else "left")
    assert call("invert", TEXTS[0], "--site", "resid_post.1", "--run", run, "-b", "0.5", "-n", "2") == 2


def test_an_extension_is_refused_too(texts: Path, tmp_path: Path, capsys):
    run = tmp_path / "run"
    assert call("run", texts, "--out", run, "--until", "collect") == 0
    texts.write_text(texts.read_text().replace("pool = 8", "pool = 10"))
    write(tmp_path / "texts.jsonl", lambda i: "left")
    capsys.readouterr()
    assert call("extend", run, texts) == 2
    check(printed(capsys.readouterr().err), "task.path", remedy=True)
    write(tmp_path / "texts.jsonl", lambda i: "left" if i % 2 else "right")
    assert call("extend", run, texts) == call("step", run, "collect") == 0


# Parts of the fingerprint


@pytest.fixture
def subject(world: World) -> Subject:
    return Subject.load(str(world.model), device="cpu", dtype="float32")


def of(subject: Subject) -> Any:
    """Its tokenizer, of transformers."""
    return subject.tokenizer._tokenizer


def test_each_part_of_the_prior_has_its_hash(tmp_path: Path, subject: Subject, world: World):
    data = write(tmp_path / "a.jsonl", str)
    first = prior.sources(TextsConfig(path=data), subject)
    other = Subject.load(str(world.model), device="cpu", dtype="float32")
    assert first == prior.sources(TextsConfig(path=data), other) and {"task.path", "tokenizer"} == first.keys()
    prior.require_same(first, first)
    of(other).chat_template = "{{ messages }}"
    with refuses("chat template", allowed=True, remedy=True):
        prior.require_same(prior.sources(TextsConfig(path=data), other), first)
    write(data, lambda i: "x")
    with refuses("task.path", allowed=True, remedy=True):
        prior.require_same(prior.sources(TextsConfig(path=data), subject), first)


def test_a_folder_is_all_of_its_files(tmp_path: Path, subject: Subject):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    config = RavelConfig(folder=tmp_path)
    first = prior.sources(config, subject)
    assert prior.sources(config, subject) == first
    (tmp_path / "b.json").write_text("[]")
    assert prior.sources(config, subject)["task.folder"] != first["task.folder"]
    (tmp_path / "b.json").write_text("{}")
    (tmp_path / "b.json").rename(tmp_path / "c.json")
    assert prior.sources(config, subject)["task.folder"] != first["task.folder"]


def test_a_tokenizer_is_what_it_makes_of_texts(subject: Subject):
    first = subject.tokenizer.fingerprints()
    of(subject)("Then, Michael", truncation=True, max_length=2, padding="max_length")  # which it remembers
    assert subject.tokenizer.fingerprints() == first
    of(subject).add_tokens(["Michael and"])
    assert subject.tokenizer.fingerprints() != first


class Rows(ToyTask):
    fingerprint = "a" * 64


def test_rows_of_a_data_set_have_a_hash_without_a_file():
    assert prior.content(Rows()) == {prior.CONTENT: "a" * 64} and prior.content(ToyTask()) == {}


def test_a_template_that_writes_todays_date_writes_that_of_the_run(subject: Subject):
    of(subject).chat_template = "  {{ strftime_now('%-d %B %Y') }}{% if true %}\n: {{ messages[0].content }}{% endif %}"
    asked = [{"role": "user", "content": "hello"}]
    assert subject.converse(asked) == f"  {DATE.strftime('%-d %B %Y')}: hello"
    subject.tokenizer.date = date(2031, 5, 1)
    assert subject.converse(asked) == "  1 May 2031: hello"
    of(subject).chat_template = "{{ messages[0].content }}"
    assert subject.converse(asked) == "hello"


def test_the_date_and_the_first_tokens_are_kept_with_the_run(world: World, subject: Subject):
    kept = files.read_sealed(world.run / "provenance.json")
    assert kept["prior"]["date"] == DATE.isoformat()
    assert kept["subject"]["prefix"] == list(subject.prefix) == [1]


# The run's own inputs


class OwnInputs(Store):
    """The pool is two inputs, with these labels."""

    def __init__(self, folder: Path, labels: list[str | None], enumerated: Any = None):
        super().__init__(folder)
        self.pool = Inputs([(1, 2), (1, 3)], ["a", "b"], {"side": labels}, enumerated)

    @lru_cache  # noqa: B019 - as the method that it stands for
    def inputs(self, split: str) -> Inputs:
        return self.pool if split == "pool" else Inputs([], [], {"side": []})


class Right(ToyTask):
    """Every input is right, and as likely as the others; one is not in the prior."""

    features = ("side",)

    def __init__(self, outside: tuple[int, ...] = ()):
        self.outside = outside

    def labels(self, tokens: Sequence[int]) -> Labels:
        return {"side": "right"}

    def log_prior(self, tokens: Sequence[int]) -> float:
        return -math.inf if tuple(tokens) == self.outside else math.log(0.5)


def test_own_inputs_keep_what_the_run_wrote(tmp_path: Path):
    files.finish(tmp_path, [])
    task = prior._WithOwnInputs(Right(), OwnInputs(tmp_path, ["left", None], np.array([0.2, 0.8])))
    assert [task.labels(x)["side"] for x in ((1, 2), (1, 3), (1, 4))] == ["left", None, "right"]
    assert [round(math.exp(task.log_prior(x)), 6) for x in ((1, 2), (1, 3), (1, 4))] == [0.2, 0.8, 0.5]
    assert task.features == ("side",)


def test_before_it_is_collected_a_run_has_no_own_inputs(tmp_path: Path):
    task = prior.with_own_inputs(Right(), OwnInputs(tmp_path, ["left", "left"]))
    assert task.labels((1, 2)) == {"side": "right"}


@pytest.mark.parametrize(
    ("task", "labels", "given"),
    [(Right(), ["right", "left"], "side = 'right'"), (Right((1, 3)), ["right", "right"], "not in the prior")],
)
def test_an_input_that_left_its_prior_is_refused(tmp_path: Path, task: Right, labels: list[str | None], given: str):
    files.finish(tmp_path, [])
    with refuses(given=("b", given), allowed=True, remedy=True):
        prior.with_own_inputs(task, OwnInputs(tmp_path, labels))
    prior.with_own_inputs(Right(), OwnInputs(tmp_path, ["right", "right"]))
