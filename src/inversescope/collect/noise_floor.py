"""Noise floor: δ between two readings of the same input in different batches, measured when collecting.

A model rounds differently in a batch of another shape: neighbours, order and padding change the order of its sums. No
bandwidth and no acceptance radius below this distance means anything. In float32 it is about 1e-6; in bfloat16 it may
be as large as the smallest bandwidths of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from inversescope import files, records
from inversescope.collect.distance import Distance
from inversescope.collect.store import Store
from inversescope.sites import Site
from inversescope.streams import Stream
from inversescope.subject import Subject
from inversescope.verdicts import NOISE_QUANTILE

READ_AGAIN = 64  # inputs of the pool; half of it at most, so that their batch is another one


def write_noise_floor(
    store: Store, subject: Subject, distances: Mapping[Site, Distance], count: int, most: int, seed: int
) -> None:
    """Read some inputs of the pool again, by themselves, and write δ to what was stored of them.

    Args:
        distances: of each site.
        count: inputs of the pool.
        most: inputs that may be read at once.
    """
    sites = list(distances)
    rows = Stream.READ_AGAIN.rng(seed).permutation(count)[: min(READ_AGAIN, most, max(1, count // 2))].tolist()
    inputs = [tuple(store.column("tokens", "pool", row, 1)[0]) for row in rows]
    again = subject.capture(inputs, sites).activations
    stored, table = _stored(store, sites, rows), []
    for site in sites:
        distance = distances[site].paired(again[site], stored[site]).double()
        quantiles = torch.quantile(distance, torch.tensor([0.5, NOISE_QUANTILE], dtype=torch.float64)).tolist()
        table.append({"site": str(site), "inputs": len(rows), "median": quantiles[0], "floor": quantiles[1]})
    record = records.collect.NOISE_FLOOR
    files.write_table(store.folder / record.name, record.of(table))


def _stored(store: Store, sites: Sequence[Site], rows: Sequence[int]) -> Mapping[Site, Float[Tensor, "rows d"]]:
    """The stored activations of some rows of the pool; one site of one shard is in memory at a time."""
    found: dict[Site, dict[int, Tensor]] = {site: {} for site in sites}
    for shard in store.shards("pool"):
        here = [row for row in rows if shard["start"] <= row < shard["start"] + shard["rows"]]
        with safe_open(files.verified(store.folder / shard["file"]), "pt") as tensors:
            for site in sites:
                if here and str(site) in tensors.keys():  # noqa: SIM118 - no container
                    read = tensors.get_tensor(str(site))
                    found[site] |= {row: read[row - shard["start"]] for row in here}
    return {site: torch.stack([of_site[row] for row in rows]) for site, of_site in found.items()}
