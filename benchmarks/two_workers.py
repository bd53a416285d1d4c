"""Throughput of `collect` with one worker and with two, one thread each, side by side on one machine.

    python benchmarks/two_workers.py OUT

Inputs a second from the first unit that is done to the last, so that starting the workers does not count.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

from inversescope.cluster import Pooled
from inversescope.cluster.processes import Processes
from inversescope.collect.collect import collect, make_worker
from inversescope.progress import silent
from inversescope.run.on_cluster import open_in_worker
from inversescope.run.run import Run

CONFIG = """
[task]
name = "ioi"
templates = 2
names = 16
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
[sample]
resolutions = [64, 8]
"""


def main() -> None:
    speeds = {}
    for workers in (1, 2):
        run = Run.create(Path(sys.argv[1]) / str(workers), CONFIG)
        run.do("task")
        folder = run.folder / "collect"
        folder.mkdir()
        ends: list[tuple[float, int]] = []
        pool = Pooled(Processes(workers, 1, open_in_worker))

        def timed(units, _, progress, run=run, pool=pool, ends=ends):
            for done in pool.map(units, make_worker, run, progress):
                ends.append((time.monotonic(), done.unit.size))
                yield done

        config = run.config
        partial(collect, folder, config.collect, run.task, run.subject, run.sites, run.seed, silent)(do=timed)
        # The first unit of each worker is its warm-up.
        after = ends[workers:]
        speeds[workers] = sum(size for _, size in after) / (after[-1][0] - ends[workers - 1][0])
        print(f"{workers} workers: {speeds[workers]:.0f} inputs/s")
    print(f"ratio {speeds[2] / speeds[1]:.2f}")


if __name__ == "__main__":
    main()
