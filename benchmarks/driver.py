"""Cost of giving units out: a driver, two Ray nodes on this machine, and units of no work or of some seconds of sleep.

    python benchmarks/driver.py 100000        # units of no work: the driver's time a unit, and its memory
    python benchmarks/driver.py 24 10         # units of ten seconds: what is added to them

Each unit writes one small file, which the driver compares with its hash and names in the ledger of the step, as in a
run; the manifest follows. Workers are started before the clock is.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from inversescope import files
from inversescope.cluster import Pooled, Unit, parts
from inversescope.cluster.address import connected
from inversescope.cluster.ray_workers import RayPool
from inversescope.progress import Progress, silent

NODES = 2


@dataclass(frozen=True)
class Empty:
    """A run without a model."""

    folder: Path
    seed: int = 0


@dataclass(frozen=True)
class Writer:
    """Sleeps, and writes an empty file."""

    folder: Path

    def __call__(self, unit: Unit, _: Progress, /) -> Path:
        time.sleep(unit.arguments[0])
        path = self.folder / unit.file
        path.touch()
        return path


def make_worker(run: Empty) -> Writer:
    """Worker of the units."""
    return Writer(run.folder)


def main() -> None:
    count, seconds = int(sys.argv[1]), float((*sys.argv, "0")[2])
    with tempfile.TemporaryDirectory() as name, connected(f"local:{NODES}", 1):
        folder = Path(name)
        units = [Unit(f"{i:07d}", (seconds,)) for i in range(count)]
        pooled, started = Pooled(RayPool(NODES, 1, 0, Empty)), []

        def do(units, _, progress: Progress):
            for done in pooled.map(units, make_worker, Empty(folder), progress):
                if not started:
                    started.append((time.monotonic(), psutil.Process().cpu_times()))
                yield done

        before = psutil.Process().memory_info().rss
        parts.begin(folder, {})
        made = parts.make(folder, units, lambda: Writer(folder), silent, do)
        (began, spent), ended, used = started[0], time.monotonic(), psutil.Process().cpu_times()
        ledger = (folder / parts.LEDGER).stat().st_size
        files.finish(folder, made, step="benchmark", made_from={})
        processor = used.user + used.system - spent.user - spent.system
        _report(count, ended - began, processor, psutil.Process().memory_info().rss - before, ledger)
        print(f"manifest {(folder / files.MANIFEST).stat().st_size / 1e6:.2f} MB; manifest written in", end=" ")
        print(f"{time.monotonic() - ended:.1f} s")
        if seconds:  # the first unit of every node has ended when the clock starts
            ideal = seconds * -(-(count - NODES) // NODES)
            print(f"of {ideal:.0f} s of sleep, {100 * (ended - began) / ideal - 100:.1f} % more")


def _report(count: int, seconds: float, processor: float, grown: int, ledger: int) -> None:
    print(f"{count} units in {seconds:.1f} s, {1000 * seconds / count:.2f} ms each; of the driver's processor", end=" ")
    print(f"{processor:.1f} s, {1000 * processor / count:.2f} ms each")
    total = psutil.Process().memory_info().rss / 1e6
    print(f"the driver has {total:.0f} MB, {grown / 1e6:.0f} MB more than before; ledger {ledger / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
