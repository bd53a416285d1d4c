"""Ruler for δ on natural text: the distance of inputs that share their last tokens and nothing else.

Dimensions: `n` pairs of inputs, `d` coordinates of the site.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch

from inversescope import files
from inversescope.natural_text.pool import Pool
from inversescope.natural_text.readings import file_name, pool_readings
from inversescope.sites import Site
from inversescope.subject.continuing import Continuing
from inversescope.units import Units

SHARED = (1, 2, 4, 8, 12)  # last tokens shared
PAIRS = 128


@dataclass(frozen=True)
class Ruler:
    """Median δ of inputs that share exactly so many last tokens by construction; 0 is unrelated inputs."""

    medians: Mapping[int, float]

    @property
    def unrelated(self) -> float:
        """Median δ of two unrelated inputs."""
        return self.medians[0]

    def shared(self, distance: float) -> int:
        """Number of shared last tokens whose median is nearest, by ratio; 0 is none."""
        return min(self.medians, key=lambda k: abs(math.log(max(distance, 1e-9) / max(self.medians[k], 1e-9))))

    def words(self, distance: float) -> str:
        """A distance for people."""
        last, number = max(self.medians), self.shared(distance)
        if number == 0:
            return "as far as unrelated inputs"
        tokens = "token" if number == 1 else f"{number} tokens"
        near = "nearer than" if number == last and distance < self.medians[last] / math.sqrt(2) else "as near as"
        return f"{near} inputs that share the last {tokens}"

    def record(self) -> dict[str, float]:
        """The medians as JSON."""
        return {str(shared): median for shared, median in self.medians.items()}

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """The ruler of a record."""
        return cls({int(shared): float(median) for shared, median in record.items()})

    @classmethod
    def measured(
        cls,
        reader: Continuing,
        pool: Pool,
        length: int,
        units: Mapping[Site, Units],
        before_batch: Callable[[], None] = lambda: None,
    ) -> dict[Site, Ruler]:
        """From the cache, or measured on pairs of draws: the end of one behind the beginning of another."""
        paths = {site: pool.folder / f"{file_name(reader.subject, site)}.{length}.ruler.json" for site in reader.sites}
        if all(path.exists() for path in paths.values()):
            return {site: cls.read(files.read_json(path)) for site, path in paths.items()}
        prefix = len(reader.subject.prefix)
        whole = pool_readings(reader, pool, prefix, length)
        n = min(PAIRS, len(pool) // 2)
        own, other = torch.arange(n), torch.arange(n) + len(pool) // 2
        medians: dict[Site, dict[int, float]] = {
            site: {0: _median(units[site], whole[site][own], whole[site][other])} for site in reader.sites
        }
        for k in [k for k in SHARED if k < length]:
            parts = []
            for rows in torch.arange(n).split(max(1, reader.rows // k)):
                before_batch()
                past = pool.key_values.rows(other[rows], prefix + length - k, reader.layers)
                parts.append(reader.read(pool.tokens[own[rows], length - k : length], past, last=True).activations)
            for site in reader.sites:
                read = torch.cat([part[site][:, 0] for part in parts])
                medians[site][k] = _median(units[site], whole[site][own], read)
        for site, path in paths.items():
            files.write_json(path, cls(medians[site]).record())
        return {site: cls(medians[site]) for site in reader.sites}


def _median(units: Units, left: torch.Tensor, right: torch.Tensor) -> float:
    return float(units.distance(units.standardize(left.float()), units.standardize(right.float())).median())
