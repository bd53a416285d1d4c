"""A user's features: each form of a config line from collection to the scores, and each way to get one wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_tokenizer import WordSubject
from refusals import check, printed, refuses
from small_subject import World, call, config_text

from inversescope.config import RunConfig
from inversescope.features.feature_config import FeatureConfig, reader
from inversescope.features.on_task import add_features
from inversescope.inverter import Inverter
from inversescope.run.run import Run
from inversescope.tasks import IOIConfig, Task, TextsConfig, load_task

FUNCTION = """\
from dataclasses import dataclass

@dataclass
class Seen:
    text: str

def ending(text):
    return Seen(text).text.split()[-1] if len(text) > 20 else None

def crossed(text):
    raise LookupError("no such topic")

def numbered(text):
    return [len(text)]
"""

FEATURES = """\
[features]
long = { expression = "words > 5", undecided = "words < 2" }
afterwards = { regex = "^(Then|When)" }
mentions = { regex = "a lot of" }
ending = { function = "mine.py:ending" }
giver = { column = "subject" }

[collect]"""


def expected(text: str) -> dict[str, str | None]:
    words = text.replace(",", " ").replace(".", " ").split()
    return {
        "long": None if len(words) < 2 else "yes" if len(words) > 5 else "no",
        "afterwards": next((start for start in ("Then", "When") if text.startswith(start)), None),
        "mentions": "yes" if "a lot of" in text else "no",
        "ending": text.split()[-1] if len(text) > 20 else None,
    }


def test_every_form_from_collection_to_the_scores(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FUNCTION)
    Path("run.toml").write_text(config_text(world.model, steps=5).replace("[collect]", FEATURES))
    assert call("run", "run.toml", "--out", "run", "--until", "score", "--allow-code") == 0
    for table in ("collect/inputs.parquet", "verify/samples.parquet"):
        rows = pq.read_table(Path("run", table)).to_pylist()
        assert "label.subject" not in rows[0] and "label.indirect object" in rows[0]
        plain = [row for row in rows if row["text"] and "‹" not in row["text"]]  # special tokens have other signs
        assert len(plain) > 10
        for row in plain:
            assert expected(row["text"]) == {name: row[f"label.{name}"] for name in expected("")}, row["text"]
    own = {row["text"]: row["label.subject"] for row in pq.read_table(world.run / "collect/inputs.parquet").to_pylist()}
    named = pq.read_table(Path("run/collect/inputs.parquet")).to_pylist()
    assert [row["label.giver"] for row in named] == [own[row["text"]] for row in named]
    scored = {row["feature"] for row in pq.read_table(Path("run/score/results.parquet")).to_pylist()}
    assert {"giver", "long", "mentions", "ending", "afterwards"} <= scored
    made_by = json.loads(Path("run/provenance.json").read_text())
    assert list(made_by["features"]) == ["ending"]
    # A run is not continued with another function.
    Path("mine.py").write_text(FUNCTION + "\n# another\n")
    with refuses("'ending'", given="fingerprint", allowed="fingerprint", remedy=True):
        _ = Run.open(Path("run")).task


@pytest.mark.parametrize(
    ("value", "label"),
    [(np.bool_(True), "yes"), (np.int64(2), "2"), (np.str_("a"), "a"), ("", None), (" ", None), (None, None), (0, "0")],
)
def test_what_a_function_gives_is_a_label_by_its_value(value: object, label: str | None):
    assert reader("f", lambda text: value)("some text", {}) == label


def test_features_in_python(world: World):
    found = Inverter.load(world.run, features={"long": "words > 5", "end": lambda text: text[-1:] or None})
    source = found.run.store.inputs("target").texts[0]
    inversion = found.invert(source, site="resid_post.1", n=8, bandwidth=0.5)
    assert inversion.labels["long"] == "yes" and inversion.labels["end"] == source[-1]
    assert inversion.labels["subject"] == found.run.store.inputs("target").labels["subject"][0]
    ended = [sample for sample in inversion.samples if sample.text]
    assert len(ended) >= 2
    assert [sample.labels["end"] for sample in ended] == [sample.text[-1] for sample in ended]
    with refuses(given="subject", remedy=True):
        Inverter.load(world.run, features={"subject": "words"})


def task_with(**features: dict[str, str]) -> Task:
    subject = WordSubject()
    task = load_task(IOIConfig(names=3), subject)
    return add_features(task, {name: FeatureConfig(**each) for name, each in features.items()}, subject)


def test_the_rest_of_a_task_is_as_it_was(tmp_path: Path):
    task = task_with(long={"expression": "words > 3"})
    assert isinstance(task, Task)
    assert (task.name, task.cut, task.rows) == ("ioi", "END", None)
    inputs = dict(task.enumerate())
    assert sum(inputs.values()) == pytest.approx(1)
    assert task.labels(next(iter(inputs)))["long"] == "yes"


def test_a_label_column_has_one_name_and_an_undecided_case(tmp_path: Path):
    texts = tmp_path / "texts.jsonl"
    rows = [("so be it", "calm", 1), ("no", "calm", 2), ("why not", None, 2)]
    texts.write_text("\n".join(json.dumps({"text": t, "mood": mood, "n": n}) for t, mood, n in rows))
    subject = WordSubject()
    own = load_task(TextsConfig(path=texts), subject)
    feature = FeatureConfig(column="mood", undecided="words < 2")
    task = add_features(own, {"tone": feature}, subject)
    assert task.features == ("n", "tone")
    assert [task.labels(subject.encode(text))["tone"] for text, _, _ in rows] == ["calm", None, None]
    assert add_features(own, {"mood": feature}, subject).features == ("n", "mood")
    with refuses(given="temper", allowed="mood, n", remedy="labels"):
        add_features(own, {"tone": FeatureConfig(column="temper")}, subject)


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("a = { expression = 'wordz > 2' }", ("features.a.expression", "wordz", "first_word")),
        ("a = { regex = '(' }", ("features.a.regex", "'('")),
        ("a = { regex = 'b', column = 'b' }", ("features.a", "expression", 2)),
        ("a = { }", ("features.a", 0)),
        ("a = { expression = 'words', undecided = 'words' }", ("features.a.undecided", "yes or no")),
        ("a = { regexp = 'b' }", ("features.a.regexp", "expression, regex")),
        ("a = 'words'", ("features.a",)),
    ],
)
def test_a_line_that_cannot_be_used_is_refused_with_the_config(line: str, values: tuple):
    with refuses(*values):
        RunConfig.parse(f"[features]\n{line}", "my.toml")


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        ("mine.py:absent", ("mine.py:absent",)),
        ("mine.py", ("'mine.py'", "package.module:name")),
        ("other.py:f", ("other.py", "No such file")),
        ("no_such_module:f", ("'no_such_module:f'", "package.module:name")),
    ],
)
def test_a_feature_that_cannot_be_loaded_leaves_no_run(
    feature: str, values: tuple[str, ...], world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FUNCTION)
    line = f'[features]\na = {{ function = "{feature}" }}\n\n[collect]'
    text = config_text(world.model).replace("[collect]", line)
    with refuses(*values):
        Run.create(Path("run"), text, allow_code=True)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("name", "values"),
    [("crossed", ("a", "'Then", "LookupError: no such topic", "mine.py:11")), ("numbered", ("a", "'Then", "None"))],
)
def test_a_function_that_fails_names_the_input_and_ends_with_2(
    name: str,
    values: tuple[str, ...],
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FUNCTION)
    line = f"[features]\na = {{ function = 'mine.py:{name}' }}\n\n[collect]"
    Path("run.toml").write_text(config_text(world.model).replace("[collect]", line))
    assert call("run", "run.toml", "--out", "run", "--allow-code") == 2
    check(printed(capsys.readouterr().err), *values)
