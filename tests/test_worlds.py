"""The two worlds of benchmarks/worlds: inputs, probabilities, labels, answers."""

from __future__ import annotations

import math
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from refusals import refuses

from inversescope.config import RunConfig
from inversescope.python_file import allow
from inversescope.subject import Subject
from inversescope.tasks import FileTaskConfig, config_in_file, entries, load_task, registry

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "worlds"
TRAIN = runpy.run_path(str(FOLDER / "train_subject.py"))
SIZES = {"addition": 810_000, "counting": 261_632}
KNOWN = {
    "237+165=": {
        "hundreds of a": "2", "tens of a": "3", "units of a": "7",
        "hundreds of b": "1", "tens of b": "6", "units of b": "5",
        "hundreds added": "3", "tens added": "9", "units added": "12",
        "carry to tens": "1", "carry to hundreds": "1",
        "first digit": "4", "tens of sum": "0", "units of sum": "2",
    },
    "abbabbab|b:": {
        "letter": "b", "count": "5", "count of other": "3", "length": "8",
        "first letter": "a", "last letter": "b", "first is letter": "False",
    },
}  # fmt: skip
ANSWERS = {
    "237+165=": "402", "999+999=": "1998", "abbabbab|b:": "5", "aaaaaaaa|b:": "0", "aaaaaaaaaaaaaaaa|a:": "16",
}  # fmt: skip
CONTRASTS = {"237+165=": ("4", "3"), "990+999=": None, "aabbaabb|a:": None, "abbabbab|b:": ("5", "3")}
STRANGE = ("", "237+165", "037+165=", "237+1652=", "abbabbab|:", "abc|a:", "aaaaaaa|a:", "a" * 17 + "|a:")


@pytest.fixture(autouse=True, scope="module")
def forgetful() -> Iterator[None]:
    """Both tasks are forgotten after these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_ENTRIES", entries())
        yield


def subject(world: str) -> Subject:
    words = TRAIN["tokenizer"](TRAIN["PIECES"][world])
    return Subject.from_model(TRAIN["untrained"](0), tokenizer=words, prefix=(0,), name=world)


def task(world: str, of: Any = None, **settings: int) -> Any:
    given = FileTaskConfig(name=world, file=FOLDER / "tasks.py", **settings)
    allow([given.code])
    return load_task(config_in_file(given).model_validate(given.model_dump()), of or subject(world))


def world_of(text: str) -> str:
    return "addition" if "+" in text else "counting"


@pytest.mark.parametrize("world", SIZES)
def test_the_prior_is_enumerated_and_its_draws_are_in_it(world: str):
    made = task(world)
    prior = dict(made.enumerate())
    assert len(prior) == SIZES[world] and sum(prior.values()) == pytest.approx(1)
    for tokens in made.draw(200, np.random.default_rng(0)):
        assert math.exp(made.log_prior(tokens)) == pytest.approx(prior[tokens])
        assert None not in made.labels(tokens).values()


@pytest.mark.parametrize("world", SIZES)
def test_draws_are_as_frequent_as_their_probability(world: str):
    made = task(world)
    label = "carry to hundreds" if world == "addition" else "length"
    drawn = [made.labels(tokens)[label] for tokens in made.draw(20_000, np.random.default_rng(1))]
    share = np.mean([value == ("1" if world == "addition" else "12") for value in drawn])
    assert share == pytest.approx(0.495 if world == "addition" else 1 / 9, abs=0.012)


@pytest.mark.parametrize("text", KNOWN)
def test_labels(text: str):
    of = subject(world_of(text))
    assert task(world_of(text), of).labels(of.encode(text)) == KNOWN[text]


@pytest.mark.parametrize("text", ANSWERS)
def test_answers(text: str):
    of = subject(world_of(text))
    assert of.decode(task(world_of(text), of).answer(of.encode(text))) == ANSWERS[text]


@pytest.mark.parametrize("text", CONTRASTS)
def test_contrasts(text: str):
    of = subject(world_of(text))
    found = task(world_of(text), of).contrast(of.encode(text))
    assert (found and tuple(of.decode([token]) for token in found)) == CONTRASTS[text]


@pytest.mark.parametrize("text", STRANGE)
@pytest.mark.parametrize("world", SIZES)
def test_other_texts_have_no_labels_and_no_probability(world: str, text: str):
    of = subject(world)
    made, tokens = task(world, of), of.encode(text)
    assert set(made.labels(tokens).values()) == {None} and made.contrast(tokens) is None
    assert made.log_prior(tokens) == -math.inf


@pytest.mark.parametrize("world", SIZES)
def test_accuracy_counts_whole_answers(world: str):
    """One that is right but for a token of every fourth answer, and a model that was not trained."""
    of = subject(world)
    made = task(world, of)

    def logits(rows: list[tuple[int, ...]], sites: list[Any], *, logits: bool) -> Any:
        starts = {x: made.answer(x) for x in made.draw(40, np.random.default_rng(3))}
        wrong = list(starts)[::4]
        best = torch.zeros(len(rows), of.model.config.vocab_size)
        for i, row in enumerate(rows):
            x = next(x for x in starts if row[: len(x)] == x)
            last = len(row) - len(x) == len(starts[x]) - 1
            best[i, 1 if x in wrong and last else starts[x][len(row) - len(x)]] = 1
        return SimpleNamespace(logits=best)

    assert made.accuracy(SimpleNamespace(capture=logits), 40, np.random.default_rng(3)).value == 0.75
    assert made.accuracy(of, 40, np.random.default_rng(3)).value < 0.5


def test_addition_of_smaller_numbers():
    of = subject("addition")
    made = task("addition", of, highest=399)
    assert sum(1 for _ in made.enumerate()) == 90_000
    assert max(int(of.decode(tokens)[:3]) for tokens in made.draw(500, np.random.default_rng(0))) <= 399
    assert math.exp(made.log_prior(of.encode("399+100="))) == pytest.approx(1 / 90_000)
    assert made.log_prior(of.encode("400+100=")) == -math.inf


def test_a_tokenizer_that_joins_digits_is_refused():
    with refuses(given="0123456789", remedy="train_subject"):
        task("addition", subject("counting"))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_configs_are_read(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    config = RunConfig.read(path)
    assert config.task.name == path.stem.removesuffix("_prior")
