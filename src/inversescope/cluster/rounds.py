"""Rounds of work by workers that stay from one round to the next, as training needs them.

Nothing of it is kept on the disk: arguments and results go through memory.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

from inversescope.cluster.executor import ATTEMPTS, LostError, Pool
from inversescope.errors import UserError
from inversescope.files import RunFolder


class Rounds:
    """Workers of a pool for as long as this is open.

    Args:
        make_worker: makes what is called with an argument of a round; a function of a module.
    """

    def __init__(self, pool: Pool, make_worker: Callable[[Any], Callable[[Any], Any]], run: RunFolder):
        self.pool, self.make_worker, self.run = pool, make_worker, run
        self.idle: list[Any] = []
        self.starting: dict[Any, tuple[Any, bool]] = {}  # workers, and True for new ones, by the future of being ready
        self.busy: dict[Any, tuple[Any, int]] = {}  # workers and the places of their arguments, by the future
        self.lost = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker, _place in self.busy.values():
            self._stop(worker)
        self.pool.free += self.idle
        self.pool.free[:0] = [worker for worker, _ in self.starting.values()]

    def map(self, arguments: Sequence[Any]) -> list[Any]:
        """The result of each argument, in their order. One whose worker is lost is given to another.

        Raises:
            UserError: of a worker; or one was lost `ATTEMPTS` times with the same argument, or while it started.
        """
        waiting, results = deque(range(len(arguments))), {}
        attempts: Counter[int] = Counter()
        starts = 0
        while len(results) < len(arguments):
            while waiting and self.idle:
                worker, place = self.idle.pop(), waiting.popleft()
                self.busy[self.pool.call(worker, arguments[place])] = worker, place
            for _ in range(min(len(waiting), self.pool.size - len(self.busy)) - len(self.starting)):
                self._start()
            for future in self.pool.wait([*self.starting, *self.busy]):
                worker, place = self.busy.pop(future, (None, None))
                worker, new = self.starting.pop(future) if place is None else (worker, False)
                try:
                    result = self.pool.result(future)
                except LostError as error:
                    self.lost += 1
                    self._stop(worker)
                    if place is None:
                        starts += new
                    else:
                        attempts[place] += 1
                        waiting.append(place)
                    _require_fewer(max(starts, *attempts.values(), 0), error)
                else:
                    self.idle.append(worker)
                    if place is not None:
                        results[place] = result
        return [results[place] for place in range(len(arguments))]

    def _start(self) -> None:
        new = not self.pool.free
        worker, ready = self.pool.start(self.make_worker, self.run)
        self.starting[ready] = worker, new

    def _stop(self, worker: Any) -> None:
        with suppress(Exception):  # it may be gone already
            self.pool.stop(worker)


def _require_fewer(attempts: int, error: LostError) -> None:
    if attempts >= ATTEMPTS:
        raise UserError(
            f"workers were lost {ATTEMPTS} times at the same work",
            given=str(error),
            remedy="fewer workers, or more memory for each; what is done is kept: go on with --resume",
        ) from error
