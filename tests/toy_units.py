"""Units without a model, for tests of the executors: their arguments say what happens to them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from inversescope import files
from inversescope.cluster import Unit
from inversescope.errors import UserError
from inversescope.progress import Progress


@dataclass(frozen=True)
class ToyRun:
    folder: Path
    seed: int = 0


class ToyWorker:
    """Writes the file's name into it. Arguments: seconds to wait, a trouble, and at how many attempts."""

    def __init__(self, run: ToyRun):
        self.folder = run.folder

    def __call__(self, unit: Unit, progress: Progress) -> Path:
        seconds, what, times = unit.arguments
        attempts = self.folder / f"{unit.file}.attempts"
        with attempts.open("a") as log:
            log.write(f"{os.getpid()}\n")
        path = self.folder / unit.file
        if len(attempts.read_text().split()) <= times:
            _trouble(what, path)
        time.sleep(seconds)
        files.write(path, lambda temporary: temporary.write_text(unit.file))
        return path


def _trouble(what: str, path: Path) -> None:
    if what == "raise":
        raise RuntimeError("a unit that fails")
    if what == "refuse":
        raise UserError("a unit that cannot be done", given=path.name, remedy="nothing")
    if what == "die":
        files.write(path, lambda _: os.kill(os.getpid(), signal.SIGKILL))


def make_worker(run: ToyRun) -> ToyWorker:
    return ToyWorker(run)


def dies_at_once(run: ToyRun) -> ToyWorker:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def unit(name: int, seconds: float = 0.0, what: str = "", times: int = 0) -> Unit:
    return Unit(f"unit-{name:03d}.txt", (seconds, what, times))


def make_caller(run: ToyRun) -> ToyCaller:
    return ToyCaller(run)


class ToyCaller:
    """Doubles a number; the process ends at the first `times` attempts at it."""

    def __init__(self, run: ToyRun):
        self.folder = run.folder

    def __call__(self, argument: tuple[int, int]) -> tuple[int, int]:
        number, times = argument
        log = self.folder / f"{number}.attempts"
        with log.open("a") as attempts:
            attempts.write(f"{os.getpid()}\n")
        if len(log.read_text().split()) <= times:
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * number, os.getpid()
