"""Cost of giving units out: a driver, fake nodes, and units of no work.

    python benchmarks/driver.py 100000

Prints the driver's seconds, milliseconds a unit, and the growth of its memory. Each unit writes one small file.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from inversescope.cluster import Pooled, Unit
from inversescope.cluster.address import connected
from inversescope.cluster.ray_workers import RayPool
from inversescope.progress import Progress

NODES = 2


@dataclass(frozen=True)
class Empty:
    """A run without a model."""

    folder: Path
    seed: int = 0


@dataclass(frozen=True)
class Writer:
    """Writes an empty file."""

    folder: Path

    def __call__(self, unit: Unit, _: Progress, /) -> Path:
        path = self.folder / unit.file
        path.touch()
        return path


def make_worker(run: Empty) -> Writer:
    """Worker of the units."""
    return Writer(run.folder)


def main() -> None:
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, connected(f"local:{NODES}", 1):
        units = [Unit(f"{i:07d}") for i in range(count)]
        driver, before = psutil.Process(), psutil.Process().memory_info().rss
        started, spent = time.monotonic(), driver.cpu_times()
        done = sum(1 for _ in Pooled(RayPool(NODES, 1, 0, Empty)).map(units, make_worker, Empty(Path(folder))))
        seconds, used = time.monotonic() - started, driver.cpu_times()
        processor = used.user + used.system - spent.user - spent.system
        grown = (driver.memory_info().rss - before) / 1e6
        print(f"{done} units, {seconds:.1f} s, of the driver's processor {1000 * processor / count:.2f} ms a unit,")
        print(f"memory grown by {grown:.0f} MB")


if __name__ == "__main__":
    main()
