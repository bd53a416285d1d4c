"""Throughput of `collect` and `verify` with one worker and with two, one thread each, on one machine.

    python benchmarks/two_workers.py OUT

Inputs a second from the first unit that is done to the last, so that starting the workers does not count. It says
something on a machine that is otherwise idle alone.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from inversescope.cluster import Done, MakeWorker, Pooled, Unit
from inversescope.cluster.processes import Processes
from inversescope.files import RunFolder
from inversescope.progress import Progress, silent
from inversescope.run.on_cluster import open_in_worker
from inversescope.run.pipeline import STEPS
from inversescope.run.run import Run
from inversescope.sample import verify

CHUNK = 128  # inputs of a unit of `verify`: many units in a short time
CONFIG = """
[task]
name = "ioi"
templates = 4
names = 32
places = 4
objects = 4
[collect]
sites = ["resid_post.2", "resid_post.14", "resid_post.29"]
train = 3000
pool = 1500
targets = 24
shard = 150
[generator]
sites = ["resid_post.14"]
[train]
steps = 100
[sample]
resolutions = [64, 8]
samples = 64
"""


class Timed(Pooled):
    """Notes when each unit was done, and how many inputs it had."""

    def __init__(self, workers: int):
        super().__init__(Processes(workers, 1, open_run))
        self.ends: list[tuple[float, int]] = []

    def map(
        self, units: Sequence[Unit], make_worker: MakeWorker, run: RunFolder, progress: Progress = silent
    ) -> Iterator[Done]:
        for done in super().map(units, make_worker, run, progress):
            self.ends.append((time.monotonic(), done.unit.size))
            yield done


def open_run(folder: Path) -> Run:
    """The run in a worker, with small units."""
    verify.CHUNK = CHUNK
    return open_in_worker(folder)


def main() -> None:
    torch.set_num_threads(1)
    verify.CHUNK = CHUNK
    base = Run.create(Path(sys.argv[1]) / "base", CONFIG)
    for step in list(STEPS)[: list(STEPS).index("verify") + 1]:
        if step in ("collect", "verify"):
            one, two = (_speed(base, step, workers) for workers in (1, 2))
            print(
                f"{step}: {one:.0f} and {two:.0f} inputs/s with one and two workers, {two / one:.2f} times", flush=True
            )
        base.do(step)


def _speed(base: Run, step: str, workers: int) -> float:
    """Inputs a second that a step of a copy of the run reads."""
    folder = base.folder.with_name(f"{step}-{workers}")
    shutil.copytree(base.folder, folder)
    run, timed = Run.open(folder), Timed(workers)
    run.executor = timed
    run.do(step)
    timed.close()
    after = timed.ends[workers:]  # the first unit of each worker is its warm-up
    return sum(size for _, size in after) / (after[-1][0] - timed.ends[workers - 1][0])


if __name__ == "__main__":
    main()
