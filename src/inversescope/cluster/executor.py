"""Executors: do units here, or by the workers of a pool, with workers that are lost and units that fail."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from inversescope.cluster.units import Done, MakeWorker, Unit, Worker, check, do
from inversescope.errors import UserError
from inversescope.files import RunFolder
from inversescope.progress import Progress, silent

ATTEMPTS = 3  # at a unit, and at starting a worker, before the step ends with a message


@runtime_checkable  # the tests execute the annotations
class Executor(Protocol):
    """Does the units of a step."""

    def map(
        self, units: Sequence[Unit], make_worker: MakeWorker, run: RunFolder, progress: Progress = silent
    ) -> Iterator[Done]:
        """The records of the units, each as soon as it is done; in no order.

        Raises:
            UserError: of a unit; or a unit has failed, or lost its worker, `ATTEMPTS` times.
        """
        ...


class Run(RunFolder, Protocol):
    """A run with the executor of its units."""

    @property
    def executor(self) -> Executor: ...


Do = Callable[[Sequence[Unit], Callable[[], Worker], Progress], Iterator[Done]]


def here(units: Sequence[Unit], worker: Callable[[], Worker], progress: Progress) -> Iterator[Done]:
    """Do units in this process, one after the other, by a worker that is made if there are any."""
    made, before, total = worker() if units else None, 0, sum(unit.size for unit in units)
    for unit in units:
        assert made is not None

        def shown(done: int, of: int, note: str = "", before: int = before, size: int = unit.size) -> None:
            progress(before + done * size // max(of, 1), total, note)

        yield do(made, unit, shown)
        before += unit.size
        progress(before, total)


def by(run: Run, make_worker: MakeWorker) -> Do:
    """Do the units of a step by the executor of the run. Other processes make their workers by `make_worker`; in this
    one, the step has what they need.
    """
    if isinstance(run.executor, Here):
        return here
    return lambda units, _, progress: run.executor.map(units, make_worker, run, progress)


class Here:
    """Does units in this process, one after the other."""

    def map(
        self, units: Sequence[Unit], make_worker: MakeWorker, run: RunFolder, progress: Progress = silent
    ) -> Iterator[Done]:
        """See `Executor`."""
        yield from here(units, lambda: make_worker(run), progress)


class LostError(Exception):
    """The process of a worker ended, or its node did."""


@runtime_checkable
class Pool(Protocol):
    """Workers in other processes. Futures are opaque here.

    Attributes:
        size: number of workers at most.
        free: workers that have nothing to do, the readiest last; the next step takes them over, with what they loaded.
    """

    size: int
    free: list[Any]

    def start(self, make_worker: Callable[[Any], Any], run: RunFolder) -> tuple[Any, Any]:
        """A free worker, else a new one, and the future of its being ready for a step."""
        ...

    def call(self, worker: Any, argument: Any) -> Any:
        """The future of what a worker returns for this argument."""
        ...

    def submit(self, worker: Any, unit: Unit) -> Any:
        """The future of a unit's record."""
        ...

    def wait(self, futures: Sequence[Any]) -> list[Any]:
        """The futures that have ended; at least one of them."""
        ...

    def result(self, future: Any) -> Any:
        """The future's result.

        Raises:
            LostError: its worker was.
            Exception: the unit's own.
        """
        ...

    def stop(self, worker: Any) -> None:
        """End a worker at once, whatever it does."""
        ...


class Pooled:
    """Does units by the workers of a pool."""

    def __init__(self, pool: Pool):
        self.pool = pool

    def close(self) -> None:
        """End the workers that are left."""
        while self.pool.free:
            with suppress(Exception):  # it may be gone already
                self.pool.stop(self.pool.free.pop())

    def map(
        self, units: Sequence[Unit], make_worker: MakeWorker, run: RunFolder, progress: Progress = silent
    ) -> Iterator[Done]:
        """See `Executor`. However it ends, no worker is left that does a unit; free ones stay until `close`."""
        step = _Step(self.pool, units, make_worker, run, progress)
        try:
            yield from step.records()
        finally:
            step.end()


