"""Causal check: the source inputs are run again with other activations at a site, and the output is compared.

The source's own activation is replaced by that of a donor: a verified sample with the source's label, an input with
another label (of a minimal pair where there are such, else a sample), or a random input of the prior. Labels may come
from any function of an input.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from inversescope import files, records
from inversescope.causal.continuation import continued, described
from inversescope.causal.donors import DONORS, CausalData, Donor, Donors, Group, Label
from inversescope.causal.effects import OWN, effects
from inversescope.causal.next_token import divergences
from inversescope.causal.used import confirmed, used
from inversescope.cluster import Do, Unit, Worker, by, here, parts
from inversescope.collect.store import OpenRun
from inversescope.features import parse
from inversescope.progress import Progress
from inversescope.records.levels import Level, pick
from inversescope.sites import Site
from inversescope.subject.patching import ROWS, Source, unsettable
from inversescope.tasks import Tokens
from inversescope.verdicts import NO_GENERATOR

NOTE = "sites x targets"
SITES = 16  # whose donors are in memory at a time: what an interruption can cost

_ITSELF = Group(None, OWN, "source", [Donor((), 0.0)])


def causal(
    folder: Path,
    data: CausalData,
    sites: Sequence[Site],
    levels: Mapping[Site, Level],
    seed: int,
    progress: Progress,
    most: int = DONORS,
    do: Do = here,
) -> None:
    """Write `runs.parquet` and `effects.parquet`; what was run of some sites before is kept.

    `levels`: of the samples that are donors, by site.
    """
    reasons = {site: unsettable(data.subject, site) for site in sites}
    settable = [str(site) for site, reason in reasons.items() if reason is None]
    donors = Donors(data, {site: levels[site].bandwidth for site in sites}, seed, most)
    groups = [settable[start : start + SITES] for start in range(0, len(settable), SITES)]
    units = [Unit(f"part-{i:05d}.parquet", tuple(group), len(group) * donors.targets) for i, group in enumerate(groups)]
    pieces = [
        pq.read_table(path) for path in parts.make(folder, units, lambda: _Runner(folder, data, donors), progress, do)
    ]
    runs = pa.concat_tables(pieces) if pieces else records.causal.RUNS.of([])
    files.write_table(folder / "runs.parquet", runs)
    features = {site: list(data.at(site)) for site in sites}
    table = effects(runs.to_pylist(), reasons, features, levels, seed, described(data.continuation))
    files.write_table(folder / "effects.parquet", table)


@dataclass(frozen=True)
class _Runner:
    """Does units of the step: up to `SITES` sites, at all targets."""

    folder: Path
    data: CausalData
    donors: Donors

    def __call__(self, unit: Unit, progress: Progress, /) -> Path:
        sites = [Site.parse(site) for site in unit.arguments]
        rows: list[dict[str, Any]] = []
        for done, of_target in enumerate(_runs(self.data, self.donors, sites), start=1):
            rows += of_target
            progress(done * len(sites), unit.size, NOTE)
        path = self.folder / unit.file
        files.write_table(path, records.causal.RUNS.of(rows))
        return path


def _runs(data: CausalData, donors: Donors, sites: Sequence[Site]) -> Iterator[list[dict[str, Any]]]:
    """For each target, the rows of `runs.parquet` at these sites."""
    groups = {site: [donors.of(site, target) for target in range(donors.targets)] for site in sites}
    wanted = {site: {donor.tokens for of_target in groups[site] for donor in _distinct(of_target)} for site in sites}
    values = activations(data, wanted)
    own = {site: data.store.activations("target", site) for site in sites}
    groups = {
        site: [_placed(data, site, of_target, values[site], own[site][i]) for i, of_target in enumerate(groups[site])]
        for site in sites
    }
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


def _placed(
    data: CausalData,
    site: Site,
    groups: Sequence[Group],
    values: Mapping[Tokens, Float[Tensor, " d"]],
    own: Float[Tensor, " d"],
) -> list[Group]:
    """The groups of a target, with δ of the donors whose distance was not known."""
    unknown = list({donor.tokens: None for group in groups for donor in group.donors if isnan(donor.distance)})
    if not unknown:
        return list(groups)
    distances = data.store.distance(site).between(torch.stack([values[x] for x in unknown]), own[None])[:, 0].tolist()
    known = dict(zip(unknown, distances, strict=True))
    return [
        group._replace(donors=[Donor(x, known[x] if isnan(distance) else distance) for x, distance in group.donors])
        for group in groups
    ]


def _distinct(groups: Sequence[Group]) -> list[Donor]:
    return list({donor.tokens: donor for group in groups for donor in group.donors}.values())


def activations(
    data: CausalData, wanted: Mapping[Site, Collection[Tokens]]
) -> dict[Site, dict[Tokens, Float[Tensor, " d"]]]:
    """Activations of the inputs wanted at each site. Inputs that were run when collecting are not run again; each of
    the others is run once, up to the deepest of its sites.
    """
    read: dict[Site, dict[Tokens, Tensor]] = {site: _stored(data, site, inputs) for site, inputs in wanted.items()}
    left = {site: set(inputs) - read[site].keys() for site, inputs in wanted.items()}
    for deepest in sorted(left, key=lambda site: site.depth, reverse=True):
        inputs = sorted(left[deepest])  # inputs that share their beginnings stand together
        sites = [site for site in left if not left[site].isdisjoint(inputs)]
        captured = data.subject.capture(inputs, sites).activations
        for site in sites:
            read[site] |= {x: row for x, row in zip(inputs, captured[site], strict=True) if x in left[site]}
            left[site].difference_update(inputs)
    return read


def _stored(data: CausalData, site: Site, inputs: Collection[Tokens]) -> dict[Tokens, Float[Tensor, " d"]]:
    """Activations of those inputs that were run when collecting."""
    read: dict[Tokens, Tensor] = {}
    for split, rows in data.rows.items():
        stored = [x for x in inputs if x in rows and x not in read]
        if stored:
            of_split = data.store.activations(split, site)
            read |= {x: of_split[rows[x]] for x in stored}
    return read


def _measure(
    data: CausalData, tokens: Tokens, patches: Sequence[Mapping[Site, Tensor]]
) -> dict[str, Float[ndarray, " rows"]]:
    """Next-token distributions with each of the patches at the input's last token, of which the first is none: KL in
    nats, and the logit difference (NaN where the task has none), behind the input or its continuation.
    """
    whole = continued(data.subject, tokens, data.continuation)
    source, contrast = Source(data.subject, whole, len(tokens) - 1), data.contrast(whole)
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


def make_worker(run: OpenRun) -> Worker:
    """Worker of the step `causal`."""
    data = _data(run)
    bandwidths = {site: level.bandwidth for site, level in _levels(run).items()}
    return _Runner(run.folder / "causal", data, Donors(data, bandwidths, run.seed, DONORS))


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `causal`: write also `used.parquet`, from the scores and the effects.

    Nothing is run without a generator, whose samples are the donors.
    """
    if not run.sites["train"]:
        for record in (records.causal.RUNS, records.causal.EFFECTS):
            files.write_table(folder / record.name, record.of([]))
        used(run.folder)
        progress(1, 1, NO_GENERATOR)
        return
    do = by(run, make_worker)
    causal(folder, _data(run), run.sites["train"], _levels(run), run.seed, progress, do=do)
    used(run.folder)


def _levels(run: OpenRun) -> dict[Site, Level]:
    """Levels of the samples that are donors."""
    chosen = run.config.causal
    return {site: pick(run.levels[site], chosen.resolution, chosen.bandwidth) for site in run.sites["train"]}


def _data(run: OpenRun) -> CausalData:
    task = run.task
    labels = {feature: lambda tokens, feature=feature: task.labels(tokens)[feature] for feature in task.features}
    continuation = run.config.causal.continuation
    return CausalData(run.folder, run.store, run.subject, labels, task.contrast, _mined(run), continuation)


def _mined(run: OpenRun) -> dict[Site, dict[str, Label]]:
    """The first expressions that were confirmed at each site, as labels of an input."""
    text = lru_cache(maxsize=None)(run.subject.decode)

    def label(source: str) -> Label:
        expression = parse(source)
        return lru_cache(maxsize=None)(lambda tokens: expression.label(text(tokens)))

    return {
        Site.parse(site): {source: label(source) for source in sources}
        for site, sources in confirmed(run.folder, run.task.features).items()
    }
