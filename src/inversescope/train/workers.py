"""The parts of a step's gradient, computed by the workers of a run.

Not by Ray Train: its process group sums over the workers that there are, so the bits would depend on their number, and
its restarts go back to a checkpoint. Here the process that trains holds the only optimizer and the checkpoints, sends
the weights out in each step, and adds the gradients in the order of the parts; a worker that is lost costs one step's
part. The same workers serve without Ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from inversescope.cluster import Pooled
from inversescope.cluster.rounds import Rounds
from inversescope.collect.store import OpenRun
from inversescope.train.prepare import of_run
from inversescope.train.trainer import Compute, PartGradient, Trainer, here


@dataclass(frozen=True)
class _Job:
    """Parts of a step that a worker computes, and all that changes from step to step."""

    parts: range
    done: int
    site_weights: ndarray
    weights: list[ndarray]


@dataclass(frozen=True)
class _Part:
    """A `PartGradient` on its way between processes."""

    gradient: list[ndarray | None]
    nats: float
    pairs: int
    tokens: int


class _Worker:
    """Computes parts of a step's gradient, with training data of its own."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer

    def __call__(self, job: _Job) -> list[_Part]:
        trainer = self.trainer
        trainer.done, trainer.site_weights = job.done, torch.tensor(job.site_weights)
        with torch.no_grad():
            for weight, array in zip(trainer.generator.parameters(), job.weights, strict=True):
                weight.copy_(torch.tensor(array))
        return [_packed(trainer.gradient(part)) for part in job.parts]


def make_worker(run: OpenRun) -> _Worker:
    """Worker of the step `train`."""
    return _Worker(Trainer(of_run(run), run.config.train, run.seed, run.subject.device))


@contextmanager
def by(run: OpenRun) -> Iterator[Compute]:
    """Compute the parts by the workers of the run; in this process where there are none, or one part alone."""
    parts = run.config.train.parts
    if parts == 1 or not isinstance(run.executor, Pooled):
        yield here
        return
    with Rounds(run.executor.pool, make_worker, run) as rounds:
        count = min(rounds.pool.size, parts)

        def compute(trainer: Trainer) -> Sequence[PartGradient]:
            weights = [_array(weight) for weight in trainer.generator.parameters()]
            shares = [range(worker, parts, count) for worker in range(count)]
            jobs = [_Job(share, trainer.done, _array(trainer.site_weights), weights) for share in shares]
            computed: dict[int, _Part] = {}
            for share, result in zip(shares, rounds.map(jobs), strict=True):
                computed |= dict(zip(share, result, strict=True))
            return [_unpacked(computed[part]) for part in range(parts)]

        yield compute


def _array(tensor: Tensor) -> ndarray:
    return tensor.detach().cpu().numpy()


def _packed(part: PartGradient) -> _Part:
    gradient = [None if each is None else _array(each) for each in part.gradient]
    return _Part(gradient, part.nats, part.pairs, part.tokens)


def _unpacked(part: _Part) -> PartGradient:
    gradient = [None if each is None else torch.from_numpy(np.array(each)) for each in part.gradient]
    return PartGradient(gradient, part.nats, part.pairs, part.tokens)
