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
from inversescope.propose.judge import Answers, Judge, Judged, Known, distrust, most_requests
from inversescope.propose.parsing import LABELS, Hypothesis, Proposed, read_proposals
from inversescope.propose.prompts import GUIDE, propose_request, repair_request
from inversescope.propose.scoring import Labels, score
from inversescope.propose.split import Blind, Material

ALL = 10**6
QUESTION = 300  # characters of a question at most
SCORED, REFUSED, UNUSABLE, UNFINISHED = "scored", "refused", "not usable", "unfinished"


@dataclass(frozen=True)
class Limits:
    """How many hypotheses are asked for, and on how many held-out texts each is scored.

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
    """A hypothesis with what became of it: `status`, the `reason` where it has no corrected score, and the scores."""

    hypothesis: Hypothesis
    status: str
    reason: str | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    unparsed: int = 0
    same: float | None = None
    turned: float | None = None


@dataclass(frozen=True)
class Outcome:
    """All hypotheses of a site at a bandwidth, every answer of the judge, and why it stopped early, if it did.

    `malformed` counts proposals that are no hypothesis, `unparsed` replies in which nothing could be read.
    """

    scored: list[Scored]
    judged: list[Judged]
    known: Known | None
    malformed: int
    unparsed: int
    problem: str | None


@dataclass(frozen=True)
class Plan:
    """What is to be asked about some material: for hypotheses, or only the user's own `questions`."""

    material: Material
    limits: Limits
    questions: tuple[str, ...] = ()

    @cached_property
    def first(self) -> Request:
        """The request for hypotheses."""
        return propose_request(self.material, GUIDE, self.limits.hypotheses, self.limits.reply_tokens)

    @cached_property
    def blind(self) -> Blind:
        """What questions are asked about."""
        return self.material.blind(self.limits.targets, self.limits.samples, self.limits.prior)

    @cached_property
    def most(self) -> list[Request]:
        """As many requests as it can take, each as long as it can be: every hypothesis a question."""
        limits = self.limits
        if self.questions:
            return most_requests(self.blind, len(self.questions), QUESTION, limits.reply_tokens)
        # The second time, what was refused is sent back.
        again = Request(self.first.instructions, self.first.data + "x" * 600 * limits.hypotheses, limits.reply_tokens)
        return [
            self.first,
            again,
            *most_requests(self.blind, limits.hypotheses, QUESTION, limits.reply_tokens),
        ]


def propose(plan: Plan, endpoint: Endpoint, progress: Progress) -> Outcome:
    """Ask for hypotheses, unless the plan has questions, and score each. Where the budget ends, the rest is unfinished.

    Raises:
        UserError: the endpoint refuses a request, or does not answer.
    """
    judge = Judge(endpoint, plan.limits.reply_tokens, plan.material.seed)
    try:
        own = [Hypothesis(question, "question", question) for question in plan.questions]
        proposed = Proposed(own, 0, None) if own else _ask(plan, endpoint)
    except BudgetError as reached:
        return Outcome([], [], None, 0, 0, str(reached))
    wide = plan.material.blind(ALL, plan.limits.draws, plan.limits.pool)
    known, stopped, scored = None, None, []
    for number, hypothesis in enumerate(proposed.hypotheses, start=1):
        judge.progress = lambda done, total, _="", number=number: progress(done, total, f"hypothesis {number}")
        if hypothesis.refused is not None:
            scored.append(Scored(hypothesis, REFUSED, hypothesis.refused))
        elif hypothesis.kind == "expression":
            expression = parse(hypothesis.feature)
            labels = {text: expression.label(text) for text in wide.texts}
            scored.append(_scored(hypothesis, wide, labels, plan.material.seed))
        else:
            try:
                known = known or judge.known(plan.blind.texts)
                scored.append(_judge(plan, judge, known, hypothesis))
            except BudgetError as reached:
                stopped = str(reached)
                scored.append(Scored(hypothesis, UNFINISHED, stopped))
    unparsed = proposed.unparsed + judge.unparsed
    return Outcome(scored, judge.judged, known, proposed.malformed, unparsed, stopped or proposed.problem)


def _ask(plan: Plan, endpoint: Endpoint) -> Proposed:
    """What is proposed; what is refused, or cannot be read, is asked for once more with the reason."""
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


def _judge(plan: Plan, judge: Judge, known: Known, hypothesis: Hypothesis) -> Scored:
    """A question, answered blind. A judge that fails where the answer is known is not asked any more."""
    if known.problem is not None:
        return Scored(hypothesis, UNUSABLE, known.problem)
    answers: Answers = judge.answers("held out", hypothesis.feature, plan.blind.texts)
    same, turned = judge.consistency(hypothesis.feature, answers)
    unparsed = sum(answer is None for answer in answers.values())
    told = {"unparsed": unparsed, "same": same, "turned": turned}
    problem = distrust(plan.blind, answers, same, turned)
    if problem is not None:
        return Scored(hypothesis, UNUSABLE, problem, **told)
    labels = {text: LABELS.get(answer or "") for text, answer in answers.items()}
    return _scored(hypothesis, plan.blind, labels, plan.material.seed, **told)


def _scored(hypothesis: Hypothesis, blind: Blind, labels: Labels, seed: int, **told: Any) -> Scored:
    """The hypothesis with its scores, and why there is no corrected one if there is none."""
    scores = score(blind, labels, seed)
    reason = None
    if np.isnan(scores["corrected"].value):
        reason = "no target is decided" if scores["targets"] == 0 else "every input of the prior has the targets' label"
    return Scored(hypothesis, SCORED, reason, scores, **told)
