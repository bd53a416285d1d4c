"""Harmful and harmless requests: how they are matched, read back, and what counts as a refusal."""

from __future__ import annotations

import math
import statistics
from collections import Counter

import numpy as np
import pytest
from fake_tokenizer import KnowingSubject, WordSubject
from hypothesis import given
from hypothesis import strategies as st
from refusals import refuses

from inversescope.subject.tokenizer import Tokenizer
from inversescope.tasks.chat import FEATURES, Chat, ChatConfig
from inversescope.tasks.chat_requests import FORMS, REQUESTS

CUTS = ("instruction", "answer")


def task_of(subject: WordSubject | None = None, **settings) -> Chat:
    return Chat(ChatConfig(**settings), subject or WordSubject())


def test_neither_topic_nor_length_nor_form_tells_the_harmful_ones():
    pairs = [pair for pairs in REQUESTS.values() for pair in pairs]
    assert len(pairs) >= 30 and len({request for pair in pairs for request in pair}) == 2 * len(pairs)
    gaps = [len(harmless.split()) - len(harmful.split()) for harmful, harmless in pairs]
    assert set(map(abs, gaps)) <= {0, 1} and abs(statistics.mean(gaps)) < 0.1
    assert {len(pairs) for pairs in REQUESTS.values()} == {4}
    assert all(form.count("%s") == 1 and form[-1] in ".?" for form in FORMS)


@pytest.mark.parametrize("cut", CUTS)
def test_every_input_ends_where_it_should_and_is_read_back(cut: str):
    subject = WordSubject()
    task = task_of(subject, cut=cut)
    support = dict(task.enumerate())
    assert len(support) == len(FORMS) * 2 * 4 * len(REQUESTS)
    assert sum(support.values()) == pytest.approx(1)
    for tokens, probability in support.items():
        labels, text = task.labels(tokens), subject.decode(tokens)
        assert None not in labels.values()
        said = f"user: {labels['form'].replace('%s', labels['request'])}"
        assert text == (said if cut == "instruction" else f"{said}\nassistant:")
        which = ("harmful", "harmless").index(labels["harmful"])
        assert labels["request"] in [pair[which] for pair in REQUESTS[labels["topic"]]]
        assert math.exp(task.log_prior(tokens)) == pytest.approx(probability)
    counts = Counter(task.labels(tokens)["harmful"] for tokens in support)
    assert counts["harmful"] == counts["harmless"]


def test_draws_are_from_the_prior_and_repeat_with_the_seed():
    task = task_of(forms=2, topics=2)
    support = dict(task.enumerate())
    first, again = (task.draw(3_000, np.random.default_rng(5)) for _ in range(2))
    assert first == again and set(first) == support.keys() and len(support) == 2 * 2 * 8


SUBJECT = WordSubject()
TASK = task_of(SUBJECT)


@given(edits=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 200)), max_size=3), length=st.integers(0, 14))
def test_any_token_sequence_is_read(edits, length: int):
    tokens = list(TASK.draw(1, np.random.default_rng(0))[0])
    for place, token in edits:
        tokens[place % len(tokens)] = token
    tokens = tokens[:length]
    labels = TASK.labels(tokens)
    assert labels.keys() == set(FEATURES)
    assert (TASK.log_prior(tokens) > -math.inf) == (labels["request"] is not None)


@pytest.mark.parametrize(
    "said", ["Explain how to sing.", "Explain how to steal a car without the keys", "explain", "user: user: How can I"]
)
def test_what_is_no_request_of_the_list_is_undecided(said: str):
    tokens = SUBJECT.encode(f"user: {said}")
    assert TASK.labels(tokens) == dict.fromkeys(FEATURES)
    assert TASK.log_prior(tokens) == -math.inf


def test_accuracy_counts_refusals_by_how_the_answer_begins():
    answers = {
        f"user: {form.replace('%s', request)}\nassistant:": answer
        for form in FORMS
        for pair in REQUESTS["home"]
        for request, answer in zip(pair, ("I am sorry, but that is wrong", "First you need a lock"), strict=True)
    }
    refused = {prompt: answer for prompt, answer in answers.items() if "guard dog" not in prompt}
    complied = {prompt: "First you need a dog" for prompt in answers if "guard dog" in prompt}
    subject = KnowingSubject(refused | complied)
    accuracy = task_of(subject, topics=1).accuracy(subject, 400, np.random.default_rng(0))
    assert accuracy.value == pytest.approx(7 / 8, abs=0.05)  # one harmful request of four is answered
    assert "of 4" not in accuracy.what.split("(")[0] and ", 0 of " in accuracy.what


def test_the_contrast_is_refusing_against_complying():
    subject = WordSubject()
    task = task_of(subject, cut="answer")
    refuse, comply = subject.token("I"), subject.token("Sure")
    for tokens in task.draw(20, np.random.default_rng(0)):
        harmful = task.labels(tokens)["harmful"] == "harmful"
        assert task.contrast(tokens) == ((refuse, comply) if harmful else (comply, refuse))
    assert task.contrast([1, 2]) is None
    early = task_of(subject)
    assert early.contrast(early.draw(1, np.random.default_rng(0))[0]) is None


class Untemplated(WordSubject):
    converse = Tokenizer.converse  # pyright: ignore[reportAssignmentType] - it needs nothing of a Tokenizer


class Shouting(WordSubject):
    """Its template writes long messages in capitals."""

    def converse(self, messages):
        text = super().converse(messages)
        return text.upper() if len(text) > 60 else text


@pytest.mark.parametrize(
    ("subject", "values"),
    [
        (Untemplated(), {"given": "1 message", "remedy": True}),
        (Shouting(), {"given": "user:-1", "remedy": True}),
    ],
)
def test_subjects_that_do_not_converse_are_refused(subject: WordSubject, values: dict):
    with refuses(**values):
        task_of(subject)


@pytest.mark.slow
def test_the_bundled_subject_hardly_refuses():
    subject = pytest.importorskip("inversescope.subject").Subject.load("smollm2")
    task = task_of(subject, topics=4)
    assert all(None not in task.labels(tokens).values() for tokens, _ in task.enumerate())
    accuracy = task.accuracy(subject, 24, np.random.default_rng(0))
    assert accuracy.value < accuracy.needed  # so that `force` is needed; measured on 100: 0.42
