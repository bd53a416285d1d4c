"""Indirect object identification against a brute-force construction of its prior, and on texts written by hand."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from fake_tokenizer import LONGEST, AnsweringSubject, WordSubject
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from refusals import refuses
from scipy.stats import chisquare

from inversescope.tasks import IOI, IOIConfig, TaskSection, load_task, require
from inversescope.tasks.ioi_templates import FEATURES
from inversescope.tasks.ioi_words import NAMES, OBJECTS, PLACES, TEMPLATES

CUTS = ("END", "S2", "S1+1")
GO = "Then, [B] and [A] went to the [PLACE]. [B] gave a [OBJECT] to [A]"


def small(cut: str, **sizes: object) -> tuple[IOI, WordSubject]:
    subject = WordSubject()
    config = IOIConfig.model_validate({"name": "ioi", "cut": cut, "names": 3, "places": 2, "objects": 2} | sizes)
    return IOI(config, subject), subject


def brute_force(cut: str) -> dict[str, list[dict[str, str]]]:
    """text up to the cut -> the features of every one of the equally likely fills that give it."""
    names = [name for name in NAMES if len(name) <= LONGEST][:3]
    fills: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for template, order, (io, subject), place, thing in itertools.product(
        TEMPLATES, ("BABA", "ABBA"), itertools.permutations(names, 2), PLACES[:2], OBJECTS[:2]
    ):
        start, rest = template.split("[B] and [A]")
        text = start + ("[B] and [A]" if order == "BABA" else "[A] and [B]") + rest
        for slot, word in {"[A]": io, "[B]": subject, "[PLACE]": place, "[OBJECT]": thing}.items():
            text = text.replace(slot, word)
        mentions = [match.end() for match in re.finditer(subject, text)]
        if cut == "END":
            text = text.removesuffix(f" {io}")
        elif cut == "S2":
            text = text[: mentions[1]]
        else:
            text = text[: mentions[0]] + " " + text[mentions[0] :].split()[0]
        word = f"word {len(text[: mentions[0]].split())}"
        fills[text].append(dict(zip(FEATURES, (io, subject, order, word, template, place, thing), strict=True)))
    return dict(fills)


def test_the_contrast_is_the_answer_against_the_other_name() -> None:
    task, subject = small("END")
    drawn = task.draw(20, np.random.default_rng(0))
    for tokens in drawn:
        right, wrong = task.contrast(tokens) or (-1, -1)
        labels = task.labels(tokens)
        assert [subject.decode([token]) for token in (right, wrong)] == [
            f" {labels[name]}" for name in ("indirect object", "subject")
        ]
    assert task.contrast(drawn[0][:-1]) is None
    other, _ = small("S2")
    assert other.contrast(other.draw(1, np.random.default_rng(0))[0]) is None


@pytest.mark.parametrize("cut", CUTS)
def test_the_prior_is_uniform_over_all_fills_and_sums_to_one(cut: str) -> None:
    task, subject = small(cut)
    expected = brute_force(cut)
    total = sum(map(len, expected.values()))
    support = dict(task.enumerate())
    assert {subject.decode(tokens) for tokens in support} == expected.keys()
    assert sum(support.values()) == pytest.approx(1)
    for tokens, probability in support.items():
        assert tokens == tuple(subject.encode(subject.decode(tokens)))
        assert probability == pytest.approx(len(expected[subject.decode(tokens)]) / total)
        assert math.exp(task.log_prior(tokens)) == pytest.approx(probability)


@pytest.mark.parametrize("cut", CUTS)
def test_a_feature_is_decided_exactly_where_the_text_determines_it(cut: str) -> None:
    task, subject = small(cut)
    decided = set()
    for text, fills in brute_force(cut).items():
        values = {feature: {fill[feature] for fill in fills} for feature in FEATURES}
        expected = {feature: found.pop() if len(found) == 1 else None for feature, found in values.items()}
        assert task.labels(subject.encode(text)) == expected, text
        decided |= {feature for feature, value in expected.items() if value is not None}
    assert set(task.features) == decided
    assert ("object" in task.features) == (cut != "S1+1")


def test_the_duplicate_position_is_a_feature_where_it_says_more_than_the_order() -> None:
    alike, _ = small("END", templates=2)
    assert "order" in alike.features and "duplicate position" not in alike.features
    apart, subject = small("END", templates=[1, 11, 14])
    assert "duplicate position" in apart.features
    labels = apart.labels(subject.encode("After the lunch, Mary and John went to the bar. John gave a bone to"))
    assert (labels["order"], labels["duplicate position"]) == ("ABBA", "word 6")


def test_templates_may_be_named_one_by_one() -> None:
    task, _ = small("END", templates=[3, 1])
    assert {task.labels(tokens)["template"] for tokens, _ in task.enumerate()} == {TEMPLATES[2], TEMPLATES[0]}


@pytest.mark.parametrize("templates", [[], [1, 1], [0], [16], 0, 16])
def test_templates_that_do_not_exist_or_come_twice_are_refused(templates: object) -> None:
    with pytest.raises(ValidationError, match="templates"):
        IOIConfig.model_validate({"name": "ioi", "templates": templates})


@pytest.mark.parametrize("cut", CUTS)
def test_draws_follow_the_prior(cut: str) -> None:
    task, _ = small(cut, templates=3)
    support = dict(task.enumerate())
    drawn = Counter(task.draw(20_000, np.random.default_rng(0)))
    assert drawn.keys() == support.keys()
    assert chisquare([drawn[x] for x in support], [20_000 * p for p in support.values()]).pvalue > 0.01


def test_the_same_seed_draws_the_same_inputs() -> None:
    task, _ = small("END")
    first, again, other = (task.draw(50, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("cut", "text", "expected"),
    [
        (
            "END",
            "Then, Mary and John went to the bar. John gave a bone to",
            ("Mary", "John", "ABBA", "word 4", GO, "bar", "bone"),
        ),
        (
            "END",
            "Then, John and Mary went to the bar. John gave a bone to",
            ("Mary", "John", "BABA", "word 2", GO, "bar", "bone"),
        ),
        # Words outside the prior's lists are still names, places and objects.
        (
            "END",
            "Then, Zoe and Otto went to the moon. Zoe gave a hat to",
            ("Otto", "Zoe", "BABA", "word 2", GO, "moon", "hat"),
        ),
        # A third name: nobody is named twice.
        (
            "END",
            "Then, Mary and John went to the bar. Paul gave a bone to",
            (None, None, None, None, GO, "bar", "bone"),
        ),
        # One name three times: a subject, but no other.
        (
            "END",
            "Then, John and John went to the bar. John gave a bone to",
            (None, "John", None, None, GO, "bar", "bone"),
        ),
        # One name in both places and another after: nobody can be the indirect object.
        (
            "END",
            "Then, John and John went to the bar. Mary gave a bone to",
            (None, None, None, None, GO, "bar", "bone"),
        ),
        # Two objects: the rest is in order.
        (
            "END",
            "When John and Mary got a ring at the store, John decided to give the bone to",
            ("Mary", "John", "BABA", "word 2", TEMPLATES[7], "store", None),
        ),
        (
            "S2",
            "When Mary and John got a ring at the store, John",
            ("Mary", "John", "ABBA", "word 4", None, "store", "ring"),
        ),
        ("S2", "Then, Mary and John went to the bar. Paul", (None, None, None, None, GO, "bar", None)),
        ("S1+1", "After John and", (None, "John", "BABA", "word 2", TEMPLATES[5], None, None)),
        ("S1+1", "After Mary and John went", ("Mary", "John", "ABBA", "word 4", TEMPLATES[5], None, None)),
        ("S1+1", "Then, Mary and John had", ("Mary", "John", "ABBA", "word 4", None, None, None)),
        ("S1+1", "Then, John and John went", (None, "John", None, None, GO, None, None)),
        ("S1+1", "The store John and", (None, "John", "BABA", "word 3", TEMPLATES[13], "store", None)),
    ],
)
def test_texts_read_by_hand(cut: str, text: str, expected: tuple[str | None, ...]) -> None:
    task, subject = small(cut)
    assert tuple(task.labels(subject.encode(text)).values()) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Then, Mary and John went to the store. John gave a drink",  # cut short
        "Then, Mary and John went to the store. John gave a drink to Mary",  # run on
        "Then, Mary and John went to the the store. John gave a drink to",
        "Then, mary and John went to the store. John gave a drink to",
        " Then, Mary and John went to the store. John gave a drink to",
        "to to to",
    ],
)
def test_malformed_texts_are_undecided_throughout(text: str) -> None:
    task, subject = small("END")
    assert task.labels(subject.encode(text)) == dict.fromkeys(FEATURES)
    assert task.log_prior(subject.encode(text)) == -math.inf


@pytest.mark.parametrize(
    "text",
    [
        "Then, Zoe and Jessica went to the store. Jessica gave a ring to",  # a name that is not in the list
        "Then, Matthew and Jessica went to the ring. Jessica gave a ring to",  # an object for a place
        "Then, Matthew and Jessica went to the house. Jessica gave a ring to",  # a place beyond the first two
        "Then, Jessica and Jessica went to the store. Jessica gave a ring to",
    ],
)
def test_well_formed_texts_outside_the_prior_have_no_probability(text: str) -> None:
    task, subject = small("END")
    inside = "Then, Matthew and Jessica went to the store. Jessica gave a ring to"
    assert task.log_prior(subject.encode(inside)) == pytest.approx(-math.log(15 * 2 * 6 * 2 * 2))
    assert task.log_prior(subject.encode(text)) == -math.inf


def test_another_tokenization_of_a_text_of_the_prior_has_labels_but_no_probability() -> None:
    task, subject = small("END", templates=1)
    tokens = next(tokens for tokens, _ in task.enumerate())
    split = [*tokens[:-1], subject.token(" "), subject.token("to")]
    assert subject.decode(split) == subject.decode(tokens)
    assert task.labels(split) == task.labels(tokens)
    assert task.log_prior(split) == -math.inf


@functools.cache
def two_templates() -> tuple[IOI, dict[tuple[int, ...], float]]:
    task, _ = small("END", templates=2)
    return task, dict(task.enumerate())


@given(edits=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 80)), max_size=3), length=st.integers(0, 25))
def test_any_token_sequence_is_read_and_has_the_probability_of_the_enumeration(
    edits: list[tuple[int, int]], length: int
) -> None:
    task, support = two_templates()
    tokens = list(next(iter(support)))
    for place, token in edits:
        tokens[place % len(tokens)] = token
    tokens = tokens[:length]
    assert task.labels(tokens).keys() == set(FEATURES)
    probability = support.get(tuple(tokens), 0.0)
    assert math.exp(task.log_prior(tokens)) == pytest.approx(probability)


def test_names_are_single_tokens_and_other_words_need_not_be() -> None:
    task, subject = small("END", names=30, objects=8)
    labels = [task.labels(tokens) for tokens in task.draw(3_000, np.random.default_rng(0))]
    names = {label["subject"] for label in labels}
    assert len(names) == 30 and "Christopher" not in names
    assert all(name and len(subject.encode(f" {name}")) == 2 for name in names)
    assert len(subject.encode(" basketball")) == 3 and "basketball" in {label["object"] for label in labels}


def test_too_many_names_for_the_tokenizer_are_refused_with_the_number_there_is() -> None:
    single = sum(len(name) <= LONGEST for name in NAMES)
    with refuses(given=f"names = {single + 1}", allowed=f"2 to {single}"):
        small("END", names=single + 1)


class Letters(WordSubject):
    """Every character a token."""

    def encode(self, text: str) -> list[int]:
        return [0, *map(self.token, text)]


class Merging(WordSubject):
    """A name and the "and" after it are one token, so that prompts cannot be put together from pieces."""

    def encode(self, text: str) -> list[int]:
        return [0, *map(self.token, re.findall(r" [A-Z]\w+ and| ?\w+|[^\w\s]|\s", text))]


class Lossy(WordSubject):
    """Decoding forgets capitals."""

    def decode(self, tokens):
        return super().decode(tokens).lower()


@pytest.mark.parametrize(
    ("subject", "values"),
    [
        (Letters(), {"given": "names =", "allowed": 0}),
        (Merging(), {"given": "gives", "remedy": True}),
        (Lossy(), {"given": "gives", "remedy": True}),
    ],
)
def test_tokenizers_that_do_not_suit_are_refused(subject: WordSubject, values: dict) -> None:
    with refuses(**values):
        IOI(IOIConfig(name="ioi"), subject)


@pytest.mark.parametrize("cut", CUTS)
def test_accuracy_counts_right_answers_to_whole_prompts(cut: str) -> None:
    subject = AnsweringSubject(wrong_every=4)
    accuracy = IOI(IOIConfig(cut=cut), subject).accuracy(subject, 100, np.random.default_rng(0))
    assert (accuracy.value, accuracy.n, accuracy.needed) == (0.75, 100, 0.9)
    # Wilson's interval for 75 of 100, computed by hand.
    assert (accuracy.low, accuracy.high) == pytest.approx((0.6570, 0.8246), abs=1e-3)
    assert all(text.endswith(" to") for text in subject.seen)


def test_a_task_that_the_subject_cannot_do_is_refused_unless_forced() -> None:
    bad, good = (
        IOI(IOIConfig(), subject).accuracy(subject, 100, np.random.default_rng(0))
        for subject in (AnsweringSubject(wrong_every=4), AnsweringSubject(wrong_every=10))
    )
    with refuses(given=("0.750", "100 prompts"), allowed=0.9, remedy="force = true"):
        require(bad, force=False)
    require(bad, force=True)
    require(good, force=False)  # 0.9 of 100 is enough, though its interval reaches below


def test_the_config_names_its_task_and_refuses_what_it_does_not_know() -> None:
    adapter = TypeAdapter(TaskSection)
    config = adapter.validate_python({"name": "ioi", "cut": "S2", "templates": 2})
    assert isinstance(config, IOIConfig) and isinstance(load_task(config, WordSubject()), IOI)
    for wrong in ({"cut": "S3"}, {"names": 1}, {"templates": 16}, {"places": 0}, {"objects": 9}, {"path": "x"}):
        with pytest.raises(ValidationError):
            adapter.validate_python({"name": "ioi"} | wrong)
    assert all(field.description for field in IOIConfig.model_fields.values())


def test_the_bundled_subject_s_tokenizer() -> None:
    bundled = pytest.importorskip("inversescope.subject.bundled", exc_type=ImportError)
    file = bundled.cache_folder() / "tokenizer.json"
    if not file.exists():
        pytest.skip("the bundled subject has not been converted on this machine yet")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))

    class Bundled(WordSubject):
        prefix = bundled.PREFIX

        def encode(self, text: str) -> list[int]:
            return [*self.prefix, *tokenizer.encode(text, add_special_tokens=False).ids]

        def decode(self, tokens):
            return tokenizer.decode(list(tokens)[len(self.prefix) :], skip_special_tokens=False)

    for cut in CUTS:
        task = IOI(IOIConfig(cut=cut), Bundled())
        for tokens in task.draw(200, np.random.default_rng(0)):
            assert task.labels(tokens)["subject"] and task.log_prior(tokens) > -math.inf
