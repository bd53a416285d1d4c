"""Files of the step `reference`, of a store without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inversescope import files
from inversescope.collect import outside
from inversescope.collect.reference import DISTANCES, between, known_between, known_rows, write_known
from inversescope.collect.store import Store
from inversescope.sites import Site
from inversescope.tasks import Task


def reference(folder: Path, store: Store, sites: Sequence[Site]) -> None:
    """δ between pool and targets."""
    files.write_tensors(folder / DISTANCES, {str(site): between(store, site) for site in sites})


def known_inputs(folder: Path, store: Store, sites: Sequence[Site], task: Task) -> None:
    """The known inputs, and δ between them and the targets."""
    rows = known_rows(store, task)
    write_known(folder, rows, {str(site): known_between(store, rows, site) for site in sites if rows})


def write_nearest(folder: Path, store: Store, sites: Sequence[Site], seed: int) -> None:
    """δ to the nearest other input."""
    outside.write_nearest(folder, store, {site: outside.nearest_others(store, site, seed) for site in sites})
