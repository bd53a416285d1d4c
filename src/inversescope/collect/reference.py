"""The reference: the same answer without a generator, from the pool's stored activations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inversescope import files
from inversescope.collect.store import OpenRun, Store
from inversescope.progress import Progress
from inversescope.sites import Site

DISTANCES = "distances.safetensors"


def reference(folder: Path, store: Store, sites: Sequence[Site], progress: Progress) -> Path:
    """Write δ between every input of the pool and every target, [pool, targets] for each site."""
    tensors = {}
    for done, site in enumerate(sites, start=1):
        pool, targets = store.activations("pool", site), store.activations("target", site)
        tensors[str(site)] = store.units(site).distances(pool, targets)
        progress(done, len(sites), "sites")
    path = folder / DISTANCES
    files.write_tensors(path, tensors)
    return path


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `reference`."""
    reference(folder, run.store, run.sites["pool"], progress)
