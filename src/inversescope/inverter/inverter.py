"""Invert activations with a trained run: `Inverter.load(run).invert(text, site=..., n=..., bandwidth=...)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import torch

from inversescope import __version__
from inversescope.bounds import SAMPLES
from inversescope.collect.bandwidths import Remaining, chosen
from inversescope.collect.inputs import read_known
from inversescope.collect.outside import read_outside
from inversescope.collect.posterior import typical
from inversescope.errors import UserError
from inversescope.features.feature_config import reader
from inversescope.features.on_task import with_readers
from inversescope.inverter.inversion import Inversion
from inversescope.inverter.inverted_sample import InvertedSample
from inversescope.inverter.results import read_results
from inversescope.inverter.served import chosen as chosen_sites
from inversescope.position import LAST, Messages, Position, cut, inputs, keep_last
from inversescope.progress import Progress, watched
from inversescope.records.levels import Level
from inversescope.run.run import Run
from inversescope.sample.one_target import Source, invert, log_floor
from inversescope.sites import Addresses, Site, is_pattern
from inversescope.stats.intervals import defined
from inversescope.streams import TorchStream
from inversescope.subject import Subject
from inversescope.train.checkpoint import load_generator
from inversescope.verdicts import ACCEPTED, proposal

if TYPE_CHECKING:
    import pandas

    from inversescope.explain import Explanation

Texts = str | Messages | Sequence[str] | Sequence[Messages]


class Inverter:
    """A trained run, ready to invert activations of its subject.

    `features` are labels to be given beside the task's own: an expression in the language of features, or a function
    from a text to a label (None is undecided).
    """

    def __init__(self, run: Run, features: Mapping[str, str | Callable[[str], object]] = MappingProxyType({})):
        self.run = run
        readers = {name: reader(name, each) for name, each in features.items()}
        self.task = with_readers(run.task, readers, run.subject)
        self.known = read_known(run.folder)
        self.generator = load_generator(run.folder / "train", run.subject.device)

    def __repr__(self) -> str:
        return f"Inverter({str(self.run.folder)!r}: {self.run.subject.name}, {len(self.sites)} sites)"

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites that the generator is trained for, in order of depth."""
        return tuple(sorted(self.generator.sites, key=lambda site: site.depth))

    @property
    def resolutions(self) -> tuple[float, ...]:
        """The resolutions of the run, the finest first; none in a run at bandwidths."""
        found = {level.resolution for levels in self.run.levels.values() for level in levels}
        return tuple(sorted((resolution for resolution in found if resolution is not None), reverse=True))

    @classmethod
    def load(
        cls,
        folder: Path | str,
        features: Mapping[str, str | Callable[[str], object]] = MappingProxyType({}),
        *,
        allow_code: bool = False,
        device: str | None = None,
        subject: Subject | None = None,
    ) -> Self:
        """Open a run directory whose step `train` is done; `device`, such as "cpu" or "cuda:1", replaces the config's;
        `subject` is the model in memory that the run was created with, if it was.

        `allow_code` allows the Python files that the run's config names to be run, in the version that they have.

        Raises:
            CodeNotAllowedError: it names files that were not allowed.
            UserError: it is not a run directory, has no generator, is not trained yet, or belongs to another subject or
                version.
        """
        run = Run.open(folder, device, allow_code=allow_code, subject=subject)
        run.require_generator()
        if not run.finished("train"):
            raise UserError(
                "this run has no trained generator yet",
                given=folder,
                remedy="inversescope run CONFIG --out RUN --resume",
            )
        return cls(run, features)

    @overload
    def invert(
        self,
        text: str,
        *,
        site: str | Site,
        position: Position = LAST,
        n: int = 32,
        resolution: float | None = None,
        bandwidth: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Inversion: ...
    @overload
    def invert(
        self,
        text: Texts,
        *,
        site: Addresses,
        position: Position = LAST,
        n: int = 32,
        resolution: float | None = None,
        bandwidth: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Any: ...
    def invert(
        self,
        text: Texts,
        *,
        site: Addresses,
        position: Position = LAST,
        n: int = 32,
        resolution: float | None = None,
        bandwidth: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Any:
        """Draw `n` inputs for the activation of `text` at a position, and verify each.

        With one text and one site, the result is an `Inversion`. With a list of texts, it is a list, one for each text;
        with several sites or a wildcard, a list of one for each site; with both, a list of lists, the texts outside.
        If a text is too long for the subject, the tokens nearest to the position are kept.

        Args:
            text: a text, or a conversation: `[{"role": "user", "content": "..."}, ...]`; or a list of them.
            site: where it is read: an address, a `Site`, a wildcard such as `"resid_post.*"`, or a list of them.
            position: "last", the index of a token, a piece of the text, or a role and its turn such as "user:-1"; see
                `inversescope.position.cut`.
            n: how many.
            resolution: N of the run: one input in N of the prior remains.
            bandwidth: h, a radius in δ, in place of a resolution. With neither, the finest of the run's levels at which
                inputs other than the source answer (`collect.bandwidths.chosen`).
            seed: decides the draws, the same for every text.
            progress: called as inversions are done; default: a bar in a notebook.

        Raises:
            UserError: the generator does not serve the site or the bandwidth, the run has no such resolution, or the
                text has no such position.
        """
        if not 1 <= n <= SAMPLES:
            raise UserError("so many samples cannot be drawn", given=n, allowed=f"1 to {SAMPLES:,}")
        texts, many_texts = inputs(text)
        sites, many_sites = self._sites(site)
        levels = [self._level(where, resolution, bandwidth) for where in sites]
        inverted: list[list[Inversion]] = []
        with watched(progress, "invert") as report:
            for number, source in enumerate(texts):
                inverted.append([])
                for where, level in zip(sites, levels, strict=True):
                    inverted[-1].append(self._invert(source, where, position, n, level, seed))
                    report(number * len(sites) + len(inverted[-1]), len(texts) * len(sites))
        rows = inverted if many_sites else [row[0] for row in inverted]
        return rows if many_texts else rows[0]

    def explain(
        self,
        text: Texts,
        *,
        site: Addresses,
        position: Position = LAST,
        n: int = 128,
        resolution: float | None = None,
        bandwidth: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Explanation | list[Explanation]:
        """Explain the activations of a text at one site or several; a list of texts gives a list. See
        `inversescope.explain.explain`.
        """
        from inversescope.explain import explain

        return explain(
            self,
            text,
            sites=site,
            position=position,
            n=n,
            resolution=resolution,
            bandwidth=bandwidth,
            seed=seed,
            progress=progress,
        )

    def results(self, table: str = "score/results") -> pandas.DataFrame:
        """A table of the run as a data frame (needs the extra `notebook`): the scores, or another by its path in the
        run directory, such as "causal/used".

        Raises:
            UserError: there is no such table, or its step is not done.
        """
        return read_results(self.run.folder, table)

    def _invert(
        self, text: str | Messages, where: Site, position: Position, n: int, level: Level, seed: int
    ) -> Inversion:
        """The inversion of one text at one site."""
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
            {
                "inversescope": __version__,
                "model": subject.name,
                "run": str(self.run.folder),
                "run_seed": self.run.seed,
                "seed": seed,
            },
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

    def _sites(self, site: Addresses) -> tuple[tuple[Site, ...], bool]:
        """The sites that are named, and whether they were given as several."""
        named = chosen_sites(site, self.sites, self.run.subject.shape)
        alone = isinstance(site, Site) or (isinstance(site, str) and not is_pattern(site))
        return named, not alone