class _Step:
    """The units of one step under way."""

    def __init__(self, pool: Pool, units: Sequence[Unit], make_worker: MakeWorker, run: RunFolder, progress: Progress):
        self.pool, self.make_worker, self.run, self.progress = pool, make_worker, run, progress
        self.count, self.total, self.size = len(units), sum(unit.size for unit in units), 0
        self.done = 0
        self.waiting = deque(units)
        self.failed: Counter[str] = Counter()  # attempts by unit
        self.starts = self.lost = 0
        self.workers: list[Any] = []  # all that were started and not yet stopped
        self.starting: dict[Any, tuple[Any, bool]] = {}  # workers, and True for new ones, by the future of being ready
        self.busy: dict[Any, tuple[Any, Unit]] = {}  # workers and their units, by the unit's future

    def records(self) -> Iterator[Done]:
        for _ in range(min(self.pool.size, self.count)):
            self._start()
        while self.done < self.count:
            for future in self.pool.wait([*self.starting, *self.busy]):
                done = self._began(future) if future in self.starting else self._ended(future)
                if done is not None:
                    self.done, self.size = self.done + 1, self.size + done.unit.size
                    yield check(done)
                self.progress(self.size, self.total, self._note())

    def end(self) -> None:
        for worker, _ in self.busy.values():
            self._stop(worker)
        self.pool.free[:0] = self.workers  # they are starting

    def _start(self) -> None:
        new = not self.pool.free
        worker, ready = self.pool.start(self.make_worker, self.run)
        self.workers.append(worker)
        self.starting[ready] = worker, new

    def _stop(self, worker: Any) -> None:
        self.workers.remove(worker)
        with suppress(Exception):  # it may be gone already
            self.pool.stop(worker)

    def _began(self, future: Any) -> None:
        """A worker is ready, or failed to be."""
        worker, new = self.starting.pop(future)
        try:
            self.pool.result(future)
        except LostError as error:
            self.starts += new
            self._stop(worker)
            if self.starts >= ATTEMPTS:
                raise UserError(
                    "workers end while they start",
                    given=f"{self.starts} of them; the last: {error}",
                    remedy="fewer workers, or more memory for each",
                ) from error
            self._start()
        else:
            self._next(worker)

    def _ended(self, future: Any) -> Done | None:
        """A unit is done, failed, or lost with its worker."""
        worker, unit = self.busy.pop(future)
        try:
            done = self.pool.result(future)
        except UserError:
            raise
        except LostError as error:
            self.lost += 1
            self._stop(worker)
            self._again(unit, error)
            self._start()
            return None
        except Exception as error:
            self._again(unit, error)
            self._next(worker)
            return None
        self._next(worker)
        return done

    def _again(self, unit: Unit, error: Exception) -> None:
        self.failed[unit.file] += 1
        if self.failed[unit.file] >= ATTEMPTS:
            what = "lost its worker" if isinstance(error, LostError) else "failed"
            raise UserError(
                f"a unit of work {what} {ATTEMPTS} times",
                given=f"{unit.file}: {type(error).__name__}: {error}",
                remedy="what is done is kept: mend the cause, then start again with --resume",
            ) from error
        self.waiting.append(unit)

    def _next(self, worker: Any) -> None:
        if self.waiting:
            unit = self.waiting.popleft()
            self.busy[self.pool.submit(worker, unit)] = worker, unit
        else:
            self.workers.remove(worker)
            self.pool.free.append(worker)

    def _note(self) -> str:
        repeated = sum(self.failed.values())
        troubles = f", {self.lost} workers lost, {repeated} units repeated" if repeated or self.lost else ""
        return f"{self.done} of {self.count} units, {len(self.busy)} workers{troubles}"
