"""Draw inputs for one activation, read them again and weigh them: the steps `sample` and `verify`, on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from inversescope.generator import Generator
from inversescope.sample.sample import draw
from inversescope.sites import Site
from inversescope.stats.weights import importance_weights, log_posterior
from inversescope.subject import Subject
from inversescope.tasks import Task, Tokens
from inversescope.units import Units


@dataclass(frozen=True)
class WeightedDraws:
    """Draws of the generator for one activation, in the order in which they were drawn.

    Attributes:
        tokens: the input; None where it never ended.
        log_q: ln of its probability under the generator, in nats.
        distance: δ of its own activation to the target; NaN where it never ended.
        weight: importance weights of sum one; 0 where it never ended.
        pareto_k: shape k̂ of the weights' tail; NaN where there is no tail to fit.
    """

    tokens: list[Tokens | None]
    log_q: Float[ndarray, " n"]
    distance: Float[ndarray, " n"]
    weight: Float[ndarray, " n"]
    pareto_k: float


def invert(
    generator: Generator,
    subject: Subject,
    task: Task,
    units: Units,
    site: Site,
    target: Float[Tensor, "1 d"],
    bandwidth: float,
    n: int,
    rng: torch.Generator,
) -> WeightedDraws:
    """Draw `n` inputs for the activation of a site, run them through the subject, and weigh them."""
    tokens, log_q = draw(generator, site, target, bandwidth, n, rng)
    distances = _distances(subject, units, site, tokens, target)
    weights, shape = weigh(tokens, distances, bandwidth, log_prior(task, tokens), np.array(log_q))
    return WeightedDraws(tokens, np.array(log_q), distances, weights, shape)


def log_prior(task: Task, tokens: Sequence[Tokens | None]) -> Float[ndarray, " n"]:
    """ln P of every draw, in nats; −inf for one that never ended."""
    prior = {row: task.log_prior(row) for row in set(tokens) if row is not None}
    return np.array([-np.inf if row is None else prior[row] for row in tokens], dtype=float)


def weigh(
    tokens: Sequence[Tokens | None],
    distances: Float[ndarray, " n"],
    bandwidth: float,
    log_prior: Float[ndarray, " n"],
    log_q: Float[ndarray, " n"],
) -> tuple[Float[ndarray, " n"], float]:
    """Weights of sum one that turn the draws for one target into the posterior, 0 where there is no distance (NaN);
    and the shape k̂ of their tail (see `importance_weights`).
    """
    return importance_weights(log_posterior(distances, bandwidth, log_prior), log_q, tokens)


def _distances(
    subject: Subject, units: Units, site: Site, tokens: Sequence[Tokens | None], target: Float[Tensor, "1 d"]
) -> Float[ndarray, " n"]:
    distinct = sorted({row for row in tokens if row is not None})
    distance = dict.fromkeys(distinct, np.nan)
    if distinct:
        read = subject.capture(distinct, [site]).activations[site]
        distance = dict(zip(distinct, units.distance(read, target).double().tolist(), strict=True))
    return np.array([np.nan if row is None else distance[row] for row in tokens])
