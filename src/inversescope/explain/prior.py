"""Hypotheses about one input, and the prior's share of each label, counted on the inputs of the reference: the pool's,
and those whose probability is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from inversescope.collect.inputs import read_known
from inversescope.features import annotators
from inversescope.features.candidates import Candidate, candidates
from inversescope.features.of_subject import WORDS, SubjectFeatures
from inversescope.inverter import Inversion
from inversescope.run.run import Run
from inversescope.tasks import Tokens

COMMON = 0.3  # share of the samples' weight that must have the source's label for a hypothesis to be considered

Label = Callable[[Tokens], str | None]


@dataclass(frozen=True)
class Hypothesis:
    """A feature, the source's label of it, and the share of each label among the decided inputs of the prior."""

    name: str
    words: str
    label: Label
    value: str
    shares: dict[str, float]
    decided: int  # inputs of the reference that have a label
    alike: Bool[ndarray, " inputs"]  # inputs of the reference that have the source's label, those of the pool first

    @property
    def chance(self) -> float:
        """The prior's share of the source's label."""
        return self.shares.get(self.value, 0.0)


class Prior:
    """The inputs of a run's reference, on which chance is measured: the pool's, and behind them the known ones.

    Candidates come from the pool alone: they are to be features of a typical input. `expected`: what the subject
    expects to follow is a hypothesis too; then the subject reads every input of the reference once more.
    """

    def __init__(self, run: Run, expected: bool = False):
        self.run = run
        pool, known = run.store.inputs("pool"), read_known(run.folder)
        behind = [] if known is None else [(run.store.inputs(split), row) for split, row in known.rows]
        self._pool = pool.tokens
        self.tokens = [*pool.tokens, *(inputs.tokens[row] for inputs, row in behind)]
        self.labels = {
            name: [*of_pool, *(inputs.labels[name][row] for inputs, row in behind)]
            for name, of_pool in pool.labels.items()
        }
        self.probability = pool.probability if known is None else known.shares
        self._of_subject = SubjectFeatures(run.subject, expected)
        self._of_subject.learn(self.tokens)
        self._decoded = lru_cache(maxsize=None)(run.subject.decode)

    def hypotheses(self, inversion: Inversion) -> Iterator[Hypothesis]:
        """Features that a good part of the samples' weight has in common with the source (of a vector: with each
        other), and not every input of the prior: the task's features, then the miner's candidates. The lack of
        something is no hypothesis.
        """
        self.learn(inversion)
        for name, words in self.names.items():
            label = self.label(name)
            value = inversion.own_label(label)
            if value is None or self._lacks(name, value, inversion):
                continue
            alike = [
                sample.weight or 0.0 for sample in inversion.samples if sample.tokens and label(sample.tokens) == value
            ]
            if sum(alike) < COMMON:
                continue
            labels = self.labels_of(name)
            shares = self._shares(labels)
            if shares and shares.get(value, 0) < 1:
                same = np.array([other == value for other in labels])
                yield Hypothesis(name, words, label, value, shares, len(labels) - labels.count(None), same)

    def _lacks(self, name: str, value: str, inversion: Inversion) -> bool:
        """True for a candidate that says only what is not there, as an even number of a word that does not occur."""
        if (candidate := self._candidates.get(name)) is None:
            return False
        return value == "no" or (
            candidate.counted is not None and inversion.own_label(self.label(candidate.counted)) == "0"
        )

    @cached_property
    def names(self) -> dict[str, str]:
        """The features that are tried, each with its words: the task's, then the subject's, then the miner's."""
        mined = {name: candidate.words for name, candidate in self._candidates.items()}
        of_subject = {name: WORDS[name] for name in self._of_subject.names}
        return dict.fromkeys(self.run.task.features, "") | of_subject | mined

    def learn(self, inversion: Inversion) -> None:
        """Let the subject read the samples and their source in batches, where hypotheses need that."""
        self._of_subject.learn([inversion.tokens, *(sample.tokens for sample in inversion.samples)])

    @cached_property
    def _candidates(self) -> dict[str, Candidate]:
        texts = [self._decoded(tokens) for tokens in self._pool]
        annotators.learn(texts)
        return {candidate.source: candidate for candidate in candidates(texts)}

    def label(self, name: str) -> Label:
        """The label of an input by one of the features that are tried."""
        if name in self.run.task.features:
            return lambda tokens: self.run.task.labels(tokens)[name]
        if name in self._of_subject.names:
            return lambda tokens: self._of_subject.label(name, tokens)
        label = self._candidates[name].label
        return lambda tokens: label(self._decoded(tokens))

    def _shares(self, labels: tuple[str | None, ...]) -> dict[str, float]:
        """The prior's share of each label among the decided inputs."""
        totals: dict[str, float] = {}
        for label, probability in zip(labels, self.probability.tolist(), strict=True):
            if label is not None:
                totals[label] = totals.get(label, 0.0) + probability
        whole = sum(totals.values())
        return {label: total / whole for label, total in totals.items()}

    @cache  # noqa: B019 - as many as there are hypotheses, needed again at every site
    def labels_of(self, name: str) -> tuple[str | None, ...]:
        """The labels of the inputs of the reference by one of the features that are tried."""
        label = self.label(name)
        return tuple(label(tokens) for tokens in self.tokens)
