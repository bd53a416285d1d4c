"""The miner on planted worlds, from texts alone: what a site encodes must come first in its list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from planted_truth import BANDWIDTHS, runs_in
from planted_worlds import World

from inversescope import files

parse = pytest.importorskip("inversescope.features.language").parse
mine = pytest.importorskip("inversescope.mine").mine


def hide_labels(run: Path, copy: Path) -> Path:
    """The run's inputs and samples as if nothing were known of its texts but the texts."""
    for name in ("collect/inputs.parquet", "verify/samples.parquet"):
        table = pq.read_table(run / name)
        (copy / name).parent.mkdir(parents=True)
        files.write_table(copy / name, table.drop([name for name in table.column_names if name.startswith("label.")]))
    (copy / "mine").mkdir()
    return copy


def first_of_each_site(run: Path, seed: int) -> dict[str, str]:
    """The expression that comes first at the closest bandwidth, where different activations are kept apart."""
    mine(run, seed, lambda done, total: None)
    rows = pq.read_table(run / "mine" / "hypotheses.parquet").to_pylist()
    return {row["site"]: row["hypothesis"] for row in rows if row["rank"] == 1 and row["bandwidth"] == BANDWIDTHS[0]}


def parting(labels: Sequence[object]) -> set[frozenset[int]]:
    """How labels part the texts, whatever they are called."""
    return {frozenset(i for i, each in enumerate(labels) if each == label) for label in labels}


def planted(world: World, site: str) -> list[set[frozenset[int]]]:
    """Each encoded feature, and all of them together."""
    features = world.encoded[site]
    together = parting([tuple(row[feature] for feature in features) for row in world.rows])
    return [together, *(parting([row[feature] for row in world.rows]) for feature in features)]


def test_the_miner_puts_what_is_planted_first_at_least_nine_times_in_ten(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    right = {}
    for (world, seed), run in runs_in(tmp_path_factory.getbasetemp()).items():
        found = first_of_each_site(hide_labels(run, tmp_path / f"{world.name}-{seed}"), seed)
        for site in world.encoded:
            label = parse(found[site]).label
            right[site, seed, found[site]] = parting([label(row["text"]) for row in world.rows]) in planted(world, site)
    assert len(right) == 2 * 16
    assert sum(right.values()) >= 0.9 * len(right), [case for case, found in right.items() if not found]
