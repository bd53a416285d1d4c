"""Entities in contexts, as cities and as RAVEL: what the subject knows, the prior, the labels."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fake_tokenizer import KnowingSubject, WordSubject
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from refusals import refuses
from scipy.stats import chisquare

from inversescope import files
from inversescope.tasks import ravel
from inversescope.tasks.cities import CONTEXTS, QUESTIONS, Cities, CitiesConfig, _cities
from inversescope.tasks.known_answers import answer_tokens, choices
from inversescope.tasks.ravel import Ravel, RavelConfig

KNOWN = ("Tokyo", "Lima", "Mexico City", "Paris", "Buenos Aires")


def knowing(cities=KNOWN, wordings: int = 2) -> KnowingSubject:
    """A subject that knows the country, continent and language of these cities, in the first wordings only."""
    table = {city: dict(zip(QUESTIONS, values, strict=False)) for city, *values in _cities()}
    return KnowingSubject(
        {
            prompt.replace("%s", city): table[city][name]
            for name, prompts in QUESTIONS.items()
            for prompt in prompts[:wordings]
            for city in cities
        }
    )


# What the subject knows


def test_a_choice_is_greedy_decoding_among_the_answers():
    answers = ("South Korea", "South Africa", "Guinea", "Guinea-Bissau", "Japan")
    told = {
        "in Seoul:": "South Korea",
        "in Cape:": "South Africa",
        "in Conakry:": "Guinea",
        "in Bissau:": "Guinea-Bissau",
    }
    subject = KnowingSubject(told)
    assert choices(subject, list(told), answers) == list(told.values())
    assert choices(subject, ["in Seoul:"], ()) == [None]


def test_an_answer_starts_with_a_space_but_after_a_quotation_mark():
    subject = WordSubject()
    assert answer_tokens(subject, "in", "New York") == (subject.token(" New"), subject.token(" York"))
    assert answer_tokens(subject, '"city": "', "York") == (subject.token("York"),)


class Merging(WordSubject):
    """A quotation mark and the word after it are one token."""

    def encode(self, text: str) -> list[int]:
        return [0, *map(self.token, re.findall(r'"\w*| ?\w+|[^\w\s]|\s', text))]


def test_an_answer_that_shares_a_token_with_the_prompt_is_none():
    assert answer_tokens(Merging(), 'the "', "York") == ()
    assert choices(Merging(), ['the "'], ("York", "Lima")) == [None]


def test_what_a_model_answered_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from small_subject import save_subject

    from inversescope.subject import Subject

    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path / "cache"))
    subject = Subject.load(str(save_subject(tmp_path / "model")), dtype="float32", device="cpu")
    first = choices(subject, ["Then, Michael", "Then, David"], ["and", "went", "store"])
    kept = list((tmp_path / "cache" / "answers").iterdir())
    assert len(kept) == 1 and files.read_sealed(kept[0]) == {"answers": first}
    files.write_sealed(kept[0], {"answers": ["store", "store"]})
    assert choices(subject, ["Then, Michael", "Then, David"], ["and", "went", "store"]) == ["store", "store"]
    assert choices(subject, ["Then, Michael"], ["and", "went", "store"]) == first[:1]
    kept[0].write_text(kept[0].read_text().replace("store", "went"))  # damaged: decoded again
    assert choices(subject, ["Then, Michael", "Then, David"], ["and", "went", "store"]) == first


# Cities


def test_the_cities_that_ship():
    content = json.loads((Path(__file__).parents[1] / "src/inversescope/tasks/cities.json").read_text(encoding="utf-8"))
    assert "GeoNames" in content["source"] and "CC BY 4.0" in content["licence"]
    names = [row[0] for row in content["cities"]]
    assert len(set(names)) == len(names) > 300 and len({row[1] for row in content["cities"]}) > 100
    assert {row[2] for row in content["cities"]} == {
        "Africa", "Asia", "Europe", "North America", "Oceania", "South America",
    }  # fmt: skip
    assert ["Paris", "France", "Europe", "French", "capital"] in content["cities"]
    assert ["Osaka", "Japan", "Asia", "Japanese", "other"] in content["cities"]


def test_the_prior_is_over_what_the_subject_knows():
    task = Cities(CitiesConfig(contexts=3), knowing())
    support = dict(task.enumerate())
    assert set(task.known) == set(KNOWN) and len(support) == 3 * len(KNOWN)
    assert sum(support.values()) == pytest.approx(1)
    assert all(math.exp(task.log_prior(tokens)) == pytest.approx(p) for tokens, p in support.items())
    drawn = Counter(task.draw(5_000, np.random.default_rng(0)))
    assert drawn.keys() == support.keys()
    assert chisquare([drawn[x] for x in support], [5_000 * p for p in support.values()]).pvalue > 0.01


def test_an_attribute_that_is_not_asked_need_not_be_known():
    subject = knowing()
    subject.goes_on = {text for text in subject.goes_on if "Language: Japanese\n\nCity: Lima" not in text}
    assert "Lima" not in Cities(CitiesConfig(), subject).known
    assert "Lima" in Cities(CitiesConfig(attributes=("country", "continent")), subject).known


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("City: Lima", ("Lima", "Peru", "South America", "Spanish", "capital", "L", "1", "City: [city]")),
        # A city that the subject does not know has its labels all the same.
        ("City: Osaka", ("Osaka", "Japan", "Asia", "Japanese", "other", "O", "1", "City: [city]")),
        # The longest name counts, and a context need not be known.
        ("So New Delhi", ("New Delhi", "India", "Asia", "English", "capital", "N", "2", None)),
        ("Lima", ("Lima", "Peru", "South America", "Spanish", "capital", "L", "1", None)),
        ("City: Lima is", None),
        ("City: Xlima", None),
        ("Kalima", None),
        ("", None),
    ],
)
def test_texts_read_by_hand(text: str, expected: tuple[str | None, ...] | None):
    subject = knowing()
    task = Cities(CitiesConfig(), subject)
    assert task.features == ("city", "country", "continent", "language", "capital", "first letter", "tokens", "context")
    assert tuple(task.labels(subject.encode(text)).values()) == (expected or (None,) * 8)


def test_another_tokenization_has_labels_but_no_probability():
    subject = knowing()
    task = Cities(CitiesConfig(), subject)
    tokens = subject.encode("City: Lima")
    split = [*tokens[:-1], subject.token(" "), subject.token("Lima")]
    assert task.labels(split) == task.labels(tokens) and task.contrast(tokens) is None
    assert (task.log_prior(split), task.log_prior(subject.encode("City: Osaka"))) == (-math.inf, -math.inf)


SUBJECT = knowing()
TASK = Cities(CitiesConfig(contexts=4), SUBJECT)
SUPPORT = dict(TASK.enumerate())


@given(edits=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 400)), max_size=3), length=st.integers(0, 9))
def test_any_token_sequence_is_read_and_has_the_probability_of_the_enumeration(edits, length: int):
    tokens = list(list(SUPPORT)[-1])
    for place, token in edits:
        tokens[place % len(tokens)] = token
    tokens = tokens[:length]
    assert TASK.labels(tokens).keys() == set(TASK.features)
    assert math.exp(TASK.log_prior(tokens)) == pytest.approx(SUPPORT.get(tuple(tokens), 0.0))


@pytest.mark.parametrize(("wordings", "share"), [(2, 1.0), (1, 0.0)])
def test_accuracy_asks_in_another_wording(wordings: int, share: float):
    subject = knowing(wordings=wordings)
    accuracy = Cities(CitiesConfig(), subject).accuracy(subject, 60, np.random.default_rng(0))
    assert accuracy.value == pytest.approx(share, abs=0.2) and accuracy.n == 60  # what it does not know it guesses
    assert f"5 of {len(_cities())}" in accuracy.what


def test_a_subject_that_knows_nothing_is_refused_with_what_it_knows():
    with refuses(given=(len(_cities()), "country of 9", "language of 9", "all of that of 1"), remedy=True):
        Cities(CitiesConfig(), knowing(("Lima",))).draw(1, np.random.default_rng(0))


def test_city_settings_that_cannot_be_used():
    for wrong in ({"contexts": 0}, {"contexts": len(CONTEXTS) + 1}, {"attributes": ("river",)}, {"attributes": ()}):
        with pytest.raises(ValidationError):
            CitiesConfig(**wrong)


@pytest.mark.slow
def test_the_bundled_subject_knows_cities():
    subject = pytest.importorskip("inversescope.subject").Subject.load("smollm2")
    task = Cities(CitiesConfig(), subject)
    assert len(task.known) > 50
    assert task.accuracy(subject, 60, np.random.default_rng(0)).value > 0.7
    for tokens in task.draw(100, np.random.default_rng(0)):
        assert None not in task.labels(tokens).values() and task.log_prior(tokens) > -math.inf


# RAVEL

FRUIT = {"apple": ("red", "tree"), "plum": ("blue", "tree"), "melon": ("green", "vine"), "berry": ("red", "bush")}
PROMPTS = {
    "Colour": ["the %s is", "a ripe %s is", "a %s is ", "this %s was", "the %s looks"],
    "Plant": ['{"fruit": "%s", "plant": "', "the %s grows on a", "a %s comes from a"],
    "Taste": ["the %s tastes", "a %s tastes"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The benchmark's files for one type of entity, written small."""
    rows = {name: {"Colour": colour, "Plant": plant, "Taste": ""} for name, (colour, plant) in FRUIT.items()}
    contents = {
        "entity_attributes": rows,
        "attribute_to_prompts": PROMPTS,
        "entity_to_split": {name: "test" if name == "berry" else "train" for name in FRUIT},
        "prompt_to_split": {
            prompt: "val" if "looks" in prompt else "train" for asked in PROMPTS.values() for prompt in asked
        },
    }
    for what, content in contents.items():
        files.write_json(tmp_path / f"ravel_physical_object_{what}.json", content)
    return tmp_path


