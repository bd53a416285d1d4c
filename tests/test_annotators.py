"""Part of speech, sentiment and topic: what they say, what they leave undecided, and that the miner finds them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linguistics import PLAIN, TOPICS, use_models, use_none
from refusals import refuses
from rich.console import Console
from small_subject import config_text, save_subject
from test_mine import mined, mined_unchecked, write_records

from inversescope.cli.tables.runs import hypotheses_table
from inversescope.config import RunConfig
from inversescope.features import annotators, parse
from inversescope.features.annotators import annotator, sentiment, speech, topics
from inversescope.features.candidates import TOPIC, candidates
from inversescope.run.run import Run

GOOD, BAD, NEITHER = ("wonderful", "happy", "excellent"), ("horrible", "sad", "awful"), ("wooden", "northern", "square")
WORDS = ["part of speech", "sentiment", "topic"]


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_models(tmp_path / "embeddings", monkeypatch)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("What a wonderful, happy day", "positive"),
        ("I hate this horrible noise", "negative"),
        ("The train is not good", "negative"),
        ("The table is made of wood", "neutral"),
        ("12", "neutral"),
        ("...", None),
        ("", None),
    ],
)
def test_sentiment(text: str, label: str | None):
    assert sentiment.sentiment(text) == label


def test_parts_of_speech_are_those_of_words_as_they_stand():
    assert speech.tags("She went for a run") == ("PRON", "VERB", "ADP", "DET", "NOUN")
    assert speech.part_of_speech(0, "Run to the old house") == "VERB"
    assert speech.tagged("PROPN", -1, "Then, Mary and John went to the store") == "John"
    assert speech.tagged("PROPN", 2, "Then, Mary and John went to the store") is None
    assert speech.count_tagged("NOUN", "The dog and the cat saw a bird") == 3
    assert speech.part_of_speech(0, "") is None and speech.part_of_speech(0, "...") is None


@pytest.mark.parametrize(
    "text", ["I don't know John's well-known uncle.", "¡Hola!  a/b (c) ‹x› 3.5%", "a\n\n\tb", "…", "한국어 text"]
)
def test_every_word_has_one_tag(text: str):
    """Our words and spaCy's tokens differ; a word that is several has the tag of the first."""
    words = speech.split(text)
    assert len(speech.tags(text)) == len(words)
    if "don't" in text:
        assert dict(zip(words, speech.tags(text), strict=True))["don't"] == "AUX"


def test_many_at_once_are_as_one_by_one():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice([*PLAIN, *GOOD, *TOPICS["cooking"]], 6)) for _ in range(200)]
    counts: list[int] = []
    annotators.learn(texts, lambda done, total, note="": counts.append(done))
    at_once = [speech.tags(text) for text in texts], topics.embed(texts)
    speech._tagger.cache_clear()
    topics._embedder.cache_clear()
    assert [speech.tags(text) for text in texts] == at_once[0]
    assert np.array_equal(np.array([topics.embed([text])[0] for text in texts]), at_once[1])
    assert counts == [200]


def test_about_is_the_nearest_topic_or_undecided():
    of = parse('about(text, "medicine doctor", "software computer")')
    assert of.label("the surgeon treated the patient") == "medicine doctor"
    assert of.label("a keyboard") == "software computer"
    assert of.label("a doctor with a computer") is None  # between the two
    assert of.label("unknown words alone") is None
    assert of.annotators == (annotators.TOPICS,)


def topical(rng: np.random.Generator, topic: str) -> str:
    return " ".join(["the", rng.choice(TOPICS[topic]), rng.choice(PLAIN), rng.choice(TOPICS[topic])])


def test_clusters_are_the_planted_topics():
    rng = np.random.default_rng(0)
    planted = [str(rng.choice(list(TOPICS))) for _ in range(300)]
    texts = [topical(rng, topic) for topic in planted]
    found = topics.clusters(texts)
    assert found is not None and len(found.names) == len(TOPICS) and found.silhouette > 0.7
    pairs = {(topic, found.label(text)) for topic, text in zip(planted, texts, strict=True)}
    assert len(pairs) == len(TOPICS)
    for topic, name in pairs:
        assert name is not None and set(name.split()) <= set(TOPICS[topic])
    assert found.label("unknown words") is None
    again = topics.clusters(texts)
    assert again is not None and again.names == found.names and np.array_equal(again.centres, found.centres)
    assert topics.clusters(texts[:15]) is None  # too few to tell


def test_a_name_is_given_once():
    centres = np.eye(16, dtype=np.float32)[[0, 0, 1]]
    names = topics._names(["doctor", "doctor code", "code"], centres)
    assert len(set(names)) == 3


Feature = Callable[[str], Any]
PLANTED: dict[str, Feature] = {
    "sentiment": lambda text: next(
        (name for name, words in (("good", GOOD), ("bad", BAD)) if set(words) & set(text.split())), "neither"
    ),
    "topic": lambda text: next(name for name, words in TOPICS.items() if set(words) & set(text.split())),
    "noun or verb": lambda text: text.split()[-1] in ("town", "school", "church"),
}


def sentence(rng: np.random.Generator) -> str:
    """Independent slots: a feeling in a word, a topic in a word, and after the same "to" a noun or a verb."""
    feeling, topic = rng.choice([*GOOD, *BAD, *NEITHER]), rng.choice([w for own in TOPICS.values() for w in own[1:]])
    end = rng.choice(["town", "school", "church", "sing", "eat", "sleep"])
    return f"A {feeling} man of the {topic} came to {end}"


