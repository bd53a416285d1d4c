"""From samples to scored hypotheses: shown, proposed, judged blind, scored on targets that were not shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from inversescope.features import parse
from inversescope.progress import Progress
from inversescope.propose.endpoint import BudgetError, Endpoint, Reply, Request
from inversescope.propose.judge import Answers, Judge, JudgeAccuracy, Judged, distrust, most_requests
from inversescope.propose.parsing import LABELS, Hypothesis, Proposed, read_proposals
from inversescope.propose.prompts import GUIDE, propose_request, repair_request
from inversescope.propose.scoring import Labels, score
from inversescope.propose.split import HeldOut, Split

ALL = 10**6
QUESTION = 300  # characters of a question at most
SCORED, REFUSED, UNUSABLE, UNFINISHED = "scored", "refused", "not usable", "unfinished"


@dataclass(frozen=True)
class Limits:
    """Numbers of hypotheses, and of held-out texts that each is scored on.

    An expression costs nothing and is scored on all `draws` and `pool` inputs; a question on `targets` with `samples`
    each, and `prior` distractors.
    """

    hypotheses: int = 8
    reply_tokens: int = 1024
    draws: int = 64
    pool: int = 2000
    targets: int = 24
    samples: int = 8
    prior: int = 96


@dataclass(frozen=True)
class Scored:
    """Hypothesis with its `status`, the `reason` where it has no corrected score, and its scores.

    `repeated` and `negated` are the consistency of the judge.
    """

    hypothesis: Hypothesis
    status: str
    reason: str | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    unparsed: int = 0
    repeated: float | None = None
    negated: float | None = None


@dataclass(frozen=True)
class Outcome:
    """All hypotheses of a site at a bandwidth, every answer of the judge, and the reason of an early stop.

    `malformed` counts proposals that are no hypothesis, `unparsed` replies in which nothing could be read.
    """

    scored: list[Scored]
    judged: list[Judged]
    accuracy: JudgeAccuracy | None
    malformed: int
    unparsed: int
    problem: str | None


@dataclass(frozen=True)
class Plan:
    """Requests about a split: for hypotheses, or only for answers to the user's own `questions`."""

    split: Split
    limits: Limits
    questions: tuple[str, ...] = ()

    @cached_property
    def first(self) -> Request:
        """The request for hypotheses."""
        return propose_request(self.split, GUIDE, self.limits.hypotheses, self.limits.reply_tokens)

    @cached_property
    def held_out(self) -> HeldOut:
        """Texts that questions are about."""
        return self.split.draw_held_out(self.limits.targets, self.limits.samples, self.limits.prior)

    @cached_property
    def most(self) -> list[Request]:
        """As many requests as there can be, each as long as it can be: every hypothesis is a question."""
        limits = self.limits
        if self.questions:
            return most_requests(self.held_out, len(self.questions), QUESTION, limits.reply_tokens)
        # The second request holds the refused hypotheses.
        again = Request(self.first.instructions, self.first.data + "x" * 600 * limits.hypotheses, limits.reply_tokens)
        return [
            self.first,
            again,
            *most_requests(self.held_out, limits.hypotheses, QUESTION, limits.reply_tokens),
        ]


def propose(plan: Plan, endpoint: Endpoint, progress: Progress) -> Outcome:
    """Request hypotheses, unless the plan has questions, and score each. Hypotheses beyond the budget are unfinished.

    Raises:
        UserError: the endpoint refuses a request, or does not answer.
    """
    judge = Judge(endpoint, plan.limits.reply_tokens, plan.split.seed)
    try:
        own = [Hypothesis(question, "question", question) for question in plan.questions]
        proposed = Proposed(own, 0, None) if own else _hypotheses(plan, endpoint)
    except BudgetError as reached:
        return Outcome([], [], None, 0, 0, str(reached))
    wide = plan.split.draw_held_out(ALL, plan.limits.draws, plan.limits.pool)
    accuracy, stopped, scored = None, None, []
    for number, hypothesis in enumerate(proposed.hypotheses, start=1):
        judge.progress = lambda done, total, _="", number=number: progress(done, total, f"hypothesis {number}")
        if hypothesis.refused is not None:
            scored.append(Scored(hypothesis, REFUSED, hypothesis.refused))
        elif hypothesis.kind == "expression":
            expression = parse(hypothesis.feature)
            labels = {text: expression.label(text) for text in wide.texts}
            scored.append(_scored(hypothesis, wide, labels, plan.split.seed))
        else:
            try:
                accuracy = accuracy or judge.accuracy(plan.held_out.texts)
                scored.append(_judge(plan, judge, accuracy, hypothesis))
            except BudgetError as reached:
                stopped = str(reached)
                scored.append(Scored(hypothesis, UNFINISHED, stopped))
    unparsed = proposed.unparsed + judge.unparsed
    return Outcome(scored, judge.judged, accuracy, proposed.malformed, unparsed, stopped or proposed.problem)


def _hypotheses(plan: Plan, endpoint: Endpoint) -> Proposed:
    """Proposed hypotheses; refused or unreadable ones are requested once more with the reason."""
    first = _read(plan, endpoint.ask(plan.first))
    refused = [_complaint(item) for item in first.hypotheses if item.refused is not None]
    if first.problem is not None:
        refused.append({"error": first.problem})
    if not refused:
        return first
    again = _read(plan, endpoint.ask(repair_request(plan.first, refused)))
    distinct = list({item.feature.casefold(): item for item in [*first.hypotheses, *again.hypotheses]}.values())
    usable = [item for item in distinct if item.refused is None][: plan.limits.hypotheses]
    kept = [*usable, *(item for item in distinct if item.refused is not None)]
    problem = again.problem if not first.hypotheses else None
    return Proposed(kept, first.malformed + again.malformed, problem, first.unparsed + again.unparsed)


def _read(plan: Plan, reply: Reply) -> Proposed:
    return read_proposals(reply.text, plan.limits.hypotheses, parse)


def _complaint(item: Hypothesis) -> dict[str, str]:
    assert item.refused is not None
    return {"words": item.words, "expression": item.feature, "error": item.refused}


def _judge(plan: Plan, judge: Judge, accuracy: JudgeAccuracy, hypothesis: Hypothesis) -> Scored:
    """Score of a question by the judge's answers. A judge that fails on known answers is not used."""
    if accuracy.problem is not None:
        return Scored(hypothesis, UNUSABLE, accuracy.problem)
    answers: Answers = judge.answers("held out", hypothesis.feature, plan.held_out.texts)
    repeated, negated = judge.consistency(hypothesis.feature, answers)
    unparsed = sum(answer is None for answer in answers.values())
    quality = {"unparsed": unparsed, "repeated": repeated, "negated": negated}
    problem = distrust(plan.held_out, answers, repeated, negated)
    if problem is not None:
        return Scored(hypothesis, UNUSABLE, problem, **quality)
    labels = {text: LABELS.get(answer or "") for text, answer in answers.items()}
    return _scored(hypothesis, plan.held_out, labels, plan.split.seed, **quality)


def _scored(hypothesis: Hypothesis, held_out: HeldOut, labels: Labels, seed: int, **quality: Any) -> Scored:
    """The hypothesis with its scores, and the reason where the corrected one is undefined."""
    scores = score(held_out, labels, seed)
    reason = None
    if np.isnan(scores["corrected"].value):
        reason = "no target is decided" if scores["targets"] == 0 else "every input of the prior has the targets' label"
    return Scored(hypothesis, SCORED, reason, scores, **quality)
