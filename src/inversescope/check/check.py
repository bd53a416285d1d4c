"""From claims to verdicts: evidence gathered, labels given, shares measured, q-values over all claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import numpy as np

from inversescope import __version__
from inversescope.bounds import SAMPLES
from inversescope.check.checked import Checked, CheckedClaim, p_values
from inversescope.check.claims import Claim, property_of
from inversescope.check.classifier import classify
from inversescope.check.evidence import Evidence
from inversescope.check.gather import Gatherer
from inversescope.check.judging import NO_JUDGE, Judgement, LanguageModel, picked, requests, texts_of
from inversescope.check.measured import Labels, Measured, measured
from inversescope.errors import UserError
from inversescope.explain.prior import Hypothesis
from inversescope.explain.replaced import Replaced
from inversescope.inverter import Inversion, Inverter
from inversescope.progress import Progress, silent
from inversescope.propose.endpoint import Request
from inversescope.stats import resampling
from inversescope.stats.intervals import UNDEFINED, Estimate
from inversescope.tasks import Tokens
from inversescope.verdicts.checked import CANNOT_TELL, SUPPORTED, checked

EXPRESSION, FEATURE, CLASSIFIER, JUDGE, NONE = "expression", "feature", "classifier", "judge", "none"


@dataclass(frozen=True)
class Item:
    """A claim beside the evidence on it.

    Attributes:
        labels: of an input, where the claim is executable; else None.
        value: the label that is claimed; None where a judge decides, or where the source has none.
        kind, feature: as in a `CheckedClaim`.
    """

    claim: Claim
    evidence: Evidence
    labels: Labels | None
    value: str | None
    kind: str
    feature: str


def item_of(
    claim: Claim,
    evidence: Evidence,
    features: Sequence[str],
    by_run: Callable[[str, Tokens], str | None],
    decode: Callable[[Tokens], str],
) -> Item:
    """The claim with the function that gives its labels, if it is executable.

    Args:
        features: names of features of the run; `by_run` gives their labels.
        decode: the text of an input.
    """
    found = property_of(claim, features)
    if found is None:
        kind = CLASSIFIER if claim.examples is not None else JUDGE
        return Item(claim, evidence, None, "yes", kind, claim.claim)
    expression, name = found.expression, found.feature

    def label(tokens: Tokens, text: str) -> str | None:
        return by_run(name, tokens) if expression is None else expression.label(text)

    own, value = evidence.tokens, found.value
    if value is None and own is not None:
        value = label(own, decode(own))
    return Item(claim, evidence, label, value, FEATURE if expression is None else EXPRESSION, name)


class Checking:
    """Claims about activations of a trained run, gathered and ready to be judged.

    Attributes:
        items: each claim with its evidence.
    """

    def __init__(
        self,
        inverter: Inverter,
        claims: Sequence[Claim],
        *,
        n: int = 128,
        resolution: float | None = None,
        bandwidth: float | None = None,
        seed: int = 0,
        progress: Progress = silent,
    ):
        if not 8 <= n <= SAMPLES:
            raise UserError("so many draws cannot show a share", given=f"n = {n}", allowed=f"8 to {SAMPLES:,}")
        self._gatherer = Gatherer(inverter, n, resolution, bandwidth, seed)
        self._seed = seed
        features = inverter.task.features
        for claim in claims:
            with _at_line(claim):
                self._gatherer.site(claim.site)
                property_of(claim, features)
        self._inversions: dict[str, Inversion] = {}
        self._runs: dict[str, Replaced] = {}
        evidence: dict[str, Evidence] = {}
        abouts = list({claim.about: claim for claim in claims}.values())
        for done, claim in enumerate(abouts, start=1):
            with _at_line(claim):
                evidence[claim.about], self._inversions[claim.about] = self._gatherer.of(claim)
            progress(done, len(abouts))
        decode = inverter.run.subject.decode
        self.items = [
            item_of(claim, evidence[claim.about], features, self._gatherer.labels, decode) for claim in claims
        ]

    def requests(self, reply_tokens: int) -> list[Request]:
        """As many requests to a language model as there can be."""
        return requests(_judged(self.items, self._seed), reply_tokens)

    def results(self, judge: LanguageModel | None = None, necessity: bool = True) -> Checked:
        """The verdicts.

        Args:
            judge: for claims that are not executable and have no examples.
            necessity: test supported claims by patching.
        """
        run = self._gatherer.inverter.run
        made_by = {"inversescope": __version__, "model": run.subject.name, "run": str(run.folder), "seed": self._seed}
        found = conclude(self.items, judge, self._seed, made_by)
        return replace(found, claims=tuple(map(self._tested, self.items, found))) if necessity else found

    def _tested(self, item: Item, claim: CheckedClaim) -> CheckedClaim:
        """The claim with its effect on the next token, where it is supported and its labels are computed."""
        if claim.verdict != SUPPORTED or item.labels is None or item.evidence.tokens is None:
            return claim
        sufficiency, necessity = self._effects(item)
        return replace(claim, sufficiency=sufficiency, necessity=necessity)

    def _effects(self, item: Item) -> tuple[Estimate, Estimate]:
        run, prior, labels = self._gatherer.inverter.run, self._gatherer.prior, item.labels
        assert labels is not None and item.value is not None
        decode = run.subject.decode
        of_prior = [labels(row, decode(row)) for row in prior.tokens]
        alike = np.array([label == item.value for label in of_prior])
        decided = sum(label is not None for label in of_prior)
        share = float(prior.probability[alike].sum())
        hypothesis = Hypothesis(
            item.feature, "", lambda tokens: labels(tokens, decode(tokens)), item.value, {item.value: share}, decided,
            alike,
        )  # fmt: skip
        if hypothesis.label(item.evidence.tokens or ()) != item.value:
            return UNDEFINED, UNDEFINED
        return self._replaced(item).of(hypothesis)

    def _replaced(self, item: Item) -> Replaced:
        about = item.claim.about
        if about not in self._runs:
            site = self._gatherer.site(item.claim.site)
            self._runs[about] = Replaced(self._gatherer.inverter.run, site, self._inversions[about], self._seed)
        return self._runs[about]


def conclude(
    items: Sequence[Item], judge: LanguageModel | None, seed: int, made_by: Mapping[str, Any] | None = None
) -> Checked:
    """The verdicts on claims whose evidence is gathered; q-values are over all of them."""
    judged = _judged(items, seed)
    known = texts_of(judged[0][1]) if judged else []
    found = [_measured(item, judge, known, seed) for item in items]
    q_values = resampling.q_values(p_values([numbers for numbers, _ in found])).tolist()
    concluded = [
        _concluded(item, numbers, judgement, q_value)
        for item, (numbers, judgement), q_value in zip(items, found, q_values, strict=True)
    ]
    return Checked(tuple(concluded), made_by or {})


def _judged(items: Sequence[Item], seed: int) -> list[tuple[Claim, Evidence]]:
    """Claims that a language model decides, each with the inputs that it reads."""
    return [
        (item.claim, picked(item.evidence, seed))
        for item in items
        if item.kind == JUDGE and item.evidence.left_out is None
    ]


def _measured(
    item: Item, judge: LanguageModel | None, known: Sequence[str], seed: int
) -> tuple[Measured | None, Judgement]:
    """The numbers of a claim; None where its evidence decides nothing, or its labels cannot be relied on."""
    if item.evidence.left_out is not None:
        return None, Judgement(problem=item.evidence.left_out)
    if item.value is None:
        return None, Judgement(problem="the source itself is undecided")
    if item.labels is not None:
        return measured(item.evidence, item.labels, item.value), Judgement()
    evidence = item.evidence if item.kind == CLASSIFIER else picked(item.evidence, seed)
    if item.kind == CLASSIFIER:
        judgement = classify(item.claim.examples or {}, texts_of(evidence))
    elif judge is None:
        judgement = Judgement(problem=NO_JUDGE)
    else:
        judgement = judge.judge(item.claim, evidence, known)
    if judgement.problem is not None:
        return None, judgement
    labels = judgement.labels
    return measured(evidence, lambda _, text: labels[text], item.value, judgement.accuracy), judgement


def _concluded(item: Item, numbers: Measured | None, judgement: Judgement, q_value: float) -> CheckedClaim:
    if numbers is None:
        verdict, reason = CANNOT_TELL, str(judgement.problem)
    else:
        verdict, reason = checked(numbers.shares, q_value)
    kind = NONE if judgement.problem == NO_JUDGE else item.kind
    return CheckedClaim(
        item.claim, kind, item.feature, item.value, item.evidence, numbers, q_value if numbers else nan, verdict,
        reason, judgement.accuracy, judgement.repeated, judgement.negated,
    )  # fmt: skip


@contextmanager
def _at_line(claim: Claim) -> Iterator[None]:
    """Name the line of a claim in the refusal of what is within."""
    try:
        yield
    except UserError as error:
        if not claim.line:
            raise
        given = f"line {claim.line}" + ("" if error.given is None else f": {error.given}")
        raise UserError(error.problem, given=given, allowed=error.allowed, remedy=error.remedy) from error


def check(
    inverter: Inverter,
    claims: Sequence[Claim],
    *,
    n: int = 128,
    resolution: float | None = None,
    bandwidth: float | None = None,
    seed: int = 0,
    judge: LanguageModel | None = None,
    necessity: bool = True,
    progress: Progress = silent,
) -> Checked:
    """The verdict on each claim about an activation, by verified draws of a trained run.

    Args:
        inverter: a trained run.
        claims: what is claimed.
        n: draws for each activation.
        resolution, bandwidth: as for `Inverter.invert`.
        seed: decides the draws, and the inputs that a judge reads.
        judge: a language model for claims that are not executable; without one they are undecided.
        necessity: test supported claims by patching.
        progress: called as activations are done.

    Raises:
        UserError: a claim's site, position, vector or feature cannot be used; its line is named.
    """
    checking = Checking(inverter, claims, n=n, resolution=resolution, bandwidth=bandwidth, seed=seed, progress=progress)
    return checking.results(judge, necessity)