@pytest.mark.slow
def test_the_miner_finds_what_only_annotators_see(tmp_path: Path):
    rng = np.random.default_rng(0)
    pool, targets = [sentence(rng) for _ in range(400)], [sentence(rng) for _ in range(24)]
    sites: list[Sequence[Sequence[str]]] = []
    for feature in PLANTED.values():
        alike = [[text for text in pool if feature(text) == feature(target)] for target in targets]
        sites.append([[str(rng.choice(pool if rng.random() < 0.125 else near)) for _ in range(24)] for near in alike])
    write_records(tmp_path, pool, targets, sites)
    [rows] = mined_unchecked([tmp_path])
    best = {row["site"]: row for row in rows if row["rank"] == 1}
    assert best["resid_post.0"]["hypothesis"] == "sentiment"
    assert best["resid_post.1"]["hypothesis"] == TOPIC
    assert best["resid_post.2"]["hypothesis"] == "part_of_speech(7)"  # "to", before a noun or a verb
    assert all(row["q_value"] < 0.01 and row["corrected_low"] <= 0.875 for row in best.values())
    search = json.loads((tmp_path / "mine" / "search.json").read_text())
    assert list(search["annotators"]) == WORDS and search["not_tried"] == {}
    assert "spacy 3" in search["annotators"]["part of speech"]
    first = (tmp_path / "mine" / "hypotheses.parquet").read_bytes()
    mined_unchecked([tmp_path])
    assert (tmp_path / "mine" / "hypotheses.parquet").read_bytes() == first


def test_without_the_extra_it_mines_as_before_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    rng = np.random.default_rng(0)
    texts = [sentence(rng) for _ in range(60)]
    write_records(tmp_path, texts[:40], texts[40:50], [[[text] * 4 for text in texts[40:50]]])
    use_none(monkeypatch)
    mined(tmp_path, seed=0)
    asked = " ".join(candidate.source for candidate in candidates(texts))
    assert "first_word" in asked
    assert not any(word in asked for word in ("sentiment", "tagged", "part_of_speech", TOPIC))
    search = json.loads((tmp_path / "mine" / "search.json").read_text())
    assert search["annotators"] == {} and search["not_tried"] == dict.fromkeys(WORDS, annotator.INSTALL)
    Console(width=200).print(hypotheses_table(tmp_path))
    assert f"part of speech, sentiment, topic: {annotator.INSTALL}" in capsys.readouterr().out
    for expression in ("sentiment", "part_of_speech(0)", 'count_tagged("NOUN")', 'about(text, "a", "b")'):
        with refuses(remedy=annotator.INSTALL):
            parse(expression)


def test_a_model_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(speech.VARIABLE, "xx_no_such")
    monkeypatch.setenv(topics.VARIABLE, str(tmp_path / "nothing"))
    missing = annotators.missing()
    assert missing["part of speech"].startswith("python -m spacy download xx_no_such")
    assert "nothing" in missing["topic"] and topics.VARIABLE in missing["topic"]
    assert "sentiment" not in missing
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"none")
    (tmp_path / "broken" / "meta.json").write_text("{}")
    monkeypatch.setenv(speech.VARIABLE, str(tmp_path / "broken"))
    monkeypatch.setenv(topics.VARIABLE, str(tmp_path / "broken"))
    with refuses("spaCy", given=True):
        speech.tags("a text")
    with refuses("embedding", given=True):
        topics.embed(["a text"])


@pytest.mark.parametrize(
    ("expression", "given", "allowed"),
    [
        ('tagged("NOUNS", 0)', '"NOUNS"', "NOUN"),
        ("count_tagged(last_word)", "last_word", "NOUN"),
        ("part_of_speech(first_word)", "first_word", "number"),
        ('about(text, "one")', 'about(text, "one")', "about(text, two texts or more, ..)"),
        ('about(text, "one", last_word)', "last_word", "texts"),
        ('about(text, "one", "...")', '"..."', "texts"),
    ],
)
def test_what_is_refused(expression: str, given: str, allowed: str):
    with refuses(allowed=allowed) as caught:
        parse(expression)
    assert str(caught.value.given).partition("   in   ")[0] == given


def test_a_run_keeps_the_models_of_its_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = save_subject(tmp_path / "model")
    line = "[features]\nmood = { expression = 'sentiment' }\nlong = { expression = 'words > 5' }\n\n[collect]"
    text = config_text(model).replace("[collect]", line)
    run = Run.create(tmp_path / "annotated", text)
    known = json.loads((run.folder / "provenance.json").read_text())["features"]
    assert known == {"mood": annotators.SENTIMENT.made_by()}
    assert "mood" in Run.open(run.folder).task.features
    monkeypatch.setattr(annotator.metadata, "version", lambda package: "99")
    with refuses("'mood'", given="vaderSentiment 99", allowed=known["mood"], remedy=True):
        _ = Run.open(run.folder).task
    use_none(monkeypatch)
    with refuses("sentiment", annotator.INSTALL):
        RunConfig.parse(text, "run.toml")


def test_nothing_of_the_extra_is_imported_before_it_is_asked():
    program = (
        "import sys; from inversescope.features import parse, annotators\n"
        "parse('sentiment'); annotators.missing(); parse('words').label('a')\n"
        "print([name for name in ('spacy', 'vaderSentiment.vaderSentiment', 'model2vec', 'sklearn', 'torch')"
        " if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
