"""One activation inverted at one level: its draws weighed, and everything that is recorded of them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inversescope import __version__
from inversescope.collect.inputs import KnownInputs
from inversescope.collect.outside import read_outside
from inversescope.collect.posterior import typical
from inversescope.generator import Generator
from inversescope.inverter.given import Given
from inversescope.inverter.inversion import Inversion
from inversescope.inverter.inverted_sample import InvertedSample
from inversescope.inverter.norms import norms
from inversescope.records.levels import Level
from inversescope.run.run import Run
from inversescope.sample.one_target import Source, WeightedDraws, invert, log_floor
from inversescope.sites import Site
from inversescope.stats.intervals import defined
from inversescope.streams import TorchStream
from inversescope.subject import Subject
from inversescope.tasks import Labels, Task
from inversescope.verdicts import ACCEPTED, proposal


def invert_one(
    run: Run,
    task: Task,
    known: KnownInputs | None,
    generator: Generator,
    source: Given,
    where: Site,
    target: Float[Tensor, "1 d"],
    n: int,
    level: Level,
    seed: int,
) -> Inversion:
    """The inversion of one text or vector, whose activation at the site is `target`.

    Args:
        run: whose subject and stored inputs are used.
        task: of the run, with further features perhaps.
        known: inputs whose probability is known.
        generator: of the run.
        source: what is inverted.
        n: number of draws, which `seed` decides.
    """
    subject, store = run.subject, run.store
    rng = torch.Generator(subject.device).manual_seed(TorchStream.INVERSION.seed(seed))
    usual = typical(store, known, where, target, level.bandwidth)
    floor, origin = log_floor(task, source.tokens, store.inputs("pool").tokens)
    of_source = Source(source.tokens, floor, usual.near)
    distance, kernel = store.distance(where), store.kernel
    draws = invert(generator, subject, task, distance, kernel, where, target, of_source, level, n, rng)
    weighed, samples = draws.weighed, _samples(draws, subject, task)
    return Inversion(
        source.text,
        source.tokens,
        source.dropped,
        str(where),
        level.bandwidth,
        _undecided(task) if source.tokens is None else task.labels(source.tokens),
        tuple(sorted(samples, key=lambda s: np.inf if s.distance is None else s.distance)),
        sum(sample.accepted for sample in samples) / n,
        weighed.size,
        defined(weighed.pareto_k),
        weighed.log_normaliser if np.isfinite(weighed.log_normaliser) else None,
        defined(floor),
        origin,
        weighed.left_out,
        usual,
        store.noise_floor(where),
        read_outside(run.folder, store, where, target),
        level.resolution,
        proposal(store.neighbourhood.distance, kernel),
        {
            "inversescope": __version__,
            "model": subject.name,
            "run": str(run.folder),
            "run_seed": run.seed,
            "seed": seed,
        },
        norms(target, store.activations("pool", where)) if source.tokens is None else None,
    )


def _samples(draws: WeightedDraws, subject: Subject, task: Task) -> list[InvertedSample]:
    """The draws with their labels, in the order in which they were drawn."""
    rows = zip(
        draws.tokens,
        draws.distance.tolist(),
        draws.weighed.weight.tolist(),
        draws.weighed.times.tolist(),
        draws.log_q.tolist(),
        strict=True,
    )
    return [
        InvertedSample(None, None, None, None, False, log_q, _undecided(task), times)
        if tokens is None
        else InvertedSample(
            subject.show(tokens), tokens, distance, weight, distance <= ACCEPTED, log_q, task.labels(tokens), times
        )
        for tokens, distance, weight, times, log_q in rows
    ]


def _undecided(task: Task) -> Labels:
    return dict.fromkeys(task.features)
