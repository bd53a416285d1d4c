"""Activations of stored inputs, read again by the subject where no store of them was kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from inversescope.collect.store import Store
from inversescope.config import NeighbourhoodConfig
from inversescope.errors import UserError
from inversescope.sites import Site
from inversescope.subject import Subject


class RereadStore(Store):
    """A store of inputs whose activations were left out: the first use of a split reads it at all sites in one pass.

    They are those that were stored up to the subject's rounding, and are kept in memory alone.
    """

    def __init__(self, folder: Path, neighbourhood: NeighbourhoodConfig, subject: Subject, sites: Sequence[Site]):
        super().__init__(folder, neighbourhood)
        self._subject = subject
        self._sites = tuple(sites)

    @lru_cache(maxsize=2)  # noqa: B019 - as in the store itself
    def activations(self, split: str, site: Site) -> Float[Tensor, "n d"]:
        """The activations of a site, row i for input i of the split.

        Raises:
            UserError: the site is none of those that are read.
        """
        if self.all_shards():
            return super().activations(split, site)
        if site not in self._sites:
            raise UserError(
                "this inverter does not serve the site", given=site, allowed=", ".join(map(str, self._sites))
            )
        return self._read(self._kept(split))[site]

    @lru_cache(maxsize=4)  # noqa: B019 - as many as there are splits
    def _read(self, split: str) -> dict[Site, Float[Tensor, "n d"]]:
        return self._subject.capture(self.inputs(split).tokens, self._sites).activations
