"""The reference: the same answer without a generator, from stored activations: the pool's, and those of other inputs
whose probability is known. And the levels of each site.

Records: `records.collect.REFERENCE`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import exp
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch
from torch import Tensor

from inversescope import files, records
from inversescope.cluster import Unit, by, parts
from inversescope.collect.bandwidths import Remaining, bandwidth_at, prior_inputs, site_rows
from inversescope.collect.outside import nearest_others, write_nearest
from inversescope.collect.store import OpenRun, Store
from inversescope.progress import Progress
from inversescope.sites import Site
from inversescope.stats.weights import beside_known
from inversescope.tasks import Task, Tokens

DISTANCES = "distances.safetensors"
FEW = 0.01  # share of the prior below which a stratum of known inputs is not worth its distances


def between(store: Store, site: Site) -> Float[Tensor, "pool targets"]:
    """δ between every input of the pool and every target at a site."""
    pool, targets = store.activations("pool", site), store.activations("target", site)
    return store.distance(site).between(pool, targets)


def known_between(store: Store, rows: Sequence[dict], site: Site) -> Float[Tensor, "known targets"]:
    """δ between every known input (see `known_rows`) and every target at a site where both were read."""
    places = {split: [row["row"] for row in rows if row["split"] == split] for split in ("train", "target")}
    targets, train = store.activations("target", site), store.activations("train", site)
    known = torch.cat((train[places["train"]], targets[places["target"]]))
    return store.distance(site).between(known, targets)


def write_known(folder: Path, rows: Sequence[dict], distances: Mapping[str, Float[Tensor, "known targets"]]) -> None:
    """Write the known inputs with their probability, and their distances by site; nothing if there are none."""
    if rows:
        files.write_table(folder / records.collect.KNOWN.name, records.collect.KNOWN.of(rows))
        files.write_tensors(folder / records.collect.KNOWN_DISTANCES.name, distances)


def known_rows(store: Store, task: Task) -> list[dict]:
    """The distinct inputs of train and targets that the pool lacks, with their probability, and the rows of the pool
    with the part of the prior that each stands for. None where the pool is the whole prior, or a probability is not
    known, or the inputs of train and targets are too little of the prior.
    """
    if store.exact:
        return []
    inputs = {split: store.inputs(split).tokens for split in ("pool", "train", "target")}
    log_prior = {tokens: task.log_prior(tokens) for of_split in inputs.values() for tokens in of_split}
    chance = {tokens: exp(log) for tokens, log in log_prior.items() if log is not None}
    if len(chance) < len(log_prior):
        return []
    seen, rows = set(inputs["pool"]), []
    for split in ("train", "target"):
        for row, tokens in enumerate(inputs[split]):
            if tokens not in seen:
                seen.add(tokens)
                rows.append({"split": split, "row": row, "share": chance[tokens]})
    known = sum(row["share"] for row in rows)
    if known < FEW:
        return []
    targets = sum(row["share"] for row in rows if row["split"] == "target")
    shares = _pool_shares(inputs, chance, targets, task.rows) * max(1 - known, 0.0)
    return [*({"split": "pool", "row": row, "share": share} for row, share in enumerate(shares.tolist())), *rows]


def _pool_shares(
    inputs: Mapping[str, Sequence[Tokens]], chance: Mapping[Tokens, float], targets: float, rows: int | None
) -> Float[ndarray, " pool"]:
    """The share of the prior that each row of the pool stands for, of all that the known inputs leave. Train and pool
    are draws of what the targets, of probability `targets`, leave; of a file, each of its `rows` is drawn once.
    """
    pool, train = inputs["pool"], inputs["train"]
    draws, times, trained = len(train) + len(pool), Counter(pool), len(set(train))
    probability = np.array([chance[tokens] for tokens in pool]).clip(np.finfo(float).tiny)
    left = max(1 - targets, float(probability.max()))
    with np.errstate(divide="ignore"):  # an input that is sure to be drawn
        if rows is None:
            log_unseen = draws * np.log1p(-probability / left)
        else:
            log_unseen = probability * rows * np.log1p(-min(draws / (left * rows), 1.0))
    shares = beside_known(probability, -np.expm1(log_unseen), trained / (trained + len(times)))
    shares /= [times[tokens] for tokens in pool]
    return shares / shares.sum()


def read_distances(run: Path) -> dict[str, Float[ndarray, "pool targets"]]:
    """δ from every input of the pool to every target, by site, as the step wrote them."""
    return load_file(files.verified(run / "reference" / DISTANCES))


@dataclass(frozen=True)
class _Measurer:
    """Does units of the step: the distances at a site, or its bandwidths."""

    run: OpenRun
    known: Sequence[dict]

    def __call__(self, unit: Unit, _: Progress, /) -> Path:
        name, *given = unit.arguments
        path, site = self.run.folder / "reference" / unit.file, Site.parse(name)
        if given:
            files.write_json(path, self._bandwidths(site, *given))
        else:
            files.write_tensors(path, self._distances(site))
        return path

    def _distances(self, site: Site) -> dict[str, Tensor]:
        store = self.run.store
        of_pool, of_targets = nearest_others(store, site, self.run.seed)
        tensors = {DISTANCES: between(store, site), "of_pool": of_pool, "of_targets": of_targets}
        if self.known and site in self.run.sites["train"]:
            tensors["known"] = known_between(store, self.known, site)
        return tensors

    def _bandwidths(self, site: Site, prior: float | None) -> list[dict]:
        run, config, trained = self.run, self.run.config.sample, site in self.run.sites["train"]
        remaining = Remaining.of(run.store, run.task, site, run.seed)
        proposes = trained and not run.config.neighbourhood.has_channel
        channel = Remaining.of_channel(run.store, run.task, site, run.seed) if proposes else None
        found = site_rows(remaining, site, config.resolutions, config.bandwidths, prior, channel)
        if trained and not any(row["bandwidth"] for row in found):
            bandwidth_at(remaining, site, min(config.resolutions))  # the generator cannot serve such a site
        return found


def make_worker(run: OpenRun) -> _Measurer:
    """Worker of the step `reference`."""
    return _Measurer(run, known_rows(run.store, run.task) if run.sites["train"] else [])


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `reference`."""
    sites, worker, prior = run.sites["pool"], cache(partial(make_worker, run)), prior_inputs(run.store, run.task)
    measured = [Unit(f"part-{i:05d}.safetensors", (str(site),)) for i, site in enumerate(sites)]
    levels = [Unit(f"part-{i:05d}.json", (str(site), prior)) for i, site in enumerate(sites)]
    noted = lambda done, total, note="": progress(done, total, note or "sites")  # noqa: E731
    paths = list(parts.make(folder, [*measured, *levels], worker, noted, by(run, make_worker)))
    tensors = {site: load_torch(path) for site, path in zip(sites, paths[: len(sites)], strict=True)}
    files.write_tensors(folder / DISTANCES, {str(site): found[DISTANCES] for site, found in tensors.items()})
    write_nearest(folder, run.store, {site: (found["of_pool"], found["of_targets"]) for site, found in tensors.items()})
    known = {str(site): found["known"] for site, found in tensors.items() if "known" in found}
    write_known(folder, worker().known if known else [], known)
    record = records.collect.BANDWIDTHS
    rows = [row for path in paths[len(sites) :] for row in files.read_json(path)]
    files.write_table(folder / record.name, record.of(rows))
    parts.drop(folder, [*measured, *levels])
