"""Retrieval: the nearest of stored positions to every target, training inputs read at each of their tokens.

An exact search: products of matrices, block by block, so that no activation is kept. Dimensions: `n` windows, `t`
their tokens, `p` positions, `d` coordinates of a site, `q` targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope import files
from inversescope.cluster import Unit
from inversescope.natural_text.evaluation.chances import same_from_the_end
from inversescope.natural_text.readings import prefix_key_values
from inversescope.progress import Progress
from inversescope.records import text as records
from inversescope.sites import Site
from inversescope.subject.continuing import Continuing, KeyValues
from inversescope.subject.subject import Subject
from inversescope.tasks import Tokens
from inversescope.units import Units

BLOCK = 4096  # positions read and compared at once
PART = 16_384  # positions of a unit: what an interruption can cost


@dataclass(frozen=True)
class Stored:
    """Searches positions of windows.

    Attributes:
        subject: the subject.
        units: of each site.
        targets: standardized activations of the targets, by site.
        sources: their inputs without prefix.
        windows: inputs that are read at every position, prefix included, in the order in which pools grow.
        sizes: of the pools in positions, by the multiple that they are.
    """

    subject: Subject
    units: Mapping[Site, Units]
    targets: Mapping[Site, Float[Tensor, "q d"]]
    sources: Sequence[Sequence[int]]
    windows: Sequence[Tokens]
    sizes: Mapping[int, int]

    def units_of_work(self) -> list[Unit]:
        """Units of windows, none of which belongs to two sizes."""
        found: list[Unit] = []
        start = before = 0
        for multiple, size in sorted(self.sizes.items()):
            end, positions = start, before
            while end < len(self.windows) and positions < size:
                positions += len(self.windows[end]) - len(self.subject.prefix)
                end += 1
            for first in range(start, end, max(1, PART // self._longest)):
                last = min(end, first + max(1, PART // self._longest))
                name = f"stored-{len(found):05d}.json"
                found.append(Unit(name, ("stored", first, last, multiple), last - first))
            start, before = end, positions
        return found

    def do(self, path: Path, first: int, last: int, multiple: int, progress: Progress) -> Path:
        """Write the nearest of some windows, by site and target; they belong to the pool of a multiple, and to all
        larger ones.
        """
        best: dict[tuple[Site, int], tuple[float, list[int]]] = {}
        done = 0
        for rows, activations in self._read(self.windows[first:last]):
            done += len(rows)
            for site, values in activations.items():
                for target, (distance, place) in enumerate(zip(*self._nearest(site, values), strict=True)):
                    row, position = divmod(place, values.shape[1])
                    found = (distance, rows[row][: position + 1])
                    best[site, target] = min(best.get((site, target), found), found)
            progress(done, last - first, "stored positions")
        rows = [self._row(site, target, multiple, *found) for (site, target), found in best.items()]
        files.write_json(path, records.POSITIONS.of({"methods": rows}))
        return path

    @property
    def _longest(self) -> int:
        return max((len(window) for window in self.windows), default=1)

    def _read(self, windows: Sequence[Tokens]) -> Iterator[tuple[list[list[int]], dict[Site, Float[Tensor, "n t d"]]]]:
        """Windows of one length at a time, and the activations at all of their positions."""
        reader, start = Continuing(self.subject, list(self.targets)), prefix_key_values(self.subject)
        prefix = len(self.subject.prefix)
        for length, same in groupby(sorted(windows, key=len), key=len):
            rows = [list(window[prefix:]) for window in same]
            step = max(1, BLOCK // max(1, length))
            for block in (rows[first : first + step] for first in range(0, len(rows), step)):
                past = None if start is None else KeyValues(start.layers[: reader.layers]).expanded(len(block))
                yield block, reader.read(torch.tensor(block), past).activations

    def _nearest(self, site: Site, values: Float[Tensor, "n t d"]) -> tuple[list[float], list[int]]:
        """δ of the nearest position to each target, and its place."""
        units, targets = self.units[site], self.targets[site]
        rows = units.standardize(values.reshape(-1, values.shape[-1]).float())
        squares = (rows**2).sum(1)[:, None] + (targets**2).sum(1) - 2 * rows @ targets.T
        places = squares.argmin(0)
        # From the rows themselves: the product rounds where two are near.
        return units.distance(rows[places], targets).tolist(), places.tolist()

    def _row(self, site: Site, target: int, multiple: int, distance: float, tokens: list[int]) -> dict[str, Any]:
        return {
            "site": str(site),
            "target": target,
            "method": f"{records.STORED} ×{multiple}",
            "tokens_read": 0,
            "distance": distance,
            "median": None,
            "log_p": None,
            "short_of_source": None,
            "same": same_from_the_end([tokens], self.sources[target], [1.0]),
            "text": self.subject.show(tokens),
        }


def pools(rows: Sequence[dict[str, Any]], multiples: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of whole pools from those of their parts: a pool holds the smaller ones."""
    best: dict[tuple[str, int, int], dict[str, Any]] = {}
    for row in rows:
        of = int(row["method"].rpartition("×")[2])
        for multiple in (multiple for multiple in multiples if multiple >= of):
            key = (row["site"], row["target"], multiple)
            if key not in best or row["distance"] < best[key]["distance"]:
                best[key] = row | {"method": f"{records.STORED} ×{multiple}"}
    return [best[key] for key in sorted(best)]
