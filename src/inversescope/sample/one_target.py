"""Draws for one activation: their distances and their weights, as the step `verify` has them, on arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from inversescope.collect.distance import Distance
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import (
    effective_sample_size,
    importance_weights,
    largest_reliable_shape,
    normalise,
    repeats,
)
from inversescope.subject import Subject
from inversescope.tasks import Task, Tokens
from inversescope.verdicts import why_left_out

KNOWN, TYPICAL = "known", "typical"  # origins of the source's probability


@dataclass(frozen=True)
class Weighed:
    """Weights of the draws for one target, and what speaks for or against them.

    Attributes:
        weight: importance weights of sum one, the whole weight of an input at its first draw; 0 where it never ended.
        times: number of draws of this input, at its first draw; 0 at the others.
        size: effective sample size, by distinct inputs.
        pareto_k: shape k̂ of the weights' tail; NaN where there is no tail to fit.
        unreliable: k̂ is too large for so many distinct inputs.
        log_normaliser: ln Ẑ, in nats; −inf where nothing has weight.
        left_out: the reason why the target counts in no mean (`verdicts/left_out.py`); None where it counts.
    """

    weight: Float[ndarray, " n"]
    times: Int[ndarray, " n"]
    size: float
    pareto_k: float
    unreliable: bool
    log_normaliser: float
    left_out: str | None


@dataclass(frozen=True)
class WeightedDraws:
    """Draws of the generator for one activation, in the order in which they were drawn.

    Attributes:
        tokens: the input; None where it never ended.
        log_q: ln of its probability under the generator, in nats.
        distance: δ of its own activation to the target; NaN where it never ended, 0 for the source input itself.
        weighed: the weights.
    """

    tokens: list[Tokens | None]
    log_q: Float[ndarray, " n"]
    distance: Float[ndarray, " n"]
    weighed: Weighed


@dataclass(frozen=True)
class Source:
    """The input whose activation is inverted.

    Attributes:
        tokens: the input; None for a vector, which has none.
        log_floor: ln of its term P(x̂)·k(0) in the normaliser; NaN where nothing is known of it.
        near: distance up to which a draw is near: the reference's typical one.
    """

    tokens: Tokens | None
    log_floor: float
    near: float


def weighted(
    task: Task,
    kernel: Kernel,
    source: Source,
    bandwidth: float,
    tokens: list[Tokens | None],
    log_q: Float[ndarray, " n"],
    distances: Float[ndarray, " n"],
) -> WeightedDraws:
    """Draws that were read again, with the weights that turn them into the posterior at a bandwidth."""
    prior = log_prior(task, tokens)
    weighed = weigh(tokens, distances, kernel, bandwidth, prior, log_q, source.log_floor, source.near)
    return WeightedDraws(tokens, log_q, distances, weighed)


def log_prior(task: Task, tokens: Sequence[Tokens | None]) -> Float[ndarray, " n"]:
    """ln P of every draw, in nats; −inf for one that never ended."""
    prior = {row: task.log_prior(row) for row in set(tokens) if row is not None}
    return np.array([-np.inf if row is None else prior[row] for row in tokens], dtype=float)


def log_floor(task: Task, source: Tokens | None, pool: Sequence[Tokens]) -> tuple[float, str | None]:
    """ln P(x̂)·k(0) of a source input, and where P is from: `known` from the task; `typical` of the pool's inputs (the
    mean of their ln P) for a source that the prior does not have; None, with NaN, where P of no input is known, or
    where there is no source.
    """
    if source is None:
        return np.nan, None
    own = task.log_prior(source)
    if own is not None and np.isfinite(own):
        return own, KNOWN
    known = np.array([np.nan if (value := task.log_prior(x)) is None else value for x in pool], dtype=float)
    known = known[np.isfinite(known)]
    return (float(known.mean()), TYPICAL) if len(known) else (np.nan, None)


def weigh(
    tokens: Sequence[Tokens | None],
    distances: Float[ndarray, " n"],
    kernel: Kernel,
    bandwidth: float,
    log_prior: Float[ndarray, " n"],
    log_q: Float[ndarray, " n"],
    log_floor: float,
    near: float,
) -> Weighed:
    """Weights that turn the draws for one target into the posterior, 0 where there is no distance (NaN).

    Args:
        tokens: the draws; None where one never ended.
        distances: δ of each to the target.
        kernel, bandwidth: k and h.
        log_prior: ln P of each.
        log_q: ln of the probability of drawing each.
        log_floor: ln P(x̂)·k(0) of the source, NaN where it is not known.
        near: distance up to which a draw is near.
    """
    terms = kernel.log_posterior(distances, bandwidth, log_prior)
    weights, shape, log_normaliser = importance_weights(terms, log_q, tokens)
    times, size = repeats(tokens), float(effective_sample_size(weights))
    spread = float(effective_sample_size(normalise(np.where(times > 0, terms, -np.inf))))
    unreliable = bool(shape > largest_reliable_shape(int((times > 0).sum())))  # never where it is NaN
    is_near = bool((distances <= near).any())
    reason = why_left_out(size, spread, log_normaliser, log_floor, is_near)
    return Weighed(weights, times, size, shape, unreliable, log_normaliser, reason)


def distances_of(
    subject: Subject,
    distance: Distance,
    site: Site,
    tokens: Sequence[Tokens | None],
    target: Float[Tensor, "1 d"],
    known: Mapping[Tokens | None, float],
) -> Float[ndarray, " n"]:
    """δ of every draw; NaN where it never ended. `known` are inputs that are not read again, the source among them: in
    another batch it would be off by the subject's rounding.
    """
    distinct = sorted({row for row in tokens if row is not None and row not in known})
    found = dict(known)
    if distinct:
        read = subject.capture(distinct, [site]).activations[site]
        found |= dict(zip(distinct, distance.paired(read, target).double().tolist(), strict=True))
    return np.array([np.nan if row is None else found[row] for row in tokens])
