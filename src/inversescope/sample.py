"""Draw inputs from the generator for every target, site and bandwidth, and from its prior.

Records: one Parquet file a site, one row a sample: `site` (null: no condition), `bandwidth`, `target`, `sample`,
`tokens` (null where the sample never ended), `log_q` in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from inversescope import files
from inversescope.collect import Store
from inversescope.config import SampleConfig
from inversescope.generator import Generator
from inversescope.sites import Site

ROWS = 1024  # samples drawn at once: enough to fill the arithmetic units, few enough to stay in a small cache

SCHEMA = pa.schema(
    [
        ("site", pa.string()),
        ("bandwidth", pa.float64()),
        ("target", pa.int32()),
        ("sample", pa.int32()),
        ("tokens", pa.list_(pa.int32())),
        ("log_q", pa.float64()),
    ]
)


def sample(
    folder: Path,
    store: Store,
    generator: Generator,
    config: SampleConfig,
    seed: int,
    progress: Callable[[int, int], None],
) -> list[Path]:
    """Draw `config.samples` for every target at each site and bandwidth, and as many for each target unconditionally.

    Sites that are drawn already are kept. The random numbers of a site follow from the seed and its place alone.
    """
    paths = []
    jobs: list[Site | None] = [*generator.sites, None]
    for index, site in enumerate(jobs):
        path = folder / f"part-{index:05d}.parquet"
        if not path.exists():
            rng = torch.Generator(next(generator.parameters()).device).manual_seed(
                seed * 1_000_003 + 500_000_007 + index
            )
            files.write_table(path, _draw_site(store, generator, site, config, rng))
        paths.append(path)
        progress(index + 1, len(jobs))
    return paths


def draw(
    generator: Generator,
    site: Site,
    activations: Float[Tensor, "m d"],
    bandwidth: float,
    samples: int,
    rng: torch.Generator,
) -> tuple[list[tuple[int, ...] | None], list[float]]:
    """`samples` inputs for each of the activations, those of one target together, and their ln q."""
    device = next(generator.parameters()).device
    with torch.inference_mode():
        bandwidths = torch.full((len(activations),), bandwidth, device=device)
        condition = generator.condition(site, activations.to(device), bandwidths)
    return draw_from(generator, condition, samples, rng)


def draw_from(
    generator: Generator, condition: Float[Tensor, "n condition"], samples: int, rng: torch.Generator
) -> tuple[list[tuple[int, ...] | None], list[float]]:
    """`samples` inputs for each of the conditions, those of one together, and their ln q."""
    tokens: list[tuple[int, ...] | None] = []
    log_q: list[float] = []
    for part in condition.split(max(1, ROWS // samples)):
        drawn, nats = generator.draw(part, rng, samples)
        tokens += drawn
        log_q += nats.double().tolist()
    return tokens, log_q


def _draw_site(
    store: Store, generator: Generator, site: Site | None, config: SampleConfig, rng: torch.Generator
) -> pa.Table:
    targets = len(store.inputs("target"))
    if site is None:
        with torch.inference_mode():
            condition = generator.no_condition(targets)
        return _table(None, None, targets, config.samples, *draw_from(generator, condition, config.samples, rng))
    activations = store.activations("target", site)
    return pa.concat_tables(
        _table(site, h, targets, config.samples, *draw(generator, site, activations, h, config.samples, rng))
        for h in config.bandwidths
    )


def _table(
    site: Site | None,
    bandwidth: float | None,
    targets: int,
    samples: int,
    tokens: list[tuple[int, ...] | None],
    log_q: list[float],
) -> pa.Table:
    n = targets * samples
    columns = {
        "site": [None if site is None else str(site)] * n,
        "bandwidth": [bandwidth] * n,
        "target": [target for target in range(targets) for _ in range(samples)],
        "sample": list(range(samples)) * targets,
        "tokens": [None if row is None else list(row) for row in tokens],
        "log_q": log_q,
    }
    return pa.table(columns, schema=SCHEMA)
