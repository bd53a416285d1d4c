"""Everything about one site and one length that serves every target: units, bridges, ruler.

Dimensions: `r` draws of the pool, `d` coordinates of the site, `v` the vocabulary, `w` the width of the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.natural_text.bridge import Bridge
from inversescope.natural_text.pool import Pool
from inversescope.natural_text.readings import ends_alone, pool_readings, tokens_alone
from inversescope.natural_text.ruler import Ruler
from inversescope.progress import Progress, silent
from inversescope.sites import Site
from inversescope.subject.continuing import Continuing
from inversescope.units import Units

DEPTH = 2  # tokens of an end that are proposed
POSITIONS = 3  # last positions of the draws from which bridges are fitted


@dataclass(frozen=True)
class SiteData:
    """A site, for inputs of one length. Activations are standardized, but in `units`.

    Attributes:
        units: mean and deviation of each coordinate over the pool.
        pool: activations of the draws, cut to the length.
        alone: of every token read alone, in the subject's units.
        last: bridge from the last token alone.
        vocabulary: its part of the prediction for every token.
        bridges: of m = 1, 2, ...: from the last m tokens, read alone, and the beginning before them.
        beginnings: of each m the draws' part of that prediction, cut m tokens before the end.
        ruler: δ of inputs that share their last tokens.
    """

    site: Site
    length: int
    units: Units
    pool: Float[Tensor, "r d"]
    alone: Float[Tensor, "v d"]
    last: Bridge
    vocabulary: Float[Tensor, "v d"]
    bridges: dict[int, Bridge]
    beginnings: dict[int, Float[Tensor, "r d"]]
    ruler: Ruler


def site_data(
    reader: Continuing, pool: Pool, length: int, progress: Progress = silent
) -> tuple[dict[Site, SiteData], Float[Tensor, "v w"]]:
    """Data of every site of the reader, and what the head reads behind every token alone."""
    subject = reader.subject
    prefix, depth = len(subject.prefix), min(DEPTH, length - 1)
    alone, hidden = tokens_alone(subject, reader.sites, progress)
    positions = range(max(1, length - depth - POSITIONS + 1), length + 1)
    read = {position: pool_readings(reader, pool, prefix, position) for position in positions}
    ends = {
        (m, position): ends_alone(reader, pool, position, m)
        for m in range(2, depth + 1)
        for position in positions
        if position >= max(m + 1, length - 1)
    }
    rulers = Ruler.measured(reader, pool, length, {site: Units.of(read[length][site]) for site in reader.sites})
    result = {}
    for site in reader.sites:
        units = Units.of(read[length][site])
        at = {position: units.standardize(read[position][site].float()) for position in positions}
        table = units.standardize(alone[site].float())
        suffix = {key: units.standardize(value[site].float()) for key, value in ends.items()}
        result[site] = SiteData(
            site,
            length,
            units,
            at[length],
            alone[site],
            last := _last(pool, at, table),
            last.ends(table),
            bridges := {m: _bridge(pool, at, table, suffix, m) for m in range(1, depth + 1)},
            {m: bridge.beginnings(at[length - m]) for m, bridge in bridges.items()},
            rulers[site],
        )
    return result, hidden


def _last(pool: Pool, at: dict[int, Tensor], table: Tensor) -> Bridge:
    used = list(at)[-POSITIONS:]
    tokens = torch.cat([pool.tokens[:, position - 1] for position in used])
    return Bridge.fit(torch.cat([at[position] for position in used]), table[tokens], None)


def _bridge(pool: Pool, at: dict[int, Tensor], table: Tensor, suffix: dict[tuple[int, int], Tensor], m: int) -> Bridge:
    """From the positions whose draws have been read m tokens earlier, too."""
    used = [p for p in at if p - m in at and (m == 1 or (m, p) in suffix)][-POSITIONS:]
    end = [table[pool.tokens[:, p - 1]] if m == 1 else suffix[m, p] for p in used]
    return Bridge.fit(torch.cat([at[p] for p in used]), torch.cat(end), torch.cat([at[p - m] for p in used]))
