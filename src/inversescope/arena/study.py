"""Study that every method runs on: the targets of a finished run, its sites, its split of the inputs, and a budget."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from safetensors.numpy import load_file
from torch import Tensor

from inversescope import files, records
from inversescope.collect.bandwidths import chosen
from inversescope.collect.posterior import posterior
from inversescope.collect.reference import DISTANCES
from inversescope.errors import UserError
from inversescope.natural_text.natural_text import LONGEST, SHORTEST, NaturalText
from inversescope.records.levels import Level, resolutions
from inversescope.run.run import Run
from inversescope.run.sealed import read_provenance
from inversescope.score.feature import own_share, shares_of_kept
from inversescope.score.labelled_feature import Feature, read_features
from inversescope.score.same_ending import SameEnding, read_bits
from inversescope.sites import Site
from inversescope.stats.labels import encode
from inversescope.stats.weights import weighted_medians
from inversescope.streams import TorchStream
from inversescope.tasks import Tokens

NEEDED = ("collect", "train", "sample", "verify", "reference", "score")
STANDS_ON = ("collect", "verify")  # steps by whose state answers are known again


@dataclass(frozen=True)
class Study:
    """One study, the same for every method.

    Attributes:
        run: finished as far as its scores.
        budget: seconds that each may train.
        seed: of everything that is drawn.
        made_from: state of the run when the study was opened; the arena may be at work for hours, and does not lock it.
    """

    run: Run
    budget: float
    seed: int
    made_from: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run, budget: float | None, seed: int | None) -> Study:
        """The study of a run. The budget is what the run's own generator took where none is given, the seed the run's.

        Raises:
            UserError: the run has no generator, or is not finished; its inputs have no labels; the budget is not above
                zero.
        """
        run.require_generator()
        missing = [step for step in NEEDED if not files.finished(run.folder / step)]
        if missing:
            raise UserError(
                "the arena needs a finished run",
                given=f"{run.folder}: {', '.join(missing)} not done",
                remedy=f"inversescope run CONFIG --out {run.folder} --resume",
            )
        if budget is not None and not 0 < budget < float("inf"):
            raise UserError("the budget must be above zero", given=f"{budget:g}", allowed="seconds above 0")
        study = cls(
            run,
            _spent(run, "train") if budget is None else budget,
            run.config.seed if seed is None else seed,
            files.states(run.folder, *STANDS_ON),
        )
        if not study.features:
            raise UserError(
                "the arena compares how well labels are found, and the inputs of this run have none",
                given=run.folder,
                remedy="a task with features, or texts with label columns",
            )
        return study

    def require_same_run(self) -> None:
        """Compare the run with what it was when the study was opened.

        Raises:
            UserError: another process has made a step again, or taken it away.
        """
        folder = self.run.folder
        there = all(files.finished(folder / step) for step in STANDS_ON)
        if not there or files.states(folder, *STANDS_ON) != self.made_from:
            raise UserError(
                "the run has changed while the arena was at work, and what was made from both states is not kept",
                given=folder,
                remedy="finish the run, and start the arena again",
            )

    @property
    def as_run(self) -> bool:
        """True if the run's own generator has this seed and this budget."""
        return self.seed == self.run.config.seed and self.budget == _spent(self.run, "train")

    def spent(self, *steps: str) -> float:
        """Seconds that the run took for these steps."""
        return sum(_spent(self.run, step) for step in steps)

    @cached_property
    def inputs(self) -> pa.Table:
        """Every input of the run, with its labels."""
        return files.read_table(self.run.folder / "collect" / "inputs.parquet")

    @cached_property
    def samples(self) -> pa.Table:
        """Verified samples of the run."""
        return files.read_table(self.run.folder / "verify" / "samples.parquet")

    @cached_property
    def features(self) -> list[Feature]:
        """The features, with every value that the inputs or the run's samples have."""
        return self.features_with(self.samples)

    def features_with(self, samples: pa.Table) -> list[Feature]:
        """The features, with every value that the inputs or these samples have."""
        return read_features(self.inputs, samples, self.probability)

    @cached_property
    def probability(self) -> Float[ndarray, " pool"]:
        """Weights of the pool's inputs: P where they are the whole prior, else uniform."""
        return self.run.store.inputs("pool").probability

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """Sites of the run's generator, by depth; where some are sites of the config's section `text`, these alone, so
        that all methods answer at the same ones.
        """
        sites = sorted(self.run.sites["train"], key=lambda site: site.depth)
        return tuple(site for site in sites if site in self._text_sites) or tuple(sites)

    @property
    def natural(self) -> bool:
        """True if the sites are sites for natural text."""
        return bool(self._text_sites.intersection(self.sites))

    @cached_property
    def _text_sites(self) -> frozenset[Site]:
        named = self.run.config.text.sites
        return frozenset(self.run.subject.sites(named)) if named else frozenset()

    def bandwidths(self, site: Site) -> list[float]:
        """Bandwidths of the run's samples at a site, rising."""
        return [level.bandwidth for level in self.run.levels[site]]

    @cached_property
    def levels(self) -> dict[Site, Level]:
        """The level of each site at which new inputs are counted: the finest that the reference can check."""
        return {site: chosen(self.run.folder, site, None, None) for site in self.sites}

    def typical(self, site: Site) -> Float[ndarray, " targets"]:
        """The distance to each target that the reference holds typical at that level; NaN where it has no weight."""
        distances = self.distances[site].T.astype(float)
        median = weighted_medians(distances, posterior(self.run.store, distances, self.levels[site].bandwidth))
        return np.where(np.isfinite(median), median, np.nan)

    @property
    def trained(self) -> tuple[int, bool]:
        """Steps of the run's own training, and True if it was not ended by being calibrated."""
        steps = pq.read_metadata(files.verified(self.run.folder / records.train.LOSSES.path)).num_rows
        return steps, steps >= self.run.config.train.steps

    @property
    def resolutions(self) -> dict[str, dict[float | None, float | None]]:
        """The resolution of each bandwidth of a site."""
        return {str(site): resolutions(of_site) for site, of_site in self.run.levels.items()}

    @cached_property
    def distances(self) -> dict[Site, Float[ndarray, "pool targets"]]:
        """δ of every input of the pool to every target."""
        distances = load_file(files.verified(self.run.folder / "reference" / DISTANCES))
        return {site: distances[str(site)] for site in self.sites}

    @cached_property
    def shared(self) -> dict[Site, dict[Any, Any]]:
        """Results that methods leave for each other at a site: an autoencoder is trained once for all that need it."""
        return {}

    @cached_property
    def endings(self) -> dict[tuple[str, str], Float[ndarray, " targets"]]:
        """By site and feature, the share of the targets' own labels among inputs of the pool with their last tokens, at
        the level at which new inputs are counted; NaN where too few have them.
        """
        inputs = self.run.store.inputs("pool").tokens
        sources = self.run.store.inputs("target").tokens
        ending = SameEnding.of(sources, inputs, self.probability, self.are_sources(inputs))
        bits, found = read_bits(self.run.folder), {}
        for site in self.sites:
            bandwidth = self.levels[site].bandwidth
            if bandwidth not in bits.get(site, {}):
                continue
            others = ending.inputs(site, bandwidth, bits[site][bandwidth], self.features).without_source()
            for feature in self.features:
                codes = others.labels[feature.name]
                shares = shares_of_kept(codes, others.weights, len(feature.values), others.counting)
                found[str(site), feature.name] = own_share(shares, feature.targets)
        return found

    @property
    def text(self) -> NaturalText:
        """The subject's own text at the sites: inputs as long as the longest target, or as the config says."""
        return self._opened[0]

    @property
    def text_seconds(self) -> float:
        """Seconds that opening it took; every method that uses it has them as training."""
        return self._opened[1]

    @cached_property
    def _opened(self) -> tuple[NaturalText, float]:
        started, config, prefix = time.monotonic(), self.run.config.text, len(self.run.subject.prefix)
        longest = max(len(tokens) - prefix for tokens in self.run.store.inputs("target").tokens)
        length = max(SHORTEST, min(LONGEST, longest)) if config.length == "auto" else config.length
        sites = [str(site) for site in self.sites]
        text = NaturalText.open(self.run.subject, sites=sites, length=length, draws=config.pool)
        return text, time.monotonic() - started

    def are_sources(self, inputs: Sequence[Tokens | None]) -> Bool[ndarray, "targets inputs"]:
        """True where an input is the source of a target."""
        number = {tokens: at for at, tokens in enumerate(self.run.store.inputs("target").tokens)}
        own = np.array([-1 if tokens is None else number.get(tokens, -1) for tokens in inputs], dtype=int)
        return own[None] == np.arange(len(number))[:, None]

    def labels(self, feature: Feature) -> Int[ndarray, " train"]:
        """The value of a feature of every input of the train split; −1 where it is undecided."""
        return encode(self.run.store.inputs("train").labels[feature.name], feature.values)

    def standardized(self, split: str, site: Site) -> Float[Tensor, "n d"]:
        """The activations of a site in its own units."""
        return self.run.store.units(site).standardize(self.run.store.activations(split, site))

    def generator(self, device: torch.device | str = "cpu") -> torch.Generator:
        """Random numbers of a device that follow from the seed."""
        return torch.Generator(device).manual_seed(TorchStream.ARENA.seed(self.seed))


def _spent(run: Run, step: str) -> float:
    return float(read_provenance(run.folder)["seconds"][step])
