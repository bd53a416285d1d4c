"""Sizes of the splits where the config leaves them open: those of a file follow its number of different inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inversescope.collect.draw_inputs import draw_splits
from inversescope.config import CollectConfig, RunConfig
from inversescope.streams import Stream
from inversescope.tasks import Task

USUAL = {"train": 5000, "pool": 3000, "targets": 24}
SIZES = tuple(USUAL)


def sized(config: RunConfig, task: Task, seed: int) -> RunConfig:
    """The config with all sizes, after a trial that its splits can be drawn.

    Raises:
        UserError: the prior has too few inputs, or the resolutions do not fit the pool.
    """
    config = config.with_sizes(_sizes(config.collect, task))
    draw_splits(config.collect, task, Stream.INPUTS.rng(seed))
    if config.collect.pool == "all":
        next(iter(task.enumerate()), None)  # refused by a task whose inputs are too many
    return config


def _sizes(given: CollectConfig, task: Task) -> Mapping[str, Any]:
    if task.rows is None:
        return USUAL
    distinct = sum(1 for _ in task.enumerate())
    if distinct > sum(USUAL.values()):
        return USUAL
    targets = max(2, min(USUAL["targets"], distinct)) if given.targets == "auto" else given.targets
    pool = "all" if given.pool == "auto" else given.pool
    left = "all" if pool == "all" else max(1, min(USUAL["train"], distinct - pool - targets))
    return {"train": left, "pool": pool, "targets": targets}
