"""Hypotheses about one input, and what the prior says of each: the pool's labels, and their shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from inversescope.features import annotators
from inversescope.features.candidates import Candidate, candidates
from inversescope.inverter import Inversion
from inversescope.run.run import Run
from inversescope.tasks import Tokens

COMMON = 0.3  # of the weight of the samples that a hypothesis must share with the source to be looked at closely

Label = Callable[[Tokens], str | None]


@dataclass(frozen=True)
class Hypothesis:
    """A feature, the source's label of it, and the share of each label among the decided inputs of the prior."""

    name: str
    words: str
    label: Label
    value: str
    shares: dict[str, float]
    alike: Bool[ndarray, " pool"]  # which inputs of the pool have the source's label

    @property
    def chance(self) -> float:
        """The prior's share of the source's label."""
        return self.shares.get(self.value, 0.0)


class Prior:
    """The inputs of a run's pool as what chance is measured on."""

    def __init__(self, run: Run):
        self.run = run
        pool = run.store.inputs("pool")
        self.tokens = pool.tokens
        self.probability: Float[ndarray, " pool"] = (
            np.full(len(pool), 1 / len(pool)) if pool.probability is None else pool.probability
        )
        self._decoded = lru_cache(maxsize=None)(run.subject.decode)

    def hypotheses(self, source: Tokens, inversion: Inversion) -> Iterator[Hypothesis]:
        """What most of the weight of the samples has in common with the source, and not every input of the prior: the
        task's features, then what the miner tries. That the source lacks something is no hypothesis.
        """
        mined = {name: each.words for name, each in self._candidates.items()}
        for name, words in {**dict.fromkeys(self.run.task.features, ""), **mined}.items():
            label = self._label(name)
            value = label(source)
            if value is None or (value == "no" and name in mined):
                continue
            alike = [
                sample.weight or 0.0 for sample in inversion.samples if sample.tokens and label(sample.tokens) == value
            ]
            if sum(alike) < COMMON:
                continue
            shares, pool = self._shares(name, value)
            if shares and shares.get(value, 0) < 1:
                yield Hypothesis(name, words, label, value, shares, pool)

    @cached_property
    def _candidates(self) -> dict[str, Candidate]:
        texts = [self._decoded(tokens) for tokens in self.tokens]
        annotators.learn(texts)
        return {each.source: each for each in candidates(texts)}

    def _label(self, name: str) -> Label:
        if name in self.run.task.features:
            return lambda tokens: self.run.task.labels(tokens)[name]
        label = self._candidates[name].label
        return lambda tokens: label(self._decoded(tokens))

    def _shares(self, name: str, value: str) -> tuple[dict[str, float], Bool[ndarray, " pool"]]:
        labels = self._labels(name)
        totals: dict[str, float] = {}
        for label, probability in zip(labels, self.probability.tolist(), strict=True):
            if label is not None:
                totals[label] = totals.get(label, 0.0) + probability
        whole = sum(totals.values())
        alike = np.array([label == value for label in labels])
        return {label: total / whole for label, total in totals.items()}, alike

    @cache  # noqa: B019 - as many as there are hypotheses, asked again at every site
    def _labels(self, name: str) -> tuple[str | None, ...]:
        label = self._label(name)
        return tuple(label(tokens) for tokens in self.tokens)
