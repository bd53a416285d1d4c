"""Inputs that were read, in strata: training inputs, other inputs of the pool, and a target's own source.

Σ over them of mass · k estimates the normaliser of P(x; ẑ, s, h). A training input stands for itself, with its own
P(x); the other inputs of the pool together stand for the rest of the prior. In a pool that is the whole prior every
one stands for itself, and sums are exact. If P is not known, the inputs that
were drawn together hold the Good-Turing estimate of the prior (Good 1953), 1 minus the share of draws that occur once:
the training inputs as much of it as they are of the draws, a source as much as any one of them.

Dimensions: `inputs` distinct ones, `targets` stand-ins for targets, `d` coordinates of a site.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from inversescope.collect.store import Store
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import beside_known, normalise
from inversescope.tasks import Task, Tokens

SOURCE, TRAINED, UNSEEN = range(3)  # strata of the inputs, as a target sees them


@dataclass(frozen=True)
class Posterior:
    """P(x; ẑ, s, h) over the inputs, estimated.

    Attributes:
        weights: sum to one for each target; an input that stands for others has their weight.
        log_kernel: ln k of each input.
        log_probability: ln P(x; ẑ, s, h) of the input itself; NaN where P is not known.
    """

    weights: Float[ndarray, "targets inputs"]
    log_kernel: Float[ndarray, "targets inputs"]
    log_probability: Float[ndarray, "targets inputs"]


class Strata:
    """Distinct inputs of the training set and the pool, with the part of the prior that each stands for.

    Attributes:
        mass: sums to one.
        log_prior: ln P of each; NaN where it is not known.
        trained: True for a training input.
        known: P is known.
    """

    def __init__(self, store: Store, task: Task, targets: Sequence[int]):
        pool = store.inputs("pool")
        train = store.inputs("train")
        self.store, self.exact = store, store.exact
        counts, others = Counter(train.tokens), Counter(pool.tokens)
        if self.exact:
            self.tokens = list(pool.tokens)
        else:
            self.tokens = [*counts, *(tokens for tokens in others if tokens not in counts)]
        self.number = {tokens: place for place, tokens in enumerate(self.tokens)}
        self.trained: Bool[ndarray, " inputs"] = np.array([tokens in counts for tokens in self.tokens])
        self.targets: Int[ndarray, " targets"] = np.array([self.number[pool.tokens[row]] for row in targets])
        self._rows = [_first_rows(split.tokens, self.tokens) for split in (train, pool)]
        self.labels = self._labels(train.labels, pool.labels)
        self.log_prior = self._log_prior(task)
        self.known = not np.isnan(self.log_prior).any()
        self.mass: Float[ndarray, " inputs"] = self._mass(counts, others)
        self._own: tuple[Site, Float[ndarray, "targets inputs"]] | None = None

    def _labels(self, train: dict[str, list[str | None]], pool: dict[str, list[str | None]]) -> dict[str, ndarray]:
        """Labels of every input, by feature."""
        in_train, in_pool = self._rows
        labels = {}
        for feature, of_pool in pool.items():
            of_train = train[feature]
            pairs = zip(in_train, in_pool, strict=True)
            labels[feature] = np.array([of_train[a] if b < 0 else of_pool[b] for a, b in pairs], dtype=object)
        return labels

    def _log_prior(self, task: Task) -> Float[ndarray, " inputs"]:
        """ln P of every input; NaN for all where the inputs are rows of a file, which stand for a wider prior."""
        pool = self.store.inputs("pool")
        if pool.enumerated is not None:
            return np.log(pool.enumerated)
        logs = [None] if task.rows is not None else [task.log_prior(tokens) for tokens in self.tokens]
        if None in logs:
            return np.full(len(self.tokens), np.nan)
        return np.array(logs, dtype=float)

    def _mass(self, train: Counter[Tokens], pool: Counter[Tokens]) -> Float[ndarray, " inputs"]:
        """The part of the prior that each input stands for."""
        if self.exact:
            return np.exp(self.log_prior)
        drawn = np.array([train[tokens] if tokens in train else pool[tokens] for tokens in self.tokens], dtype=float)
        rest = ~self.trained
        if self.known:
            mass = np.exp(self.log_prior)
            held = min(1.0, float(mass[self.trained].sum()))
            if held < 1:
                p, draws = np.clip(mass[rest], 0, 1 - np.finfo(float).eps), drawn.sum()
                mass[rest] = beside_known(p, -np.expm1(draws * np.log1p(-p)), self.trained.mean())
        else:
            mass = drawn.copy()
            held = self._coverage(drawn) * drawn[self.trained].sum() / drawn.sum()
        for stratum, share in ((self.trained, held), (rest, 1 - held)):
            mass[stratum] *= share / max(mass[stratum].sum(), np.finfo(float).tiny)
        return mass

    def _coverage(self, drawn: Float[ndarray, " inputs"]) -> float:
        """Good-Turing estimate of the probability of all inputs that were drawn; sets that of one of them."""
        coverage = float(1 - (drawn == 1).sum() / drawn.sum())
        self.of_one = coverage / len(drawn)
        return coverage

    def posterior(self, site: Site, bandwidth: float, noised: Float[Tensor, "targets d"] | None = None) -> Posterior:
        """P(x; ẑ, s, h) of every target. Its source counts with its own P, or as any input that was drawn.

        Args:
            noised: activations in place of the sources' own.
        """
        distances = self._from_sources(site) if noised is None else self._distances(site, noised)
        logs = Kernel.GAUSSIAN.log(distances, bandwidth)
        with np.errstate(divide="ignore"):
            joint = np.log(self._masses()) + logs
        highest = joint.max(1, keepdims=True)
        normaliser = highest + np.log(np.exp(joint - highest).sum(1, keepdims=True))
        return Posterior(normalise(joint), logs, self.log_prior + logs - normaliser)

    def repeats(self, weights: Float[ndarray, "targets inputs"]) -> Float[ndarray, " targets"]:
        """Σw² over the inputs that stand for others: probability that two of them are the same one. 1 over it is the
        number of draws that a target's estimate is worth; 0 where every input stands for itself.
        """
        if self.exact:
            return np.zeros(len(weights))
        sampled = self.strata() == UNSEEN if self.known else np.ones(weights.shape, dtype=bool)
        return np.where(sampled, weights**2, 0).sum(1)

    def _masses(self) -> Float[ndarray, "targets inputs"]:
        """The part of the prior that each input stands for, as each target sees it."""
        mass = np.tile(self.mass, (len(self.targets), 1))
        if self.exact:
            return mass
        own = np.exp(self.log_prior[self.targets]) if self.known else np.full(len(self.targets), self.of_one)
        rest, places = ~self.trained, (np.arange(len(mass)), self.targets)
        mass[places] = 0
        left = self.mass[rest].sum() - own
        mass[:, rest] *= (left / np.maximum(mass[:, rest].sum(1), np.finfo(float).tiny)).clip(0)[:, None]
        mass[places] = own
        return mass

    def strata(self) -> Int[ndarray, "targets inputs"]:
        """The stratum of each input, as each target sees it."""
        strata = np.tile(np.where(self.trained, TRAINED, UNSEEN), (len(self.targets), 1))
        strata[np.arange(len(self.targets)), self.targets] = SOURCE
        return strata

    def _from_sources(self, site: Site) -> Float[ndarray, "targets inputs"]:
        """δ of the sources to every input; kept for the next bandwidth."""
        if self._own is None or self._own[0] != site:
            self._own = site, self._distances(site, self._activations(site)[self.targets])
        return self._own[1]

    def _distances(self, site: Site, activations: Float[Tensor, "targets d"]) -> Float[ndarray, "targets inputs"]:
        """δ of every input from activations, as the noise channel has it."""
        return self.store.channel(site).by_products(self._activations(site), activations)

    def _activations(self, site: Site) -> Float[Tensor, "inputs d"]:
        in_train, in_pool = self._rows
        pool = self.store.activations("pool", site)
        if (in_pool >= 0).all():
            return pool[in_pool]
        train = self.store.activations("train", site)
        return torch.where(torch.from_numpy(in_pool < 0)[:, None], train[in_train], pool[in_pool])


def _first_rows(split: Sequence[Tokens], inputs: Sequence[Tokens]) -> Int[ndarray, " inputs"]:
    """The row of each input in a split; −1 where it has none."""
    first: dict[Tokens, int] = {}
    for row, tokens in enumerate(split):
        first.setdefault(tokens, row)
    return np.array([first.get(tokens, -1) for tokens in inputs])
