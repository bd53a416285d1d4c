"""Records of `collect`: the inputs of each split, and their activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from inversescope import files
from inversescope.cluster import Executor
from inversescope.collect.distance import Distance
from inversescope.collect.inputs import INPUTS, Inputs, kept_as, read_inputs, read_noise_floor
from inversescope.config import NeighbourhoodConfig, RunConfig
from inversescope.errors import UserError
from inversescope.files import RunFolder
from inversescope.records.levels import Levels
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.subject import Subject
from inversescope.tasks import Task, TaskConfig
from inversescope.units import Units

SHARDS = "shards.json"
DEFAULT = NeighbourhoodConfig()


class Store:
    """Reads what `collect` wrote.

    Args:
        folder: the step's.
        neighbourhood: distance and kernel of the run.
    """

    def __init__(self, folder: Path, neighbourhood: NeighbourhoodConfig = DEFAULT):
        self.folder = folder
        self.neighbourhood = neighbourhood
        self.kernel = neighbourhood.kernel

    @lru_cache(maxsize=4)  # noqa: B019 - as many as there are splits
    def inputs(self, split: str) -> Inputs:
        """The inputs of `train`, `pool` or `target`."""
        return read_inputs(self.folder / INPUTS, split)

    @lru_cache(maxsize=2)  # noqa: B019 - many calls in a row for one site
    def activations(self, split: str, site: Site) -> Float[Tensor, "n d"]:
        """The activations of a site, row i for input i of the split; float32, the subject's own units.

        Raises:
            UserError: the site was not collected for this split.
        """
        parts: dict[int, Tensor] = {}  # by their first row
        others: set[str] = set()
        for shard in self.shards(self._kept(split)):
            with safe_open(files.verified(self.folder / shard["file"]), "pt") as tensors:
                others.update(tensors.keys())
                if str(site) in tensors.keys():  # noqa: SIM118 - no container
                    parts[shard["start"]] = tensors.get_tensor(str(site))
        if not parts:
            raise UserError(
                f"this run has no {split} activations of this site", given=site, allowed=_short(sorted(others))
            )
        return torch.cat([parts[start] for start in sorted(parts)])

    def shards(self, split: str) -> list[dict]:
        """The entries of the shards of a split, in the order of their rows."""
        return [shard for shard in self.all_shards() if shard["split"] == split]

    def all_shards(self) -> list[dict]:
        """The entries of all shards that are written: file, split, first row, rows, hash."""
        path = self.folder / SHARDS
        return files.read_json(files.verified(path)) if path.exists() else []

    def column(self, name: str, split: str, start: int, rows: int) -> list:
        """A column of `inputs.parquet` for some rows of a split; the others are not read."""
        here = [("split", "=", split), ("row", ">=", start), ("row", "<", start + rows)]
        return (
            files.read_table(self.folder / INPUTS, columns=[name, "row"], filters=here).sort_by("row")[name].to_pylist()
        )

    def units(self, site: Site) -> Units:
        """The site's mean and standard deviation over the pool."""
        with safe_open(files.verified(self.folder / "statistics.safetensors"), "pt") as tensors:
            mean, deviation = (tensors.get_tensor(f"{site}.{name}") for name in ("mean", "deviation"))
        return Units(mean, deviation, len(self.inputs("pool")))

    def distance(self, site: Site) -> Distance:
        """The run's distance at a site."""
        return Distance.of(self.neighbourhood.distance, self.units(site))

    def channel(self, site: Site) -> Distance:
        """The distance of the generator's noise channel: the run's, or where that has no channel, `standardized`."""
        euclidean = self.neighbourhood.distance == "euclidean"
        return Distance.of("euclidean" if euclidean else "standardized", self.units(site))

    def noise_floor(self, site: Site) -> float:
        """δ below which two activations cannot be told apart from two readings of one input (see `noise_floor`)."""
        return read_noise_floor(self.folder)[str(site)]

    @cached_property
    def exact(self) -> bool:
        """True if the pool is the whole prior, so that sums over it are exact."""
        return self.inputs("pool").exact

    @lru_cache(maxsize=4)  # noqa: B019 - as many as there are splits
    def _kept(self, split: str) -> str:
        return kept_as(self.folder / INPUTS, split)


def _short(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@runtime_checkable  # the tests execute the annotations
class OpenRun(RunFolder, Protocol):
    """A run as its steps see it: its config, and what is loaded on first use."""

    @property
    def config(self) -> RunConfig: ...
    @property
    def kernel(self) -> Kernel: ...
    @property
    def executor(self) -> Executor: ...
    @cached_property
    def subject(self) -> Subject: ...
    @cached_property
    def task(self) -> Task: ...
    @cached_property
    def task_config(self) -> TaskConfig: ...
    @cached_property
    def store(self) -> Store: ...
    @cached_property
    def sites(self) -> Mapping[str, Sequence[Site]]: ...
    @cached_property
    def levels(self) -> Levels: ...
