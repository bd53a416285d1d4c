"""One fact once: hypotheses that hold for the same draws, and go together in the prior, are a fact with several names.

On draws alone any two hypotheses agree where little but the source remains; in the prior alone rare labels agree on
nearly every input, as it has neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from inversescope.explain.prior import Hypothesis
from inversescope.inverter import Inversion

AGREE = 0.95  # share of the weight of the draws of every site, on which two hypotheses of one fact agree
TOGETHER = 0.4  # correlation of the source's labels over the prior, from which two hypotheses of one fact go together


@dataclass(frozen=True)
class Fact:
    """A hypothesis, and the names of the others that say the same here."""

    hypothesis: Hypothesis
    synonyms: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, the hypothesis' own first."""
        return (self.hypothesis.name, *self.synonyms)


def facts(
    found: Sequence[Fact],
    inversions: Sequence[Inversion],
    probability: Float[ndarray, " inputs"],
    most: int | None = None,
) -> list[Fact]:
    """At most `most` facts in the order given; features of the task name them before expressions do.

    Args:
        found: hypotheses, each a fact of its own or of several already.
        inversions: draws on which they must agree, of every site.
        probability: of the inputs of the reference.
    """
    groups: list[list[Fact]] = []
    holds = {id(fact): [_holds(fact.hypothesis, inversion) for inversion in inversions] for fact in found}
    weights = [np.array([sample.weight or 0.0 for sample in inversion.samples]) for inversion in inversions]
    for fact in found:
        group = next(
            (
                group
                for group in groups
                if _agree(holds[id(fact)], holds[id(group[0])], weights)
                and correlation(fact.hypothesis.alike, group[0].hypothesis.alike, probability) >= TOGETHER
            ),
            None,
        )
        if group is not None:
            group.append(fact)
        elif most is None or len(groups) < most:
            groups.append([fact])
    return [_one(group) for group in groups]


def _one(group: Sequence[Fact]) -> Fact:
    """A group as one fact, named by a feature of the task where there is one, else by its first hypothesis."""
    named = min(group, key=lambda fact: bool(fact.hypothesis.words))
    names = [name for fact in (named, *group) for name in fact.names]
    return Fact(named.hypothesis, tuple(dict.fromkeys(names))[1:])


def _holds(hypothesis: Hypothesis, inversion: Inversion) -> Bool[ndarray, " n"]:
    """True for the draws that have the source's label."""
    return np.array([
        sample.tokens is not None and hypothesis.label(sample.tokens) == hypothesis.value
        for sample in inversion.samples
    ])  # fmt: skip


def _agree(
    one: Sequence[Bool[ndarray, " n"]], other: Sequence[Bool[ndarray, " n"]], weights: Sequence[Float[ndarray, " n"]]
) -> bool:
    """True where they agree on nearly all of the weight at every site."""
    return all(w[left == right].sum() >= AGREE * w.sum() for left, right, w in zip(one, other, weights, strict=True))


def correlation(
    one: Bool[ndarray, " inputs"], other: Bool[ndarray, " inputs"], probability: Float[ndarray, " inputs"]
) -> float:
    """Correlation of two labels over the prior (φ); 1 where they are the same, 0 where one of them never varies."""
    if (one == other).all():
        return 1.0
    p, q, both = (float(probability @ held) for held in (one, other, one & other))
    spread = (p * (1 - p) * q * (1 - q)) ** 0.5
    return (both - p * q) / spread if spread > 0 else 0.0
