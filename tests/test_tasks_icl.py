"""In-context learning: its prior against enumeration, its labels against texts read by hand."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from fake_tokenizer import KnowingSubject, WordSubject
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from refusals import refuses
from scipy.stats import chisquare

from inversescope.tasks.icl import FEATURES, ICL, ICLConfig
from inversescope.tasks.icl_words import KIND_OF, PAIRS

CUTS = ("END", "query")


def task_of(subject: WordSubject | None = None, **settings) -> ICL:
    return ICL(ICLConfig(**settings), subject or WordSubject())


def small(cut: str = "END") -> ICL:
    return task_of(cut=cut, tasks=("antonym", "comparative", "plural"), words=4, examples=(1, 2))


def test_every_task_has_as_many_words_and_those_of_a_kind_share_them():
    assert len(PAIRS) >= 8 and {len(pairs) for pairs in PAIRS.values()} == {24}
    for task, pairs in PAIRS.items():
        same = [other for other in PAIRS if KIND_OF[other] == KIND_OF[task]]
        assert len(same) == 3 and all(PAIRS[other].keys() == pairs.keys() for other in same)
        assert all(word.isalpha() and answer.isalpha() for word, answer in pairs.items())
    words = [word for task in ("antonym", "past tense", "plural", "capital") for word in PAIRS[task]]
    assert len(set(words)) == len(words)  # a word tells its kind


@pytest.mark.parametrize("cut", CUTS)
def test_the_prior_sums_to_one_and_draws_follow_it(cut: str):
    task = small(cut)
    support = dict(task.enumerate())
    assert len(support) == 3 * (4 * 3 + 4 * 3 * 2)
    assert sum(support.values()) == pytest.approx(1)
    assert all(math.exp(task.log_prior(tokens)) == pytest.approx(p) for tokens, p in support.items())
    drawn = Counter(task.draw(20_000, np.random.default_rng(0)))
    assert drawn.keys() <= support.keys()
    assert chisquare([drawn[x] for x in support], [20_000 * p for p in support.values()]).pvalue > 0.01


@pytest.mark.parametrize("cut", CUTS)
def test_every_draw_is_read_back(cut: str):
    subject = WordSubject()
    task = task_of(subject, cut=cut)
    for tokens in task.draw(300, np.random.default_rng(1)):
        labels, text = task.labels(tokens), subject.decode(tokens)
        lines = text.removesuffix(" ->").split("\n")
        assert None not in labels.values(), text
        assert (labels["query"], labels["examples"]) == (lines[-1], str(len(lines) - 1))
        assert PAIRS[labels["task"]][labels["query"]] == labels["answer"]
        shown = (line.split(" -> ") for line in lines[:-1])
        assert all(PAIRS[labels["task"]][word] == answer for word, answer in shown)
        assert task.log_prior(tokens) == pytest.approx(-math.log(12 * 2 * math.perm(24, len(lines))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hot -> cold\nbig ->", ("antonym", "adjective", "big", "small", "1")),
        ("hot -> hotter\nbig -> bigger\nfast ->", ("comparative", "adjective", "fast", "faster", "2")),
        # One example of another task: the other two decide.
        ("hot -> cold\nbig -> small\ncat -> cats\nfast ->", ("antonym", "adjective", "fast", "slow", "3")),
        # Half is not more than half.
        ("hot -> cold\nbig -> bigger\nfast ->", (None, "adjective", "fast", None, "2")),
        # The query is a word of another kind, or of none.
        ("hot -> cold\ncat ->", ("antonym", "noun", "cat", None, "1")),
        ("hot -> cold\nzebra ->", ("antonym", None, "zebra", None, "1")),
        ("one -> two\nbig ->", (None, "adjective", "big", None, "1")),
    ],
)
def test_texts_read_by_hand(text: str, expected: tuple[str | None, ...]):
    subject = WordSubject()
    assert tuple(task_of(subject).labels(subject.encode(text)).values()) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "big ->",
        "hot -> cold",
        "hot -> cold\nbig",
        "hot -> cold\n\nbig ->",
        "hot -> cold\nbig -> ",
        "hot cold\nbig ->",
    ],
)
def test_malformed_texts_are_undecided_throughout(text: str):
    subject = WordSubject()
    task = task_of(subject)
    assert task.labels(subject.encode(text)) == dict.fromkeys(FEATURES)
    assert task.log_prior(subject.encode(text)) == -math.inf


@pytest.mark.parametrize(
    "text",
    [
        "hot -> cold\nbig -> small\nfast ->",  # two examples
        "hot -> cold\nhot -> cold\nbig -> small\nfast ->",  # a word twice
        "hot -> cold\nbig -> bigger\ntall -> short\nfast ->",  # two tasks
        "hot -> cold\nbig -> small\ntall -> short\ncat ->",  # a query of another kind
    ],
)
def test_well_formed_texts_outside_the_prior_have_no_probability(text: str):
    subject = WordSubject()
    task = task_of(subject, examples=(3,))
    inside = "hot -> cold\nbig -> small\ntall -> short\nfast ->"
    assert task.log_prior(subject.encode(inside)) == pytest.approx(-math.log(12 * math.perm(24, 4)))
    assert task.log_prior(subject.encode(text)) == -math.inf


SMALL = small()
SUPPORT = dict(SMALL.enumerate())


@given(edits=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 60)), max_size=3), length=st.integers(0, 14))
def test_any_token_sequence_is_read_and_has_the_probability_of_the_enumeration(edits, length: int):
    tokens = list(list(SUPPORT)[-1])
    for place, token in edits:
        tokens[place % len(tokens)] = token
    tokens = tokens[:length]
    assert SMALL.labels(tokens).keys() == set(FEATURES)
    assert math.exp(SMALL.log_prior(tokens)) == pytest.approx(SUPPORT.get(tuple(tokens), 0.0))


def test_accuracy_counts_right_answers_task_by_task():
    words = list(PAIRS["plural"])[:4]
    prompts = {
        f"{a} -> {PAIRS[task][a]}\n{b} ->": PAIRS[task][b] if task == "plural" else "wrong"
        for task in ("plural", "uppercase")
        for a in words
        for b in words
        if a != b
    }
    subject = KnowingSubject(prompts)
    task = task_of(subject, cut="query", tasks=("plural", "uppercase"), words=4, examples=(1,))
    accuracy = task.accuracy(subject, 100, np.random.default_rng(0))
    plural = round(accuracy.value * 100)
    assert 30 < plural < 70 and accuracy.needed == 0.7
    assert f"(plural {plural} of {plural}, uppercase 0 of {100 - plural})" in accuracy.what


def test_the_contrast_is_the_answer_beside_that_of_another_task():
    subject = WordSubject()
    task = task_of(subject)
    tokens = subject.encode("hot -> cold\nbig ->")
    assert task.contrast(tokens) == (subject.token(" small"), subject.token(" bigger"))
    assert task.contrast(subject.encode("hot -> cold\nzebra ->")) is None
    assert task_of(subject, cut="query").contrast(subject.encode("hot -> cold\nbig")) is None


@pytest.mark.parametrize(
    ("settings", "where", "kind"),
    [
        ({"tasks": ("antonym", "synonym")}, ("tasks",), "value_error"),
        ({"tasks": ("antonym", "antonym")}, ("tasks",), "value_error"),
        ({"tasks": ("antonym",)}, ("tasks",), "too_short"),
        ({"examples": (2, 2)}, ("examples",), "value_error"),
        ({"examples": ()}, ("examples",), "too_short"),
        ({"examples": (0,)}, ("examples", 0), "greater_than_equal"),
        ({"words": 25}, ("words",), "less_than_equal"),
        ({"cut": "S2"}, ("cut",), "literal_error"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict, where: tuple, kind: str):
    with pytest.raises(ValidationError) as refused:
        ICLConfig(**settings)
    assert (where, kind) in [(error["loc"], error["type"]) for error in refused.value.errors()]


def test_a_prompt_needs_more_words_than_it_has_examples():
    with refuses(given=("words = 5", "examples = 5"), allowed=4):
        task_of(words=5, examples=(2, 5))


def test_what_cannot_be_enumerated_says_so():
    with refuses(given="inputs", allowed="5,000,000", remedy=("collect.train", "collect.pool")):
        next(task_of().enumerate())


@pytest.mark.slow
def test_the_bundled_subject_learns_in_context():
    subject = pytest.importorskip("inversescope.subject").Subject.load("smollm2")
    easy = ("antonym", "comparative", "past tense", "plural", "third person", "capital", "language", "continent")
    accuracy = task_of(subject, tasks=easy, examples=(5,)).accuracy(subject, 60, np.random.default_rng(0))
    assert accuracy.value > 0.7
