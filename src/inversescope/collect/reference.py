"""The reference: the same answer without a generator, from stored activations: the pool's, and those of other inputs
whose probability is known. And the levels of each site.

Records: `records.collect.REFERENCE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from pathlib import Path

import torch
from jaxtyping import Float
from numpy import ndarray
from safetensors.numpy import load_file

from inversescope import files, records
from inversescope.collect.bandwidths import Remaining, bandwidth_at, prior_inputs, site_rows
from inversescope.collect.outside import write_nearest
from inversescope.collect.store import OpenRun, Store
from inversescope.progress import Progress
from inversescope.sites import Site
from inversescope.tasks import Task

DISTANCES = "distances.safetensors"
FEW = 0.01  # share of the prior below which a stratum of known inputs is not worth its distances


def reference(folder: Path, store: Store, sites: Sequence[Site], progress: Progress) -> Path:
    """Write δ between every input of the pool and every target, [pool, targets] for each site."""
    tensors = {}
    for done, site in enumerate(sites, start=1):
        pool, targets = store.activations("pool", site), store.activations("target", site)
        tensors[str(site)] = store.distance(site).between(pool, targets)
        progress(done, len(sites), "sites")
    path = folder / DISTANCES
    files.write_tensors(path, tensors)
    return path


def known_inputs(folder: Path, store: Store, sites: Sequence[Site], task: Task) -> None:
    """Write the inputs of the other splits with their probability, and δ between them and every target at the sites
    where they were read. Nothing where the pool is the whole prior, or P is not known, or they are too little of it.
    """
    rows = known_rows(store, task) if sites else []
    if not rows:
        return
    places = {split: [row["row"] for row in rows if row["split"] == split] for split in ("train", "target")}
    tensors = {}
    for site in sites:
        targets, train = store.activations("target", site), store.activations("train", site)
        known = torch.cat((train[places["train"]], targets[places["target"]]))
        tensors[str(site)] = store.distance(site).between(known, targets)
    files.write_table(folder / records.collect.KNOWN.name, records.collect.KNOWN.of(rows))
    files.write_tensors(folder / records.collect.KNOWN_DISTANCES.name, tensors)


def known_rows(store: Store, task: Task) -> list[dict]:
    """The distinct inputs of train and targets that the pool lacks, with their probability; none where the pool is the
    whole prior, or a probability is not known, or they are too little of the prior.
    """
    if store.exact:
        return []
    seen, rows = set(store.inputs("pool").tokens), []
    for split in ("train", "target"):
        for row, tokens in enumerate(store.inputs(split).tokens):
            if tokens not in seen:
                seen.add(tokens)
                log_prior = task.log_prior(tokens)
                if log_prior is None:
                    return []
                rows.append({"split": split, "row": row, "probability": exp(log_prior)})
    return rows if sum(row["probability"] for row in rows) >= FEW else []


def read_distances(run: Path) -> dict[str, Float[ndarray, "pool targets"]]:
    """δ from every input of the pool to every target, by site, as the step wrote them."""
    return load_file(files.verified(run / "reference" / DISTANCES))


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `reference`."""
    sites, config = run.sites["pool"], run.config.sample
    reference(folder, run.store, sites, progress)
    write_nearest(folder, run.store, sites, run.seed)
    known_inputs(folder, run.store, run.sites["train"], run.task)
    prior, rows = prior_inputs(run.store, run.task), []
    for done, site in enumerate(sites, start=1):
        remaining = Remaining.of(run.store, run.task, site, run.seed)
        proposes = site in run.sites["train"] and not run.config.neighbourhood.has_channel
        channel = Remaining.of_channel(run.store, run.task, site, run.seed) if proposes else None
        found = site_rows(remaining, site, config.resolutions, config.bandwidths, prior, channel)
        if site in run.sites["train"] and not any(row["bandwidth"] for row in found):
            bandwidth_at(remaining, site, min(config.resolutions))  # the generator cannot serve such a site
        rows += found
        progress(done, len(sites), "bandwidths of sites")
    record = records.collect.BANDWIDTHS
    files.write_table(folder / record.name, record.of(rows))
