"""Causal check: the source inputs are run again with other activations at a site, and the output is compared.

The source's own activation is replaced by that of a donor: a verified sample with the source's label, one with another
label, or a random input of the prior. Labels may come from any function of an input.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from numpy import ndarray
from safetensors import safe_open
from torch import Tensor

from inversescope import files, records
from inversescope.causal.effects import OTHER, OWN, RANDOM, SAME, effects
from inversescope.causal.next_token import divergences
from inversescope.causal.used import confirmed, used
from inversescope.collect.inputs import SPLITS
from inversescope.collect.store import OpenRun, Store
from inversescope.features import parse
from inversescope.progress import Progress
from inversescope.sites import Site
from inversescope.streams import Stream
from inversescope.subject import Subject
from inversescope.subject.patching import ROWS, Source, unsettable
from inversescope.tasks import Tokens

NOTE = "sites x targets"
DONORS = 4  # of each kind, for a target at a site; targets are the independent units of the intervals, not donors
SITES = 16  # whose donors are in memory at a time: what an interruption can cost

Label = Callable[[Tokens], str | None]
Contrast = Callable[[Tokens], tuple[int, int] | None]  # the right next token and the wrong one


class Donor(NamedTuple):
    """An input whose activation replaces the source's, and its distance δ from it."""

    tokens: Tokens
    distance: float


class Group(NamedTuple):
    """Donors of one kind, for one feature (None: for all of them)."""

    feature: str | None
    kind: str
    drawn_from: str
    donors: Sequence[Donor]


_ITSELF = Group(None, OWN, "source", [Donor((), 0.0)])


@dataclass(frozen=True)
class CausalData:
    """Data of the step: a run's records, its activations and its subject.

    Attributes:
        run: folder of the run.
        labels: features by name.
        contrast: right and wrong next token of an input.
        site_labels: features of a single site, such as hypotheses that were mined there.
    """

    run: Path
    store: Store
    subject: Subject
    labels: Mapping[str, Label]
    contrast: Contrast
    site_labels: Mapping[Site, Mapping[str, Label]] = field(default_factory=dict)

    def at(self, site: Site) -> dict[str, Label]:
        """Features that are tested at a site."""
        return {**self.labels, **self.site_labels.get(site, {})}

    @cached_property
    def rows(self) -> dict[str, dict[Tokens, int]]:
        """Row of each input in its split."""
        return {split: {x: row for row, x in enumerate(self.store.inputs(split).tokens)} for split in SPLITS}


def causal(
    folder: Path,
    data: CausalData,
    sites: Sequence[Site],
    bandwidth: float,
    seed: int,
    progress: Progress,
    most: int = DONORS,
) -> None:
    """Write `runs.parquet` and `effects.parquet`; what was run of some sites before is kept."""
    reasons = {site: unsettable(data.subject, site) for site in sites}
    settable = [site for site, reason in reasons.items() if reason is None]
    donors = Donors(data, bandwidth, seed, most)
    total, parts = len(settable) * donors.targets, []
    for start in range(0, len(settable), SITES):
        path, chosen = folder / f"part-{start // SITES:05d}.parquet", settable[start : start + SITES]
        done = start * donors.targets
        if not path.exists():
            rows: list[dict[str, Any]] = []
            for of_target in _runs(data, donors, chosen):
                rows += of_target
                done += len(chosen)
                progress(done, total, NOTE)
            files.write_table(path, records.causal.RUNS.of(rows))
        parts.append(pq.read_table(path))
        progress((start + len(chosen)) * donors.targets, total, NOTE)
    runs = pa.concat_tables(parts) if parts else records.causal.RUNS.of([])
    files.write_table(folder / "runs.parquet", runs)
    table = effects(runs.to_pylist(), reasons, {site: list(data.at(site)) for site in sites}, bandwidth, seed)
    files.write_table(folder / "effects.parquet", table)


class Donors:
    """Donors of activations for a target at a site; the random ones are the same at every site."""

    def __init__(self, data: CausalData, bandwidth: float, seed: int, most: int = DONORS):
        self._data, self._most, self._seed = data, most, seed
        self._targets, self._pool = data.store.inputs("target").tokens, data.store.inputs("pool")
        self.targets = len(self._targets)
        self._drawn: defaultdict[tuple[str, int], dict[Tokens, float]] = defaultdict(dict)  # in the order of drawing
        samples = pq.read_table(
            data.run / "verify" / "samples.parquet",
            columns=["site", "target", "tokens", "distance"],
            filters=(pc.field("bandwidth") == bandwidth) & pc.field("verified"),
        )
        for row in samples.to_pylist():
            self._drawn[row["site"], row["target"]][tuple(row["tokens"])] = row["distance"]

    def of(self, site: Site, target: int) -> list[Group]:
        """The groups that there are. The source itself is no donor but its own."""
        source = self._targets[target]
        drawn = [Donor(x, distance) for x, distance in self._drawn[str(site), target].items() if x != source]
        distances = self._distances(site)[:, target]
        groups = [Group(None, RANDOM, "pool", [self._of_pool(row, distances) for row in self._random(target)])]
        for feature, label in self._data.at(site).items():
            own = label(source)
            if own is None:
                continue
            values = [label(donor.tokens) for donor in drawn]
            same = [donor for donor, value in zip(drawn, values, strict=True) if value == own]
            other = [donor for donor, value in zip(drawn, values, strict=True) if value not in (None, own)]
            drawn_from = "samples" if other else "pool"
            if not other:
                other = self._nearest(distances, label, own)
            groups += [Group(feature, SAME, "samples", same), Group(feature, OTHER, drawn_from, other)]
        return [group._replace(donors=group.donors[: self._most]) for group in groups if group.donors]

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
        with safe_open(self._data.run / "reference" / "distances.safetensors", "numpy") as tensors:
            return tensors.get_tensor(str(site))


