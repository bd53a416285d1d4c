"""Claims in words, labelled by a judge: a language model that answers blind, or a classifier that learns from examples.

A judge has a measured error, and every share that it gives is corrected for it (`stats/misclassified.py`). A judge that
cannot be relied on, or does not answer, gives the reason in place of labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from inversescope.check.claims import Claim
from inversescope.check.evidence import Evidence
from inversescope.progress import Progress, silent
from inversescope.propose.endpoint import BudgetError, Endpoint, Request
from inversescope.propose.judge import Judge, JudgeAccuracy, Judged, known_requests, question_requests, unsteady
from inversescope.propose.parsing import LABELS
from inversescope.propose.prompts import fits
from inversescope.propose.split import HeldOut
from inversescope.stats.misclassified import Accuracy
from inversescope.streams import Stream

DRAWS, PRIOR, ENDING, TARGETS = 32, 64, 32, 24  # texts of each kind that are judged for a claim
REPLY_TOKENS = 1024
NO_JUDGE = (
    'a judge is needed: a language model (INVERSESCOPE_BASE_URL), "examples" that a classifier learns from, or a '
    '"feature"'
)


@dataclass(frozen=True)
class Judgement:
    """Labels of texts, with the error of the judge that gave them.

    Attributes:
        labels: `yes`, `no`, or None where it is undecided; of each text.
        accuracy: on known answers; None where there is a problem.
        problem: the reason not to use them; None where there is none.
        repeated, negated: shares of answers that agree when they are given again.
    """

    labels: Mapping[str, str | None] = field(default_factory=dict)
    accuracy: Accuracy | None = None
    problem: str | None = None
    repeated: float | None = None
    negated: float | None = None


def picked(evidence: Evidence, seed: int) -> Evidence:
    """As many inputs of each kind as are judged; of each other target one draw."""
    rng = Stream.JUDGED.rng(seed)
    return replace(
        evidence,
        draws=evidence.draws.picked(DRAWS, rng),
        prior=evidence.prior.picked(PRIOR, rng),
        exact=False,
        ending=evidence.ending.picked(ENDING, rng),
        targets=tuple(target.picked(1, rng) for target in evidence.targets[:TARGETS]),
    )


def texts_of(evidence: Evidence) -> list[str]:
    """Every text of some evidence, once."""
    return sorted({text for inputs in evidence.all() for text in inputs.texts})


class LanguageModel:
    """A language model behind an endpoint as the judge of claims.

    Attributes:
        judged: all its answers.
    """

    def __init__(self, endpoint: Endpoint, seed: int, reply_tokens: int = REPLY_TOKENS, progress: Progress = silent):
        self._judge = Judge(endpoint, reply_tokens, seed, progress)
        self._accuracy: JudgeAccuracy | None = None
        self._seed = seed

    @property
    def judged(self) -> list[Judged]:
        """All its answers."""
        return self._judge.judged

    @property
    def unparsed(self) -> int:
        """Replies in which not one answer could be read."""
        return self._judge.unparsed

    def judge(self, claim: Claim, evidence: Evidence, known: Sequence[str]) -> Judgement:
        """Its judgement of a claim; `known`: texts among which questions of known answer are made.

        Raises:
            UserError: the endpoint refuses a request, or does not answer.
        """
        try:
            return self._answered(claim, evidence, known)
        except BudgetError as reached:
            return Judgement(problem=f"a limit was reached: {reached}")

    def _answered(self, claim: Claim, evidence: Evidence, known: Sequence[str]) -> Judgement:
        self._accuracy = measured = self._accuracy or self._judge.accuracy(known)
        if measured.problem is not None or measured.sensitivity is None or measured.specificity is None:
            return Judgement(problem=measured.problem)
        question = fits(claim.claim)
        answers = self._judge.answers("held out", question, texts_of(evidence))
        repeated, negated = self._judge.consistency(question, answers)
        accuracy = Accuracy(measured.sensitivity, measured.specificity, measured.positives, measured.negatives)
        problem = unsteady(answers, repeated, negated)
        if not accuracy.above_chance:
            problem = "the judge is no better than chance where the answer is known"
        labels = {text: LABELS.get(answer or "") for text, answer in answers.items()}
        return Judgement(labels, accuracy, problem, repeated, negated)


def requests(claims: Sequence[tuple[Claim, Evidence]], reply_tokens: int) -> list[Request]:
    """As many requests as there can be for these claims, each as long as it can be."""
    found: list[Request] = []
    for claim, evidence in claims:
        held_out, longest = HeldOut([], [], [], texts_of(evidence)), len(fits(claim.claim))
        # The questions of known answer are put once.
        found += question_requests(held_out, longest, reply_tokens)
    first = known_requests(HeldOut([], [], [], texts_of(claims[0][1])), reply_tokens) if claims else []
    return [*first, *found]
