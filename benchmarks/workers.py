"""Throughput of `collect` and `verify` with several numbers of workers, one thread each, on one machine.

    python benchmarks/workers.py OUT          # one worker and two
    python benchmarks/workers.py OUT 1 2 4 8

Inputs a second from the first unit of each worker to the last unit of all, so that starting the workers does not
count. The work grows with the largest number. It says something on a machine that is otherwise idle alone.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
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

CHUNK = 40  # inputs of a unit of `verify`: many units in a short time
CONFIG = """
[task]
name = "ioi"
templates = 4
names = 32
places = 4
objects = 4
[collect]
sites = ["resid_post.14"]
train = {train}
pool = 200
targets = {targets}
shard = 20
[generator]
sites = ["resid_post.14"]
[train]
steps = 20
[calibrate]
targets = 2
[sample]
resolutions = [32]
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
    out, numbers = Path(sys.argv[1]), [int(text) for text in sys.argv[2:]] or [1, 2]
    run = Run.create(out / "start", CONFIG.format(train=300 * max(numbers), targets=4 * max(numbers)))
    for step in list(STEPS)[: list(STEPS).index("verify") + 1]:
        if step in ("collect", "verify"):
            run = _compare(run, step, numbers)
        else:
            run.do(step)


def _compare(run: Run, step: str, numbers: Sequence[int]) -> Run:
    """Print how fast a step is with each number of workers; a run in which it is done."""
    speeds: list[float] = []
    done = run
    for workers in numbers:
        done, speed = _timed(run, step, workers)
        speeds.append(speed)
        times = f"{speed / speeds[0]:.2f} times that of {numbers[0]}"
        print(f"{step}: {workers} workers, {speed:.1f} inputs/s, {times}", flush=True)
    return done


def _timed(base: Run, step: str, workers: int) -> tuple[Run, float]:
    """A copy of the run in which a step is done, and the inputs a second that it read."""
    folder = base.folder.with_name(f"{step}-{workers}")
    shutil.copytree(base.folder, folder)
    run, timed = Run.open(folder), Timed(workers)
    before, run.executor = run.executor, timed
    with closing(timed):
        run.do(step)
    run.executor = before
    after = timed.ends[workers:]  # the first unit of each worker is its warm-up
    return run, sum(size for _, size in after) / (after[-1][0] - timed.ends[workers - 1][0])


if __name__ == "__main__":
    main()