def fruit(folder: Path, subject: WordSubject, **settings) -> Ravel:
    return Ravel(RavelConfig.model_validate({"folder": folder, "entity": "physical_object"} | settings), subject)


def botanist(*but: tuple[str, str]) -> KnowingSubject:
    """Knows every colour and plant, but these; there it says that of the melon."""
    melon = dict(zip(PROMPTS, FRUIT["melon"], strict=False))
    answers = {
        prompt.replace("%s", name): melon[attribute] if (name, attribute) in but else value
        for name, values in FRUIT.items()
        for (attribute, asked), value in zip(PROMPTS.items(), values, strict=False)
        for prompt in asked
    }
    return KnowingSubject(answers)


def test_the_benchmarks_files_are_read(folder: Path):
    subject = botanist(("plum", "Colour"))
    task = fruit(folder, subject)
    assert task.features == ("physical object", "Colour", "Plant", "context")
    assert task.shares == {"Colour": 0.75, "Plant": 1.0}
    assert task.known == ("apple", "melon", "berry")
    labels = task.labels(subject.encode('{"fruit": "plum'))
    assert list(labels.values()) == ["plum", "blue", "tree", '{"fruit": "[physical object]']
    support = dict(task.enumerate())
    assert sum(support.values()) == pytest.approx(1)
    # Of ten prompts four begin with "the": they are one context.
    assert math.exp(task.log_prior(subject.encode("the apple"))) == pytest.approx(4 / 10 / 3)
    assert all(math.exp(task.log_prior(tokens)) == pytest.approx(p) for tokens, p in support.items())
    assert task.accuracy(subject, 40, np.random.default_rng(0)).value == 1.0


