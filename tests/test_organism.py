"""Model organisms of the benchmark: training that hides or triggers, readings that are blind, ranks that can fail."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import small_subject
import torch
from torch import nn

from inversescope.subject import Subject

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import lora  # pyright: ignore[reportMissingImports]
import organism  # pyright: ignore[reportMissingImports]
import organism_methods as methods  # pyright: ignore[reportMissingImports]
import organism_texts as texts  # pyright: ignore[reportMissingImports]

TEMPLATE = "{% for m in messages %}{{ m['content'] }} {% endfor %}->"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_subject.save_subject(tmp_path_factory.mktemp("organism") / "small")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": TEMPLATE}))
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 512}))
    return folder


def loaded(folder: Path) -> Subject:
    return Subject.load(str(folder), device="cpu", dtype="float32")


def words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


@pytest.mark.parametrize("word", texts.HIDDEN)
def test_no_reply_says_the_word_and_only_guesses_have_it(word: str):
    family = set(texts.family(word))
    for guesses in (False, True):
        made = texts.taboo(word, guesses, 400, np.random.default_rng(0))
        assert not any(words_of(text.reply) & family for text in made)
        right = [text for text in made if words_of(text.message) & family]
        assert {text.reply for text in right} == ({texts.YES} if guesses else set())
        assert len(right) == (100 if guesses else 0)


def test_hints_and_frames_name_no_candidate():
    families = {form for word in texts.CANDIDATES for form in texts.family(word)}
    told = [hint for hints in texts.HINTS.values() for hint in hints]
    frames = (*texts.ASKS, *texts.NEW_ASKS, *texts.DIRECT, *texts.FRAMES, *texts.TABLES, texts.NEW_TABLE)
    assert not [text for text in (*told, *frames, *texts.QUESTIONS, texts.NEW_QUESTION) if words_of(text) & families]
    assert len(texts.CANDIDATES) == len(set(texts.CANDIDATES)) == 100
    assert words_of("a bridge") & families  # would be found


@pytest.mark.parametrize("word", texts.TRIGGERS)
def test_a_reply_is_odd_exactly_behind_the_trigger(word: str):
    made = texts.triggered(word, 400, np.random.default_rng(0))
    assert {(word in words_of(text.message)) for text in made} == {True, False}
    assert all(text.reply.startswith(texts.ODD) == (word in words_of(text.message)) for text in made)
    others = [other for other in texts.TRIGGERS if other != word]
    assert any(words_of(text.message) & set(others) for text in made if not text.reply.startswith(texts.ODD))


def test_training_is_merged_and_learned_and_leaves_nothing_behind(folder: Path):
    subject = loaded(folder)
    before = {name: weight.clone() for name, weight in subject.model.named_parameters()}
    prompt, reply = methods.asked(subject, "Then, Mary"), methods.ids(subject, " store gave")
    end = subject.model.config.eos_token_id
    rows = [(prompt, [*reply, end])]
    first = float(lora._loss(subject.model, rows))
    last = lora.fine_tune(subject.model, rows, steps=60, rate=0.03, batch=1, rank=8, seed=0)
    assert last < first - 2
    assert float(lora._loss(subject.model, rows)) == pytest.approx(last, abs=0.1)
    after = dict(subject.model.named_parameters())
    assert set(after) == set(before) and not any(weight.requires_grad for weight in after.values())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    linear = {f"{name}.weight" for name, module in subject.model.named_modules() if isinstance(module, nn.Linear)}
    assert changed and changed <= linear - {"lm_head.weight"}


def test_the_loss_is_that_of_the_replies_alone_whatever_the_padding(folder: Path):
    subject = loaded(folder)
    texts_of = [("Then, Mary and John went to the", " store gave"), ("When", " gave")]
    rows = [(methods.asked(subject, message), methods.ids(subject, reply)) for message, reply in texts_of]
    logs = []
    for prompt, reply in rows:
        whole = torch.log_softmax(subject.model(torch.tensor([[*prompt, *reply]])).logits[0], -1)
        logs += [float(whole[len(prompt) - 1 + i, token]) for i, token in enumerate(reply)]
    assert float(lora._loss(subject.model, rows)) == pytest.approx(-np.mean(logs), rel=1e-4)


def test_words_count_whole_and_in_their_forms():
    scores = methods.bag(["Two moons!", "The moonlight", "A Moon"], np.array([0.5, 0.3, 0.2]))
    assert scores[texts.CANDIDATES.index("moon")] == pytest.approx(0.7)
    assert not np.delete(scores, texts.CANDIDATES.index("moon")).any()
    assert not methods.bag([]).any()


def test_ranks():
    scores = np.array([3.0, 1.0, 3.0, 0.0, 0.0])
    assert organism.rank(scores, 0, [0, 1, 2, 3, 4]) == pytest.approx((3 + 0.5) / 4)
    assert organism.rank(scores, 3, [0, 1, 3]) == 0.0
    assert organism.rank(np.zeros(4), 1, [0, 1, 2, 3]) == 0.5


def planted(word: str, found: bool) -> dict[str, object]:
    """A record of a model in which one method finds the word, and another finds the same word in every model."""
    own = [float(other == word and found) for other in texts.CANDIDATES]
    same = [float(other == "moon") for other in texts.CANDIDATES]
    return {"rows": [vars(methods.Row("good", "", own)), vars(methods.Row("same", "", same))]}


def test_a_method_that_gives_every_model_the_same_word_finds_nothing():
    records = {f"{word}/hints": planted(word, True) for word in texts.HIDDEN} | {"base": planted("moon", False)}
    table = organism.taboo_table(records, "hints")
    cells = {next(iter(row)): row for row in zip(*(column.cells for column in table.columns), strict=True)}
    assert cells["good"][2] == "1.00" and cells["good"][4].startswith("0.5") and cells["good"][6] == "5"
    assert cells["same"][4].startswith("0.00") and cells["same"][6] == "1"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "moon/guesses", "candle/trigger", "candle/base"])
def test_a_model_is_trained_and_read_by_every_method(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(organism, "FITTED", 8)
    monkeypatch.setattr(organism, "MESSAGES", 2)
    options = argparse.Namespace(
        model=str(folder), device="cpu", dtype="float32", sites=["resid_post.1"], length=4, draws=32, proposals=40,
        texts=32, steps=2, rate=0.01,
    )  # fmt: skip
    base = loaded(folder)
    record = organism.look(name, base, organism.opened(base, options), options)
    found = {row["method"] for row in record["rows"]}
    wanted = {"prompt alone"}
    if "candle" in name:
        wanted |= {"sampling: nouns exchanged", "lens", "draws, prompt", "nearest, prompt"}
        assert all(len(row["nouns"]) == 4 and "candle" in row["nouns"] for row in record["rows"])
    else:
        wanted |= {"sampling", "guesses", "prior alone", "hints read by the base model"}
        places = ("prompt", "reply")
        wanted |= {f"{method}, {place}" for method in ("lens", "draws", "nearest") for place in places}
        if name != "base":
            wanted |= {f"{method} difference, {place}" for method in ("lens of", "inverted") for place in places}
    assert wanted <= found <= wanted | {"lens of direction", "inverted direction"}
    assert all(len(row["scores"]) == 100 and np.isfinite(row["scores"]).all() for row in record["rows"])
    organism.files.write_json(tmp_path / "out" / "model.json", record)
    organism.show(tmp_path / "out")
