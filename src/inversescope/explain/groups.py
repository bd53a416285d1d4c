"""Groups of an activation's draws: inputs that the site does not tell apart and the subject does, in the end.

The draws are inputs near one activation. If their hidden states after the last block fall into several groups, the
activation stands for more than one thing. The proposing draws choose the feature that separates the groups, and the
confirming ones test it, without an input in common (`halves`). The source itself belongs to no group: it would be most
of the weight at a fine resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from inversescope.explain.halves import factors
from inversescope.explain.prior import Prior
from inversescope.inverter import Inversion, InvertedSample
from inversescope.stats import groups as grouping
from inversescope.streams import Stream
from inversescope.tasks import Tokens
from inversescope.verdicts import SIGNIFICANT

Label = str | None
SHUFFLES = 999  # of the groups of the confirming draws, behind the p-value of a feature


@dataclass(frozen=True)
class Group:
    """Draws that the subject ends up with in one place.

    Attributes:
        share: of the weight of the confirming draws other than the source.
        inputs: number of distinct inputs among them.
        nearest: the nearest of them to the activation.
        label: the label of the separating feature with most of the group's weight; None where no feature separates.
    """

    share: float
    inputs: int
    nearest: InvertedSample
    label: Label


@dataclass(frozen=True)
class Grouped:
    """The groups of the draws at a site, the heaviest first; one where nothing speaks for more.

    Attributes:
        groups: empty where the draws other than the source are too few, or have too little weight.
        p_value: of the first split: probability of groups as clear as these in one normal cloud.
        feature: the feature that separates them; None where none does.
        separated: share of the confirming draws' weight that the feature puts into the right group, less what the
            heaviest group alone would, from 0 (not at all) to 1.
        feature_p: probability of a separation as good by chance.
    """

    groups: tuple[Group, ...]
    p_value: float
    feature: str | None
    separated: float
    feature_p: float


NONE = Grouped((), nan, None, nan, nan)


class Draws(NamedTuple):
    """Distinct draws, other than the source, that have weight, and their shares of it."""

    samples: list[InvertedSample]
    tokens: list[Tokens]
    shares: Float[ndarray, " draws"]

    @classmethod
    def of(cls, inversion: Inversion) -> Self:
        """The draws of an inversion."""
        weights = inversion.other_weights
        samples = [inversion.samples[row] for row in np.flatnonzero(weights).tolist()]
        tokens = [sample.tokens for sample in samples if sample.tokens is not None]
        assert len(tokens) == len(samples)  # a draw that never ended has no weight
        return cls(samples, tokens, weights[weights > 0] / (weights.sum() or 1.0))

    def weighted(self, times: Float[ndarray, " draws"]) -> Self:
        """The draws with a factor above 0, their shares multiplied by it and made to sum to one."""
        rows, shares = np.flatnonzero(times).tolist(), (self.shares * times)[times > 0]
        return type(self)([self.samples[i] for i in rows], [self.tokens[i] for i in rows], shares / (shares.sum() or 1))


def groups(prior: Prior, propose: Inversion, confirm: Inversion, seed: int) -> Grouped:
    """The groups of the confirming draws, and the feature that separates them.

    Args:
        prior: whose features are tried.
        propose, confirm: the halves of the draws at one site.
        seed: decides the normal clouds and the shuffles.
    """
    proposing, confirming = Draws.of(propose), Draws.of(confirm)
    if not confirming.samples or confirm.left_out is not None:
        return NONE
    subject = prior.run.subject
    (end,) = subject.sites([f"resid_post.{subject.shape.layers - 1}"])
    states = subject.capture([*proposing.tokens, *confirming.tokens], [end]).activations[end].double().cpu().numpy()
    features = {name: prior.label(name) for name in prior.names}
    return group_draws(states, features, proposing, confirming, Stream.GROUPS.rng(seed))


def group_draws(
    states: Float[ndarray, "draws d"],
    features: Mapping[str, Callable[[Tokens], Label]],
    proposing: Draws,
    confirming: Draws,
    rng: np.random.Generator,
) -> Grouped:
    """The groups of draws with these hidden states, those of the proposing ones first."""
    found = grouping.groups(states, np.concatenate([proposing.shares, confirming.shares]), rng)
    of_proposing, of = np.split(found.of, [len(proposing.tokens)])
    to_propose, to_confirm = factors(proposing.tokens, confirming.tokens, proposing.shares)
    separating = _separating(features, proposing.weighted(to_propose), of_proposing[to_propose > 0], confirming)
    name, separated, p_value = None, nan, nan
    if separating is not None:
        name, predicted = separating
        rows = to_confirm > 0
        separated, p_value = _tested(predicted[rows], of[rows], confirming.weighted(to_confirm).shares, rng)
    name = name if p_value <= SIGNIFICANT else None
    labels = None if name is None else [features[name](tokens) for tokens in confirming.tokens]
    made = [_group(confirming, of == number, labels) for number in np.unique(of).tolist()]
    return Grouped(tuple(sorted(made, key=lambda group: -group.share)), found.p_value, name, separated, p_value)


def _separating(
    features: Mapping[str, Callable[[Tokens], Label]],
    proposing: Draws,
    of: Int[ndarray, " proposing"],
    confirming: Draws,
) -> tuple[str, Int[ndarray, " confirming"]] | None:
    """The feature whose labels place most of the proposing draws, each by the others with its label; and the group that
    it gives each confirming draw. None where no feature places more than the heaviest group alone would.
    """
    totals = np.bincount(of, proposing.shares, int(of.max(initial=0)) + 1)
    best, right = None, float(totals.max()) + 1e-9
    for name, label in features.items():
        labels = [label(tokens) for tokens in proposing.tokens]
        placed = _placed(labels, proposing.shares, of, totals)
        if placed > right:
            best, right = (name, labels), placed
    if best is None:
        return None
    name, labels = best
    weight: dict[Label, Float[ndarray, " groups"]] = {}
    for value, share, number in zip(labels, proposing.shares, of, strict=True):
        weight.setdefault(value, np.zeros(len(totals)))[number] += share
    given = [int(weight.get(features[name](tokens), totals).argmax()) for tokens in confirming.tokens]
    return name, np.array(given)


def _placed(
    labels: Sequence[Label],
    shares: Float[ndarray, " n"],
    of: Int[ndarray, " n"],
    totals: Float[ndarray, " groups"],
) -> float:
    """Share of the weight that is in the group where most of the others with its label are; a draw that has its label
    alone is put into the heaviest group.
    """
    values = {value: number for number, value in enumerate(dict.fromkeys(labels))}
    rows = np.array([values[value] for value in labels])
    weight = np.zeros((len(values), len(totals)))
    np.add.at(weight, (rows, of), shares)
    others = weight[rows]
    others[np.arange(len(of)), of] -= shares
    alone = others.sum(1) <= 1e-12
    given = np.where(alone, totals.argmax(), others.argmax(1))
    return float(shares[given == of].sum())


def _tested(
    predicted: Int[ndarray, " n"], of: Int[ndarray, " n"], shares: Float[ndarray, " n"], rng: np.random.Generator
) -> tuple[float, float]:
    """The separation by a feature on draws that had no part in its choice, and its p-value; NaN without any."""
    if not len(of):
        return nan, nan
    heaviest = np.bincount(of, shares).max()
    right = shares[predicted == of].sum()
    shuffled = np.array([shares[predicted == rng.permutation(of)].sum() for _ in range(SHUFFLES)])
    p_value = float((1 + (shuffled >= right - 1e-12).sum()) / (1 + SHUFFLES))
    return (float(max(0.0, (right - heaviest) / (1 - heaviest))) if heaviest < 1 else nan), p_value


def _group(draws: Draws, members: Bool[ndarray, " draws"], labels: Sequence[Label] | None) -> Group:
    rows = np.flatnonzero(members).tolist()
    totals: dict[Label, float] = {}
    if labels is not None:
        for row in rows:
            totals[labels[row]] = totals.get(labels[row], 0.0) + draws.shares[row]
    nearest = min((draws.samples[row] for row in rows), key=lambda sample: sample.distance or 0.0)
    return Group(float(draws.shares[rows].sum()), len(rows), nearest, max(totals, key=totals.__getitem__, default=None))
