"""One activation inverted at one level: its draws read again, weighed, and everything that is recorded of them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inversescope import __version__
from inversescope.collect.inputs import KnownInputs
from inversescope.collect.outside import read_outside
from inversescope.collect.posterior import Typical, typical
from inversescope.generator import Generator
from inversescope.inverter.given import Given
from inversescope.inverter.inversion import Inversion
from inversescope.inverter.inverted_sample import InvertedSample
from inversescope.inverter.norms import norms
from inversescope.records.levels import Level
from inversescope.run.run import Run
from inversescope.sample.one_target import Source, WeightedDraws, distances_of, log_floor, weighted
from inversescope.sample.sample import draw
from inversescope.sites import Site
from inversescope.stats.intervals import defined
from inversescope.streams import TorchStream
from inversescope.subject import Subject
from inversescope.tasks import Labels, Task, Tokens
from inversescope.verdicts import ACCEPTED, proposal


class Inverting:
    """Draws for one activation, made at once and read again in one part or in several.

    Attributes:
        tokens: the draws, in order; None where one never ended.
        done: number of draws, from the first on, that were read again.
        tokens_read: tokens that the subject has read for it.
    """

    def __init__(
        self,
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
    ):
        """Draw `n` inputs, which `seed` decides.

        Args:
            run: whose subject and stored inputs are used.
            task: of the run, with further features perhaps.
            known: inputs whose probability is known.
            generator: of the run.
            source: what is inverted.
            where: its site.
            target: its activation there.
            level: at which the generator draws.
        """
        self._run, self._task, self._known = run, task, known
        self.source, self.site, self.level, self._target, self._seed = source, where, level, target, seed
        rng = torch.Generator(run.subject.device).manual_seed(TorchStream.INVERSION.seed(seed))
        self.tokens, nats = draw(generator, where, target, level.drawn, n, rng)
        self._log_q = np.array(nats)
        self._distances = np.full(n, np.nan)
        self._read: dict[Tokens | None, float] = {source.tokens: 0.0}
        self._typical: dict[float, Typical] = {}
        self.done = self.tokens_read = 0

    def read(self, count: int) -> None:
        """Read the next `count` draws again, or as many as there are."""
        part = slice(self.done, self.done + count)
        tokens, store = self.tokens[part], self._run.store
        new = {row for row in tokens if row is not None and row not in self._read}
        distances = distances_of(
            self._run.subject, store.distance(self.site), self.site, tokens, self._target, self._read
        )
        self._distances[part] = distances
        self._read |= {row: value for row, value in zip(tokens, distances.tolist(), strict=True) if row is not None}
        self.done += len(tokens)
        self.tokens_read += sum(map(len, new))

    def inversion(self, level: Level | None = None) -> Inversion:
        """The draws that were read, weighed at their own level, or anew at another, and the record of them."""
        run, task, source, store = self._run, self._task, self.source, self._run.store
        level = level or self.level
        usual = self._usual(level.bandwidth)
        floor, origin = log_floor(task, source.tokens, store.inputs("pool").tokens)
        of_source, done = Source(source.tokens, floor, usual.near), slice(self.done)
        parts = self.tokens[done], self._log_q[done], self._distances[done]
        draws = weighted(task, store.kernel, of_source, level.bandwidth, *parts)
        weighed, samples = draws.weighed, _samples(draws, run.subject, task)
        return Inversion(
            text=source.text,
            tokens=source.tokens,
            dropped=source.dropped,
            site=str(self.site),
            bandwidth=level.bandwidth,
            labels=_undecided(task) if source.tokens is None else task.labels(source.tokens),
            samples=tuple(sorted(samples, key=lambda s: np.inf if s.distance is None else s.distance)),
            acceptance=sum(sample.accepted for sample in samples) / max(self.done, 1),
            effective_sample_size=weighed.size,
            pareto_k=defined(weighed.pareto_k),
            log_normaliser=weighed.log_normaliser if np.isfinite(weighed.log_normaliser) else None,
            log_floor=defined(floor),
            floor=origin,
            left_out=weighed.left_out,
            typical=usual,
            noise_floor=store.noise_floor(self.site),
            outside=read_outside(run.folder, store, self.site, self._target),
            resolution=level.resolution,
            proposal=proposal(store.neighbourhood.distance, store.kernel),
            made_by=self._made_by(),
            norms=norms(self._target, store.activations("pool", self.site)) if source.tokens is None else None,
        )

    def _usual(self, bandwidth: float) -> Typical:
        if bandwidth not in self._typical:
            self._typical[bandwidth] = typical(self._run.store, self._known, self.site, self._target, bandwidth)
        return self._typical[bandwidth]

    def _made_by(self) -> dict[str, object]:
        return {
            "inversescope": __version__,
            "model": self._run.subject.name,
            "run": str(self._run.folder),
            "run_seed": self._run.seed,
            "seed": self._seed,
        }


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
