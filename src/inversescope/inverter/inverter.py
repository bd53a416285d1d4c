"""Invert one activation with a trained run: `Inverter.load(run).invert(text, site=..., n=..., bandwidth=...)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
import torch

from inversescope import files
from inversescope.collect.bandwidths import Remaining, chosen
from inversescope.collect.inputs import read_known
from inversescope.collect.outside import read_outside
from inversescope.collect.posterior import typical
from inversescope.errors import UserError
from inversescope.features.feature_config import reader
from inversescope.features.on_task import with_readers
from inversescope.inverter.inversion import Inversion, InvertedSample
from inversescope.position import LAST, Messages, Position, cut, keep_last
from inversescope.records.levels import Level
from inversescope.run.run import Run
from inversescope.sample.one_target import Source, invert, log_floor
from inversescope.sites import Site
from inversescope.stats.intervals import defined
from inversescope.streams import TorchStream
from inversescope.train.checkpoint import load_generator
from inversescope.verdicts import ACCEPTED, proposal


class Inverter:
    """A trained run, ready to invert activations of its subject.

    `features` are labels to be given beside the task's own: an expression in the language of features, or a function
    from a text to a label (None is undecided).
    """

    def __init__(self, run: Run, features: Mapping[str, str | Callable[[str], object]] = MappingProxyType({})):
        self.run = run
        readers = {name: reader(name, each) for name, each in features.items()}
        self.task = with_readers(run.task, readers, run.subject)
        files.check(run.folder / "collect")
        files.check(run.folder / "reference")
        files.check(run.folder / "train")
        self.known = read_known(run.folder)
        self.generator = load_generator(run.folder / "train", run.subject.device)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        features: Mapping[str, str | Callable[[str], object]] = MappingProxyType({}),
        *,
        allow_code: bool = False,
    ) -> Self:
        """Open a run directory whose step `train` is done.

        `allow_code` allows the Python files that the run's config names to be run, in the version that they have.

        Raises:
            CodeNotAllowedError: it names files that were not allowed.
            UserError: it is not a run directory, is not trained yet, or belongs to another subject or version.
        """
        run = Run.open(Path(folder), allow_code=allow_code)
        if not run.finished("train"):
            raise UserError(
                "this run has no trained generator yet",
                given=folder,
                remedy="inversescope run CONFIG --out RUN --resume",
            )
        return cls(run, features)

    def invert(
        self,
        text: str | Messages,
        *,
        site: str,
        position: Position = LAST,
        n: int = 32,
        resolution: float | None = None,
        bandwidth: float | None = None,
        seed: int = 0,
    ) -> Inversion:
        """Draw `n` inputs for the activation of `text` at a position, and verify each.

        If the text is too long for the subject, the tokens nearest to the position are kept.

        Args:
            text: a text, or a conversation: `[{"role": "user", "content": "..."}, ...]`.
            site: where it is read.
            position: "last", the index of a token, a piece of the text, or a role and its turn such as "user:-1"; see
                `inversescope.position.cut`.
            n: how many.
            resolution: N of the run: one input in N of the prior remains.
            bandwidth: h, a radius in δ, in place of a resolution. With neither, the finest of the run's levels at which
                inputs other than the source answer (`collect.bandwidths.chosen`).
            seed: decides the draws.

        Raises:
            UserError: the generator does not serve the site or the bandwidth, the run has no such resolution, or the
                text has no such position.
        """
        where = self._site(site)
        level = self._level(where, resolution, bandwidth)
        if n < 1:
            raise UserError("at least one sample must be drawn", given=n)
        subject, task = self.run.subject, self.task
        whole = cut(subject, text, position)
        source = keep_last(whole, subject.prefix, subject.longest)
        target = subject.capture([source], [where]).activations[where]
        rng = torch.Generator(subject.device).manual_seed(TorchStream.INVERSION.seed(seed))
        store = self.run.store
        usual = typical(store, self.known, where, target, level.bandwidth)
        floor, origin = log_floor(task, tuple(source), store.inputs("pool").tokens)
        of_source = Source(tuple(source), floor, usual.near)
        distance, kernel = store.distance(where), store.kernel
        draws = invert(self.generator, subject, task, distance, kernel, where, target, of_source, level, n, rng)
        weighed = draws.weighed
        undecided = dict.fromkeys(task.labels(source))
        samples = [
            InvertedSample(None, None, None, None, False, log_q, undecided, times)
            if row is None
            else InvertedSample(
                subject.show(row), row, distance, weight, distance <= ACCEPTED, log_q, task.labels(row), times
            )
            for row, distance, weight, times, log_q in zip(
                draws.tokens,
                draws.distance.tolist(),
                weighed.weight.tolist(),
                weighed.times.tolist(),
                draws.log_q.tolist(),
                strict=True,
            )
        ]
        return Inversion(
            subject.show(source),
            tuple(source),
            len(whole) - len(source),
            str(where),
            level.bandwidth,
            task.labels(source),
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
            read_outside(self.run.folder, store, where, target),
            level.resolution,
            proposal(store.neighbourhood.distance, kernel),
        )

    def _level(self, site: Site, resolution: float | None, bandwidth: float | None) -> Level:
        """The level that is asked for, which the generator must serve."""
        run, level = self.run, chosen(self.run.folder, site, resolution, bandwidth)
        if level.channel is None and not run.config.neighbourhood.has_channel:
            share = Remaining.of(run.store, run.task, site, run.seed).share(level.bandwidth)
            by_channel = Remaining.of_channel(run.store, run.task, site, run.seed)
            level = level._replace(channel=by_channel.nearest(share))
        low, high = self.generator.bandwidths[site]
        if not self.generator.serves(site, level.drawn):
            channel = "" if level.channel is None else f", for which it would draw at h = {level.channel:.3g}"
            raise UserError(
                f"the generator was not trained for this bandwidth at {site}",
                given=f"{level.bandwidth:g}{channel}",
                allowed=f"{low:g} to {high:g}",
            )
        return level

    def _site(self, address: str) -> Site:
        site = Site.parse(address)
        if site not in self.generator.sites:
            served = [str(site) for site in self.generator.sites]
            shown = ", ".join(served[:12]) + (f" and {len(served) - 12} more" if len(served) > 12 else "")
            raise UserError("the run's generator does not serve this site", given=address, allowed=shown)
        return site
