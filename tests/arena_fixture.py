"""A study whose truth is planted: one site holds a feature in a direction, another knows nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from measured import reference
from toy_world import write_store

from inversescope import files, records
from inversescope.arena.study import Study
from inversescope.config import RunConfig
from inversescope.records.levels import Level
from inversescope.run.run import Run
from inversescope.run.sealed import PROVENANCE
from inversescope.sites import Site
from inversescope.tasks import Labels, Tokens

PRESENT, ABSENT = Site("resid_post", 0), Site("resid_post", 1)
COLOURS = ("red", "green", "blue")
WIDTH = 12
SIZES = {"train": 600, "pool": 400, "target": 60}


def labels(tokens: Tokens) -> Labels:
    """The colour that the first token stands for."""
    return {"colour": COLOURS[tokens[0]]}


def read(tokens: Tokens) -> Mapping[Site, Sequence[float]]:
    """At PRESENT the colour shifts one coordinate of sparse noise by four; ABSENT is sparse noise."""
    rng = np.random.default_rng(tokens)
    noise = rng.normal(size=(2, WIDTH)) * (rng.random((2, WIDTH)) < 0.15)
    noise[0, tokens[0]] += 4
    return {PRESENT: noise[0].tolist(), ABSENT: noise[1].tolist()}


def planted(folder: Path, seed: int = 0) -> Study:
    """The study, as far as those that neither draw nor decode read it."""
    rng = np.random.default_rng(seed)
    numbers = iter(range(sum(SIZES.values())))
    splits = {name: [(int(rng.integers(3)), next(numbers)) for _ in range(size)] for name, size in SIZES.items()}
    run = Run(folder, RunConfig.parse("[sample]\nbandwidths = [0.4, 0.8]", "planted"))
    run.__dict__["store"] = write_store(folder / "collect", splits, read, labels)
    run.__dict__["sites"] = {"train": (PRESENT, ABSENT), "pool": (PRESENT, ABSENT), "target": (PRESENT, ABSENT)}
    run.__dict__["levels"] = {site: [Level(None, h) for h in (0.4, 0.8)] for site in (PRESENT, ABSENT)}
    (folder / "reference").mkdir()
    reference(folder / "reference", run.store, (PRESENT, ABSENT))
    files.write_table(folder / records.verify.SAMPLES.path, records.verify.SAMPLES.schema(["colour"]).empty_table())
    files.write_sealed(folder / PROVENANCE, {"seconds": {"reference": 1.0, "train": 10.0}})
    return Study(run, budget=10.0, seed=seed)
