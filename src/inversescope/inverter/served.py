"""Sites and levels that a run's generator serves; everything else is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inversescope.collect import bandwidths
from inversescope.collect.bandwidths import Remaining
from inversescope.errors import UserError
from inversescope.generator import Generator
from inversescope.records.levels import Level
from inversescope.run.run import Run
from inversescope.run.sealed import read_resolved
from inversescope.sites import Addresses, Site, SubjectShape, each, select

LISTED = 12  # sites named in a message


def served(folder: Path | str, addresses: Addresses) -> tuple[Site, ...]:
    """The sites of a run's generator that the addresses name, wildcards allowed: each once, in the order given. Read
    from the run's records: no model is loaded.

    Raises:
        UserError: this is not a run directory, or an address is malformed or names no site of the generator.
    """
    run = Run.open(folder)
    run.require_generator()
    resolved = read_resolved(run.folder)
    sites = tuple(map(Site.parse, resolved["generator"]["sites"]))
    return chosen(addresses, sites, SubjectShape(**resolved["subject"]["shape"]))


def chosen(addresses: Addresses, sites: Sequence[Site], shape: SubjectShape) -> tuple[Site, ...]:
    """The sites of a generator that the addresses name: each once, in the order given.

    Raises:
        UserError: an address is malformed, or names none of them.
    """
    found: dict[Site, None] = {}
    for address in each(addresses):
        named = [site for site in select(address, shape) if site in sites]
        if not named:
            shown = ", ".join(map(str, sites[:LISTED]))
            more = f" and {len(sites) - LISTED} more" if len(sites) > LISTED else ""
            raise UserError("the run's generator does not serve this site", given=address, allowed=shown + more)
        found |= dict.fromkeys(named)
    if not found:
        raise UserError("no site is given", allowed="one or several, such as resid_post.5")
    return tuple(found)


def level_served(
    run: Run, generator: Generator, site: Site, resolution: float | None, bandwidth: float | None
) -> Level:
    """The level of a site at a resolution or a bandwidth, or by default (`collect.bandwidths.chosen`).

    Raises:
        UserError: the run has no such resolution, or the generator does not serve the bandwidth.
    """
    level = bandwidths.chosen(run.folder, site, resolution, bandwidth)
    if level.channel is None and not run.config.neighbourhood.has_channel:
        share = Remaining.of(run.store, run.task, site, run.seed).share(level.bandwidth)
        by_channel = Remaining.of_channel(run.store, run.task, site, run.seed)
        level = level._replace(channel=by_channel.nearest(share))
    low, high = generator.bandwidths[site]
    if not generator.serves(site, level.drawn):
        channel = "" if level.channel is None else f", for which it would draw at h = {level.channel:.3g}"
        raise UserError(
            f"the generator was not trained for this bandwidth at {site}",
            given=f"{level.bandwidth:g}{channel}",
            allowed=f"{low:g} to {high:g}",
        )
    return level
