"""Sites that a run's generator serves, from the run's records alone: no model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inversescope.errors import UserError
from inversescope.run.run import Run
from inversescope.run.sealed import read_resolved
from inversescope.sites import Addresses, Site, SubjectShape, each, select

LISTED = 12  # sites named in a message


def served(folder: Path | str, addresses: Addresses) -> tuple[Site, ...]:
    """The sites of a run's generator that the addresses name, wildcards allowed: each once, in the order given.

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
