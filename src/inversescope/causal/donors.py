"""Donors of activations for a target at a site: inputs with the source's label, with another, and random ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray
from safetensors import safe_open

from inversescope import files, records
from inversescope.causal.continuation import Continuation
from inversescope.causal.effects import EQUAL, OTHER, PAIRS, RANDOM, SAME
from inversescope.causal.minimal_pairs import MinimalPairs
from inversescope.collect.inputs import SPLITS
from inversescope.collect.store import Store
from inversescope.sites import Site
from inversescope.streams import Stream
from inversescope.subject import Subject
from inversescope.tasks import Tokens

DONORS = 4  # of each kind, for a target at a site; targets are the independent units of the intervals, not donors

Label = Callable[[Tokens], str | None]
Contrast = Callable[[Tokens], tuple[int, int] | None]  # the right next token and the wrong one


class Donor(NamedTuple):
    """An input whose activation replaces the source's, and its distance δ from it; NaN where it is not known yet."""

    tokens: Tokens
    distance: float


class Group(NamedTuple):
    """Donors of one kind, for one feature (None: for all of them)."""

    feature: str | None
    kind: str
    drawn_from: str
    donors: Sequence[Donor]


@dataclass(frozen=True)
class CausalData:
    """Data of the step: a run's records, its activations and its subject.

    Attributes:
        run: folder of the run.
        labels: features by name.
        contrast: right and wrong next token of an input.
        site_labels: features of a single site, such as hypotheses that were mined there.
        continuation: behind the input, before the token that is compared.
    """

    run: Path
    store: Store
    subject: Subject
    labels: Mapping[str, Label]
    contrast: Contrast
    site_labels: Mapping[Site, Mapping[str, Label]] = field(default_factory=dict)
    continuation: Continuation = 0

    def at(self, site: Site) -> dict[str, Label]:
        """Features that are tested at a site."""
        return {**self.labels, **self.site_labels.get(site, {})}

    @cached_property
    def rows(self) -> dict[str, dict[Tokens, int]]:
        """Row of each input in its split."""
        return {split: {x: row for row, x in enumerate(self.store.inputs(split).tokens)} for split in SPLITS}


class Donors:
    """Donors of activations for a target at a site; the random ones are the same at every site."""

    def __init__(self, data: CausalData, bandwidths: Mapping[Site, float], seed: int, most: int = DONORS):
        self._data, self._most, self._seed = data, most, seed
        self._targets, self._pool = data.store.inputs("target").tokens, data.store.inputs("pool")
        self.targets = len(self._targets)
        self._drawn: defaultdict[tuple[str, int], dict[Tokens, float]] = defaultdict(dict)  # in the order of drawing
        self._pairs = MinimalPairs.of(data.run, data.store, list(data.labels), most, seed)
        of_site = {str(site): bandwidth for site, bandwidth in bandwidths.items()}
        samples = files.read_table(
            data.run / records.verify.SAMPLES.path,
            columns=["site", "bandwidth", "target", "tokens", "distance"],
            filters=pc.field("bandwidth").isin(sorted(set(of_site.values()))) & pc.field("verified"),
        )
        for row in samples.to_pylist():
            if row["bandwidth"] == of_site.get(row["site"]):
                self._drawn[row["site"], row["target"]][tuple(row["tokens"])] = row["distance"]

    def of(self, site: Site, target: int) -> list[Group]:
        """The groups that there are. The source itself is no donor but its own. Draws that were collected, a random
        part of all, come first: they are not run again.
        """
        source = self._targets[target]
        drawn = [Donor(x, distance) for x, distance in self._drawn[str(site), target].items() if x != source]
        drawn.sort(key=lambda donor: not any(donor.tokens in rows for rows in self._data.rows.values()))
        distances = self._distances(site)[:, target]
        groups = [Group(None, RANDOM, "pool", [self._of_pool(row, distances) for row in self._random(target)])]
        for feature, label in self._data.at(site).items():
            own = label(source)
            if own is None:
                continue
            values = [label(donor.tokens) for donor in drawn]
            same = [donor for donor, value in zip(drawn, values, strict=True) if value == own]
            other = [donor for donor, value in zip(drawn, values, strict=True) if value not in (None, own)]
            groups.append(Group(feature, SAME, "samples", same))
            if feature in self._pairs.others:
                groups += self._matched(feature, target)
            elif other:
                groups.append(Group(feature, OTHER, "samples", other))
            else:
                groups.append(Group(feature, OTHER, "pool", self._nearest(distances, label, own)))
        return [group._replace(donors=group.donors[: self._most]) for group in groups if group.donors]

    def _matched(self, feature: str, target: int) -> list[Group]:
        """Inputs that differ from the source in the feature alone, and those that agree with it in all."""
        other = [Donor(x, nan) for x in self._pairs.others[feature][target]]
        if self._pairs.equal is None:
            return [Group(feature, OTHER, PAIRS, other)]
        equal = [Donor(x, nan) for x in self._pairs.equal[target]]
        return [Group(feature, OTHER, PAIRS, other), Group(feature, EQUAL, PAIRS, equal)]

    def _nearest(self, distances: Float[ndarray, " pool"], label: Label, own: str) -> list[Donor]:
        """The nearest inputs of the pool with another label."""
        nearest: list[Donor] = []
        for row in np.argsort(distances, kind="stable").tolist():
            if label(self._pool.tokens[row]) not in (None, own):
                nearest.append(self._of_pool(row, distances))
            if len(nearest) == self._most:
                break
        return nearest

    @cache  # noqa: B019 - as many as there are targets
    def _random(self, target: int) -> list[int]:
        """Rows of inputs of the prior, the source left out."""
        rows = [row for row, tokens in enumerate(self._pool.tokens) if tokens != self._targets[target]]
        shares = self._pool.shares(rows)
        rng = Stream.DONORS.rng(self._seed, target)
        return rng.choice(rows, min(self._most, len(rows)), replace=False, p=shares).tolist()

    def _of_pool(self, row: int, distances: Float[ndarray, " pool"]) -> Donor:
        return Donor(self._pool.tokens[row], float(distances[row]))

    @lru_cache(maxsize=1)  # noqa: B019 - many calls in a row for one site
    def _distances(self, site: Site) -> Float[ndarray, "pool targets"]:
        with safe_open(files.verified(self._data.run / "reference" / "distances.safetensors"), "numpy") as tensors:
            return tensors.get_tensor(str(site))
