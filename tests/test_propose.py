"""Hypotheses from a language model: what it is shown, what becomes of its replies, and when its judging is used."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_endpoint import Model, Server, data_in, question_in, serving
from propose_fixture import ANIMAL, COLOUR, COLOURS, LIMITS, RED, planted
from refusals import refuses

from inversescope.features import parse
from inversescope.propose import Outcome, Plan, propose
from inversescope.propose.endpoint import Address, Budget, Endpoint, Replies


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Callable[..., tuple[Outcome, Server]]]:
    """Lets a model propose and judge; what came of it, and what the server was asked."""
    with ExitStack() as stack:

        def run(model: Callable, plan: Plan | None = None, calls: int = 200) -> tuple[Outcome, Server]:
            server = stack.enter_context(serving(model))
            address = Address(server.url, "fake")
            endpoint = stack.enter_context(Endpoint(address, Replies(tmp_path), Budget(calls, 10**6)))
            return propose(plan or Plan(planted(), LIMITS), endpoint, lambda done, total, note="": None), server

        yield run


def red(text: str) -> str:
    return "yes" if " red " in text else "no"


IS_RED = {"words": "something is red", "question": RED}


# What comes of a good model


def test_what_the_site_holds_is_told_from_what_it_does_not(ask: Callable):
    outcome, _ = ask(Model([COLOUR, ANIMAL, IS_RED], {RED: red}))
    colour, animal, question = outcome.scored
    assert [each.status for each in outcome.scored] == ["scored"] * 3 and outcome.problem is None
    assert colour.scores["corrected"].value == 1 and colour.scores["p_value"] < 0.001
    assert animal.scores["corrected"].low < 0 < animal.scores["corrected"].high and animal.scores["p_value"] > 0.05
    assert question.scores["corrected"].value == 1 and question.scores["p_value"] < 0.01
    assert (question.repeated, question.negated, question.unparsed) == (1, 1, 0)
    assert (outcome.accuracy.sensitivity, outcome.accuracy.specificity) == (1, 1) and outcome.accuracy.n == 64


def test_a_question_is_scored_as_the_expression_that_says_the_same(ask: Callable):
    plan = Plan(planted(), replace(LIMITS, draws=LIMITS.samples, pool=LIMITS.prior))  # on the very same texts
    outcome, _ = ask(Model([{"words": "red", "expression": 'has_word("red")'}, IS_RED], {RED: red}), plan)
    expression, question = (each.scores for each in outcome.scored)
    assert expression == question and expression["targets"] == 12


def test_no_target_that_is_shown_is_scored_on(ask: Callable):
    plan = Plan(planted(), LIMITS)
    _, server = ask(Model([IS_RED], {RED: red}), plan)
    [first] = [body for body in server.asked if question_in(body) is None]
    shown = {group["source"] for group in data_in(first)["groups"]}
    assert shown == {case.source for case in plan.split.shown}
    assert not shown & set(plan.held_out.sources) and len(plan.held_out.sources) == 12


def test_the_judge_is_told_nothing_but_the_question_and_shuffled_texts(ask: Callable):
    plan = Plan(planted(), LIMITS)
    _, server = ask(Model([IS_RED], {RED: red}), plan)
    bodies = [body for body in server.asked if question_in(body) == RED]
    assert all(set(data_in(body)) == {"texts"} for body in bodies)
    assert len({body["messages"][0]["content"] for body in bodies}) == 1
    asked = [text for body in bodies[:-1] for text in data_in(body)["texts"].values()]
    assert sorted(asked) == plan.held_out.texts  # each once; the last request asks some of them again
    roles = [plan.held_out.roles[text] for text in asked]
    changes = sum(one != other for one, other in itertools.pairwise(roles))
    assert changes > len(roles) / 3  # sources, samples and distractors alternate


# Judges that cannot be relied on


def always(word: str) -> Callable:
    model = Model([IS_RED, {"words": "blue", "question": "Is it blue?"}])
    model.answer = lambda question, text: word
    return model


class Partial(Model):
    """A judge that reads words well, and answers every other question by a rule of its own."""

    def __init__(self, rule: Callable[[str, str], str]):
        super().__init__([IS_RED])
        self.rule = rule

    def answer(self, question: str, text: str) -> str:
        return super().answer(question, text) if question.startswith("Does the word") else self.rule(question, text)


def test_a_judge_that_always_says_yes_is_caught_where_the_answer_is_known(ask: Callable):
    outcome, server = ask(always("yes"))
    assert [each.status for each in outcome.scored] == ["not usable"] * 2
    assert re.findall(r"\d\.\d+", outcome.scored[0].reason) == ["1.00", "0.00", "0.8"]  # of yes, of no, needed
    assert all(each.scores == {} for each in outcome.scored)
    assert {question_in(body) for body in server.asked} & {RED, "Is it blue?"} == set()  # nothing more is paid for


def test_a_judge_that_always_says_yes_to_the_hypothesis_is_caught_by_the_distractors(ask: Callable):
    outcome, _ = ask(Partial(lambda question, text: "yes"))
    assert outcome.accuracy.problem is None
    [question] = outcome.scored
    assert (question.status, question.scores) == ("not usable", {})
    assert '"yes"' in question.reason and not re.search(r"\d", question.reason)


@pytest.mark.parametrize(
    ("rule", "agreed", "numbers"),
    [
        (lambda question, text: red(text), (1, 0), ["0.00", "0.75"]),  # the same again, never the opposite; needed
        (lambda question, text: "cannot tell", (None, None), []),
        (lambda question, text: "maybe?", (None, None), []),
    ],
)
def test_a_judge_that_contradicts_itself_or_decides_nothing_is_not_used(
    ask: Callable, rule: Callable, agreed: tuple, numbers: list[str]
):
    [question] = ask(Partial(rule))[0].scored
    assert (question.status, question.scores) == ("not usable", {})
    assert (question.repeated, question.negated) == agreed
    assert question.reason and re.findall(r"\d\.\d+", question.reason) == numbers


def test_a_judge_that_guesses_contradicts_itself(ask: Callable):
    rng = np.random.default_rng(0)
    [question] = ask(Partial(lambda question, text: "yes" if rng.random() < 0.5 else "no"))[0].scored
    assert question.status == "not usable" and min(question.repeated, question.negated) < 0.75
    assert f"{question.repeated if question.repeated < 0.75 else question.negated:.2f}" in question.reason


def test_a_judge_that_errs_at_random_draws_the_score_towards_chance(ask: Callable):
    """Independent errors of a tenth leave (0.9 + 0.9 − 1)² of the covariance, about: 0.64."""

    def mostly(question: str, text: str) -> str:
        wrong = np.random.default_rng(list(text.encode())).random() < 0.1
        said = {"yes": "no", "no": "yes"}[red(text)] if wrong else red(text)
        return {"yes": "no", "no": "yes"}[said] if question.startswith('Is "no"') else said

    plan = Plan(planted(targets=84, n=16), replace(LIMITS, targets=80, samples=16, prior=200))
    [question] = ask(Partial(mostly), plan)[0].scored
    assert 0.4 < question.scores["corrected"].value < 0.85 and question.scores["p_value"] < 0.001


def test_unreadable_answers_are_counted_and_not_scored(ask: Callable):
    broken = [0]

    def now_and_then(body: dict) -> str:
        broken[0] += question_in(body) == RED
        good = Model([IS_RED], {RED: red})(body)
        return "I had rather not." if question_in(body) == RED and broken[0] == 2 else good

    outcome, _ = ask(now_and_then)
    [question] = outcome.scored
    assert outcome.unparsed == 1
    assert (question.status, question.unparsed) == ("scored", 16)
    assert question.scores["corrected"].value == 1


# Replies


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os').system('id')",
        "().__class__.__bases__[0]",
        "open('/etc/passwd').read()",
        "[x for x in (1, 2)]",
        'matches("(")',
        "9" * 290,
        "(" * 200 + "1" + ")" * 99,
    ],
)
def test_a_hostile_expression_is_refused_with_the_reason_and_asked_for_again(ask: Callable, source: str):
    outcome, server = ask(Model([{"words": "w", "expression": source}, COLOUR]))
    scored, refused = outcome.scored
    assert scored.status == "scored"
    assert (refused.status, refused.scores) == ("refused", {})
    with refuses() as reason:
        parse(source)
    assert refused.reason == str(reason.value)
    again = data_in(server.asked[1])["refused"]
    assert again == [{"words": "w", "expression": source, "error": refused.reason}]
    assert len(server.asked) == 2  # once


def test_a_regular_expression_that_never_ends_is_given_up(ask: Callable):
    """It leaves the texts on which it takes too long undecided."""
    slow = {"words": "slow", "expression": 'matches("(a|aa)+$")'}
    split = planted()
    long = [replace(case, source="a" * 60 + f" b {case.source}") for case in split.held_out]
    [each] = ask(Model([slow]), Plan(replace(split, held_out=long), LIMITS))[0].scored
    assert each.status == "scored" and np.isnan(each.scores["p_value"])
    assert each.scores["targets"] == 0 and each.reason


def test_what_never_varies_has_no_corrected_score_and_says_why(ask: Callable):
    [each] = ask(Model([{"words": "starts with a", "expression": 'first_word == "a"'}]))[0].scored
    assert each.status == "scored" and each.scores["targets"] == 12 and each.reason
    assert np.isnan(each.scores["corrected"].value) and each.scores["fcr"].value == each.scores["chance"] == 1


def test_the_second_answer_counts(ask: Callable):
    def model(body: dict) -> str:
        right = {"words": "the colour", "expression": "word(1)"}
        wrong = {"words": "the colour", "expression": "words[1]"}
        return json.dumps({"hypotheses": [right if "refused" in data_in(body) else wrong]})

    assert [each.status for each in ask(model)[0].scored] == ["scored", "refused"]


def test_a_reply_that_cannot_be_read_is_asked_for_once_more_and_then_said(ask: Callable):
    outcome, server = ask(lambda body: "Certainly! Here are some ideas.")
    assert outcome.scored == [] and '"hypotheses"' in outcome.problem
    assert len(server.asked) == 2 and outcome.unparsed == 2


def test_the_most_that_is_announced_is_not_exceeded(ask: Callable):
    names = [f"Is it {colour}?" for colour in (*COLOURS, "grey", "pink")]
    truths = {name: red for name in names}
    plan = Plan(planted(), LIMITS)
    _, server = ask(Model([{"words": name, "question": name} for name in names], truths), plan)
    assert len(server.asked) <= len(plan.most) <= len(server.asked) + 1  # one more if something is refused
    sent = sum(len(json.dumps(body["messages"])) for body in server.asked)
    assert sum(request.tokens - request.reply_tokens for request in plan.most) > sent / 4


# Interruption


def test_where_the_budget_ends_the_rest_is_unfinished_and_goes_on_later(ask: Callable):
    model = Model(
        [COLOUR, IS_RED, {"words": "blue", "question": "Is it blue?"}, ANIMAL], {RED: red, "Is it blue?": red}
    )
    stopped, first = ask(model, calls=8)
    assert [each.status for each in stopped.scored] == ["scored", "unfinished", "unfinished", "scored"]
    assert re.search(r"\b8\b.*--max-calls", stopped.problem) and len(first.asked) == 8
