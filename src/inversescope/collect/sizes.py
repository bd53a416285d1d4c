"""Sizes of the splits where the config leaves them open: those of a file follow its number of different inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inversescope.collect.draw_inputs import document_of, draw_splits
from inversescope.config import CollectConfig, RunConfig
from inversescope.errors import UserError
from inversescope.streams import Stream
from inversescope.tasks import Task

USUAL = {"train": 5000, "pool": 3000, "targets": 24}
SIZES = tuple(USUAL)


def sized(config: RunConfig, task: Task, seed: int) -> RunConfig:
    """The config with all sizes, after a trial that its splits can be drawn.

    Raises:
        UserError: the prior has too few inputs, or the resolutions do not fit the pool.
    """
    if hasattr(task, "document") and "all" in (config.collect.pool, config.collect.train):
        raise UserError(
            "documents are kept apart between the splits, so that no split can hold all inputs",
            given='collect.pool or collect.train = "all"',
            allowed="a number, or auto",
        )
    config = config.with_sizes(_sizes(config.collect, task))
    draw_splits(config.collect, task, Stream.INPUTS.rng(seed))
    if config.collect.pool == "all":
        next(iter(task.enumerate()), None)  # refused by a task whose inputs are too many
    return config


def _sizes(given: CollectConfig, task: Task) -> Mapping[str, Any]:
    if task.rows is None:
        return USUAL
    inputs = [tokens for tokens, _ in task.enumerate()]
    distinct = len(inputs)
    if hasattr(task, "document"):
        documents = len(set(map(document_of(task), inputs)))
        each = {"train": distinct // 4, "pool": max(2, distinct // 4), "targets": max(2, documents // 4)}
        return {name: min(size, each[name]) for name, size in USUAL.items()}
    if distinct > sum(USUAL.values()):
        return USUAL
    targets = max(2, min(USUAL["targets"], distinct)) if given.targets == "auto" else given.targets
    pool = "all" if given.pool == "auto" else given.pool
    left = "all" if pool == "all" else max(1, min(USUAL["train"], distinct - pool - targets))
    return {"train": left, "pool": pool, "targets": targets}