def _runs(data: CausalData, donors: Donors, sites: Sequence[Site]) -> Iterator[list[dict[str, Any]]]:
    """For each target, the rows of `runs.parquet` at these sites."""
    groups = {site: [donors.of(site, target) for target in range(donors.targets)] for site in sites}
    values = {
        site: activations(data, site, {donor.tokens for of_target in groups[site] for donor in _distinct(of_target)})
        for site in sites
    }
    own = {site: data.store.activations("target", site) for site in sites}
    for target in range(donors.targets):
        patches: list[dict[Site, Tensor]] = [{}, *({site: own[site][target]} for site in sites)]
        number_of: dict[tuple[Site, Tokens], int] = {}
        for site in sites:
            for donor in _distinct(groups[site][target]):
                number_of[site, donor.tokens] = len(patches)
                patches.append({site: values[site][donor.tokens]})
        measured = _measure(data, data.store.inputs("target").tokens[target], patches)
        rows = [_row(site, target, _ITSELF, measured, [1 + number]) for number, site in enumerate(sites)]
        for site in sites:
            for group in groups[site][target]:
                places = [number_of[site, donor.tokens] for donor in group.donors]
                rows.append(_row(site, target, group, measured, places))
        yield rows


def _distinct(groups: Sequence[Group]) -> list[Donor]:
    return list({donor.tokens: donor for group in groups for donor in group.donors}.values())


def activations(data: CausalData, site: Site, inputs: Collection[Tokens]) -> dict[Tokens, Float[Tensor, " d"]]:
    """Activations of the inputs at the site. Inputs that were run when collecting are not run again; the others are,
    each once.
    """
    unread = set(inputs)
    read: dict[Tokens, Tensor] = {}
    for split, rows in data.rows.items():
        stored = [x for x in unread if x in rows]
        if stored:
            of_split = data.store.activations(split, site)
            read |= {x: of_split[rows[x]] for x in stored}
            unread -= read.keys()
    others = sorted(unread)  # inputs that share their beginnings stand together
    return read | dict(zip(others, data.subject.capture(others, [site]).activations[site], strict=True))


def _measure(
    data: CausalData, tokens: Tokens, patches: Sequence[Mapping[Site, Tensor]]
) -> dict[str, Float[ndarray, " rows"]]:
    """Next-token distributions with each of the patches, of which the first is none: KL in nats, and the logit
    difference (NaN where the task has none).
    """
    source, contrast = Source(data.subject, tokens), data.contrast(tokens)
    undisturbed, kl, difference = None, [], []
    for start in range(0, len(patches), ROWS):
        logits = source.logits(patches[start : start + ROWS])
        if undisturbed is None:
            undisturbed = logits.log_softmax(1)[0]
        kl.append(divergences(undisturbed, logits))
        right, wrong = (
            (logits[:, token] for token in contrast) if contrast else (logits.new_full((len(logits),), nan), 0.0)
        )
        difference.append(right - wrong)
    return {"kl": torch.cat(kl).double().numpy(), "logit_difference": torch.cat(difference).double().numpy()}


def _row(
    site: Site, target: int, group: Group, measured: Mapping[str, Float[ndarray, " rows"]], places: Sequence[int]
) -> dict[str, Any]:
    """One row of `runs.parquet`: means over a group's donors."""
    means = {name: float(values[places].mean()) for name, values in measured.items()}
    means["undisturbed"] = float(measured["logit_difference"][0])
    return {
        **{"site": str(site), "feature": group.feature, "kind": group.kind, "drawn_from": group.drawn_from},
        **{"target": target, "donors": len(group.donors)},
        "distance": float(np.mean([donor.distance for donor in group.donors])),
        **{name: None if np.isnan(value) else value for name, value in means.items()},
    }


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `causal`: write also `used.parquet`, from the scores and the effects."""
    config, task = run.config, run.task
    bandwidth = config.causal.bandwidth or max(config.sample.bandwidths)
    labels = {feature: lambda tokens, feature=feature: task.labels(tokens)[feature] for feature in task.features}
    data = CausalData(run.folder, run.store, run.subject, labels, task.contrast, _mined(run, bandwidth))
    causal(folder, data, run.sites["train"], bandwidth, run.seed, progress)
    used(run.folder)


def _mined(run: OpenRun, bandwidth: float) -> dict[Site, dict[str, Label]]:
    """The first expressions that were confirmed at each site, as labels of an input."""
    text = lru_cache(maxsize=None)(run.subject.decode)

    def label(source: str) -> Label:
        expression = parse(source)
        return lru_cache(maxsize=None)(lambda tokens: expression.label(text(tokens)))

    return {
        Site.parse(site): {source: label(source) for source in sources}
        for site, sources in confirmed(run.folder, bandwidth, run.task.features).items()
    }
