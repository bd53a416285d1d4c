"""Levels of a run: the resolutions or bandwidths at which samples are drawn and features are scored. Free of torch.

A resolution N leaves one input in N of the prior, the same at every site; the bandwidth h that gives it differs from
site to site. A bandwidth that the config sets itself is the same number at every site, and has no resolution.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from inversescope import files, records
from inversescope.errors import UserError
from inversescope.sites import Site


class Level(NamedTuple):
    """One level at one site.

    Attributes:
        resolution: N; None where the bandwidth was set itself.
        bandwidth: h.
        channel: bandwidth of the generator's noise channel that leaves as many inputs, where that channel is not of the
            run's distance and kernel; else None.
    """

    resolution: float | None
    bandwidth: float
    channel: float | None = None

    @property
    def drawn(self) -> float:
        """The bandwidth at which the generator draws."""
        return self.bandwidth if self.channel is None else self.channel

    @property
    def columns(self) -> dict[str, float | None]:
        """Columns that name the level in a table."""
        return {"resolution": self.resolution, "bandwidth": self.bandwidth}


Levels = Mapping[Site, list[Level]]  # of each site, the finest first


def read_levels(run: Path) -> dict[Site, list[Level]]:
    """The levels of every site, the finest first, as the step `reference` wrote them; none at a site that reaches no
    resolution.
    """
    levels: defaultdict[Site, list[Level]] = defaultdict(list)
    for row in files.read_table(run / records.collect.BANDWIDTHS.path).sort_by("bandwidth").to_pylist():
        if row["bandwidth"] is not None:
            levels[Site.parse(row["site"])].append(of_row(row))
    return levels


def of_row(row: Mapping[str, Any]) -> Level:
    """The level of a row of `reference/bandwidths.parquet`."""
    return Level(row["resolution"], row["bandwidth"], row["channel"])


def unreached(run: Path) -> dict[str, list[float]]:
    """The resolutions that the pool does not reach, of each site that has such."""
    missing: dict[str, list[float]] = {}
    for row in files.read_table(run / records.collect.BANDWIDTHS.path).to_pylist():
        if row["bandwidth"] is None:
            missing.setdefault(row["site"], []).append(row["resolution"])
    return missing


def unreached_words(run: Path) -> str | None:
    """The sites that do not reach every resolution, in a sentence; None where all do."""
    missing, reached = unreached(run), read_levels(run)
    if not missing:
        return None
    none = [site for site in missing if not reached.get(Site.parse(site))]
    some = [f"{site} (1 in {', '.join(f'{n:g}' for n in missing[site])})" for site in missing if site not in none]
    parts = [f"no resolution of the run at {', '.join(none)}: nothing is scored there"] if none else []
    parts += [f"not every resolution at {', '.join(some)}"] if some else []
    return f"The pool reaches {'; '.join(parts)}. Too many of its inputs have one and the same activation there."


def level(row: Mapping[str, Any]) -> float | None:
    """Number that names the level of a row at every site alike: N, else h; None for a method that has neither."""
    return row["bandwidth"] if row["resolution"] is None else row["resolution"]


def finest_first(rows: Iterable[Mapping[str, Any]]) -> list[float]:
    """The levels of these rows by their number (`level`): the largest N, or the smallest h, first."""
    signs = {level(row): 1 if row["resolution"] is None else -1 for row in rows}
    return sorted((number for number in signs if number is not None), key=lambda number: signs[number] * number)


def resolutions(levels: Iterable[Level]) -> dict[float | None, float | None]:
    """The resolution of each bandwidth of a site; None for rows that have no bandwidth."""
    return {None: None} | {level.bandwidth: level.resolution for level in levels}


def pick(levels: Sequence[Level], resolution: float | None, bandwidth: float | None) -> Level:
    """The level of a site with this resolution, or with this bandwidth; the coarsest where neither is given.

    Raises:
        UserError: the run has no such level, or both are given.
    """
    if resolution is not None and bandwidth is not None:
        raise UserError("a resolution or a bandwidth is chosen", given="both", allowed="one of them")
    if resolution is None and bandwidth is None:
        return levels[-1]
    name, value = ("resolution", resolution) if bandwidth is None else ("bandwidth", bandwidth)
    for each in levels:
        if getattr(each, name) == value:
            return each
    known = [f"{getattr(each, name):g}" for each in levels if getattr(each, name) is not None]
    other = "bandwidth" if name == "resolution" else "resolution"
    raise UserError(
        f"the run has no samples at this {name}",
        given=f"{value:g}",
        allowed=", ".join(known) or f"none: the run was made at {other}s",
    )
