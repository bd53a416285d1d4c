"""Everything about one site and one length that serves every target: units, bridges, ruler.

Dimensions: `r` draws of the pool, `d` coordinates of the site, `v` the vocabulary, `w` the width of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

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
_READINGS = "readings of the pool"
POSITIONS = 8  # last positions of the draws from which bridges are fitted, whatever the length that is asked for


@dataclass(frozen=True)
class SiteData:
    """A site, for inputs of one length. Activations are standardized, but in `units`. On the CPU but the bridges and
    their parts of predictions, which are on the subject's device.

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
    longest = pool.tokens.shape[1]
    alone, hidden = tokens_alone(subject, reader.sites, progress)
    fitted = range(max(depth + 1, longest - POSITIONS + 1), longest + 1)
    earlier = {position - m for position in (*fitted, length) for m in range(depth + 1)}
    alone_too = [(m, position) for m in range(2, depth + 1) for position in fitted]
    read, ends, total = {}, {}, len(earlier) + len(alone_too)
    for done, position in enumerate(sorted(earlier)):
        read[position] = pool_readings(reader, pool, prefix, position, partial(progress, done, total, _READINGS))
    for done, (m, position) in enumerate(alone_too, len(earlier)):
        ends[m, position] = ends_alone(reader, pool, position, m, partial(progress, done, total, _READINGS))
    units = {site: Units.of(read[length][site]) for site in reader.sites}
    rulers = Ruler.measured(reader, pool, length, units, partial(progress, total, total, _READINGS))
    result = {}
    for site in reader.sites:
        own = units[site]
        at = {position: own.standardize(read[position][site].float()) for position in earlier}
        table = own.standardize(alone[site].float())
        here = subject.device
        suffix = {key: own.standardize(value[site].float()) for key, value in ends.items()}
        suffix |= {(1, position): table[pool.tokens[:, position - 1]] for position in fitted}
        whole = torch.cat([at[position] for position in fitted]).to(here)
        progress(total, total, _READINGS)
        last = Bridge.fit(whole, torch.cat([suffix[1, position] for position in fitted]).to(here), None)
        bridges = {}
        for m in range(1, depth + 1):
            progress(total, total, _READINGS)
            end = torch.cat([suffix[m, position] for position in fitted]).to(here)
            beginning = torch.cat([at[position - m] for position in fitted]).to(here)
            bridges[m] = Bridge.fit(whole, end, beginning)
        beginnings = {m: bridge.beginnings(at[length - m]) for m, bridge in bridges.items()}
        result[site] = SiteData(
            site, length, own, at[length], alone[site], last, last.ends(table), bridges, beginnings, rulers[site]
        )
    progress(total, total)
    return result, hidden