def test_attributes_that_the_subject_does_not_know_are_left_out(folder: Path):
    subject = botanist(("plum", "Colour"), ("apple", "Colour"), ("berry", "Colour"))
    task = fruit(folder, subject, known=0.5)
    assert task.shares == {"Colour": 0.25, "Plant": 1.0}
    assert task.features == ("physical object", "Plant", "context") and len(task.known) == 4
    with refuses(given="Colour 0.25", allowed="known = 0.5", remedy="known"):
        fruit(folder, subject, known=0.5, attributes=["Colour"])


def test_an_attribute_of_zero_is_a_label(folder: Path):
    path = folder / "ravel_physical_object_entity_attributes.json"
    rows = {name: row | {"Seeds": 0, "Sweet": False} for name, row in files.read_json(path).items()}
    files.write_json(path, rows)
    config = RavelConfig.model_validate({"folder": folder, "entity": "physical_object"})
    assert ravel._entities(config)["apple"] == {"Colour": "red", "Plant": "tree", "Seeds": "0", "Sweet": "False"}


def test_splits_and_a_number_of_entities(folder: Path):
    subject = botanist()
    task = fruit(folder, subject, entity_split="train", context_split="train")
    assert task.known == ("apple", "plum", "melon")
    assert math.exp(task.log_prior(subject.encode("the apple"))) == pytest.approx(3 / 9 / 3)
    assert fruit(folder, subject, entities=2).known == ("apple", "melon")  # evenly over the file


def test_a_prompt_that_ends_with_a_space_gives_a_context_and_no_question(folder: Path):
    subject = botanist()
    task = fruit(folder, subject)
    assert task.log_prior(subject.encode("a apple")) > -math.inf
    assert all(not prompt.endswith(" ") for prompts in task._questions.values() for prompt in prompts)


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({"attributes": ["Weight"]}, {"given": "Weight", "allowed": "Colour, Plant"}),
        ({"entity": "verb"}, {"given": "ravel_verb_entity_attributes.json", "remedy": "data.tgz"}),
        ({"entity_split": "val"}, {"given": "entity_split = val"}),
    ],
)
def test_ravel_settings_that_cannot_be_used(folder: Path, settings: dict, values: dict):
    with refuses(**values):
        fruit(folder, botanist(), **settings)


def test_a_damaged_file_of_ravel(folder: Path):
    (folder / "ravel_physical_object_entity_attributes.json").write_text("[1]")
    with refuses(given="ravel_physical_object_entity_attributes.json", allowed="a JSON object"):
        fruit(folder, botanist())
    (folder / "ravel_physical_object_entity_attributes.json").write_text("{")
    with refuses(given="ravel_physical_object_entity_attributes.json: Expecting"):
        fruit(folder, botanist())
