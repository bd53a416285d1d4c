"""Common parts of the benchmarks: a collected run with other settings, training for a given time, and measures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inversescope.calibrate.divergence import Comparison
from inversescope.config import RunConfig
from inversescope.generator import Generator
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.stats.intervals import mean
from inversescope.train.train import train

TRIED = 12  # steps that tell how many there is time for
BANDWIDTHS = 5  # of each site's range


def configured(config: RunConfig, settings: Sequence[str]) -> RunConfig:
    """The config with `section.key=value` put in; a list's values stand between commas."""
    now: dict[str, Any] = config.model_dump(mode="json")
    changed: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True, round_trip=True)
    for setting in settings:
        path, value = setting.split("=")
        *sections, name = path.split(".")
        section, was = changed, now
        for step in sections:
            section, was = section.setdefault(step, {}), was[step]
        many = "," in value or (isinstance(was[name], list) and value != "range")
        section[name] = value.split(",") if many else value
    return RunConfig.model_validate(changed)


def trained(
    run: Run, config: RunConfig, sites: Sequence[Site], seconds: float | None = None
) -> tuple[Generator, float, float]:
    """A generator trained for `config.train.steps`, or for about so many seconds; how long it took, and examples a
    second.
    """
    if seconds is not None:
        _, each = _train(run, config, sites, TRIED)
        steps = max(TRIED, round(seconds / each))
        config = configured(config, [f"train.steps={steps}"])
    started = time.monotonic()
    generator, each = _train(run, config, sites, config.train.steps)
    return generator.eval(), time.monotonic() - started, config.train.batch / each


def _train(run: Run, config: RunConfig, sites: Sequence[Site], steps: int) -> tuple[Generator, float]:
    """A generator, and the median seconds of a step."""
    times: list[float] = []

    def tick(done: int, total: int, note: str = "") -> None:
        times.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        few = config.train.model_copy(update={"steps": steps})
        generator = train(Path(folder), run.store, sites, config.generator, few, config.seed, torch.device("cpu"), tick)
    return generator, float(np.median(np.diff(times)))


def divergences(run: Run, generator: Generator, targets: int = 8, seed: int = 7) -> dict[Site, np.ndarray]:
    """KL from the exact distribution in nats, [query, bandwidth] for each site: clean and noisy, over its range."""
    comparison = Comparison(run.store, run.task, targets, 1, seed, 64)
    found = {}
    for site in generator.sites:
        asked = np.geomspace(*generator.bandwidths[site], BANDWIDTHS)
        found[site] = np.array(
            [
                [mean(comparison.compare(generator, site, float(h), query, draw=False).divergence).value for h in asked]
                for query in ("clean", "noisy")
            ]
        )
    return found
