"""Workers in other processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from inversescope.cluster.executor import LostError
from inversescope.cluster.units import Done, Unit, do
from inversescope.files import RunFolder

_worker: Any = None  # of this process, where it is a worker's


class Processes:
    """A pool of processes, each with one worker.

    Each is an executor of the standard library of its own: so it is known which unit a process took with it when it
    ended, and the others go on.

    Args:
        size: number of processes.
        threads: of each.
        open_run: opens a run directory; a function of a module.
    """

    def __init__(self, size: int, threads: int, open_run: Callable[[Path], Any]):
        self.size = size
        self.threads = threads
        self.open_run = open_run
        self.free: list[ProcessPoolExecutor] = []

    def start(self, make_worker: Callable[[Any], Any], run: RunFolder) -> tuple[ProcessPoolExecutor, Future]:
        """See `Pool`."""
        process = self.free.pop() if self.free else self._new()
        return process, _submit(process, _begin, self.open_run, run.folder.resolve(), make_worker)

    def _new(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=spawn, initializer=_become_worker, initargs=(self.threads,))

    def submit(self, worker: ProcessPoolExecutor, unit: Unit) -> Future:
        """See `Pool`."""
        return _submit(worker, _do, unit)

    def call(self, worker: ProcessPoolExecutor, argument: Any) -> Future:
        """See `Pool`."""
        return _submit(worker, _call, argument)

    def wait(self, futures: Sequence[Future]) -> list[Future]:
        """See `Pool`."""
        return list(wait(futures, return_when=FIRST_COMPLETED).done)

    def result(self, future: Future) -> Any:
        """See `Pool`."""
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise LostError("the process ended (killed, or out of memory)") from error

    def stop(self, worker: ProcessPoolExecutor) -> None:
        """See `Pool`."""
        running = list((worker._processes or {}).values())
        worker.shutdown(wait=False, cancel_futures=True)
        for process in running:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(process.pid).kill()


def _become_worker(threads: int) -> None:
    """Make this process a worker's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's: it ends its workers
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    set_threads(threads)


def _begin(open_run: Callable[[Path], Any], folder: Path, make_worker: Callable[[Any], Any]) -> None:
    """Begin a step."""
    global _worker
    _worker = None  # of the step before: its memory is free for this one's
    _worker = make_worker(open_run(folder))


def _do(unit: Unit) -> Done:
    assert _worker is not None
    return do(_worker, unit)


def _call(argument: Any) -> Any:
    return _worker(argument)


def _submit(worker: ProcessPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Future:
    try:
        return worker.submit(function, *arguments)
    except BrokenProcessPool as error:
        broken: Future = Future()
        broken.set_exception(error)
        return broken


def _end_with_the_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


def set_threads(threads: int) -> None:
    """Use that many threads in this process: their number may change the last bits of a sum."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # torch reads it when it is imported
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
