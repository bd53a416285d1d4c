"""Budget of a search or a sampler: tokens that the subject reads, or seconds; progress, and an end at Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable

from inversescope.errors import UserError
from inversescope.progress import Progress, silent


class Budget:
    """Tokens that may be read, and seconds that it may take; the first to be used up ends the work.

    Attributes:
        spent: tokens read so far.
        cancelled: Ctrl-C has ended the work; what was found until then is kept.
    """

    def __init__(
        self,
        tokens: int | None = None,
        seconds: float | None = None,
        progress: Progress = silent,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, limit in (("tokens", tokens), ("seconds", seconds)):
            if limit is not None and not limit > 0:
                raise UserError(f"a budget needs {name}", given=limit, allowed="a number above 0")
        if tokens is None and seconds is None:
            raise UserError("a budget needs a limit", given="none", allowed="tokens, seconds or both")
        self.spent = 0
        self.cancelled = False
        self._tokens, self._limit, self._progress, self._clock = tokens, seconds, progress, clock
        self._start = clock()

    @property
    def seconds(self) -> float:
        """Since the budget was made."""
        return self._clock() - self._start

    @property
    def share(self) -> float:
        """Part of the budget that is used up, 0 to 1."""
        parts = [self.spent / self._tokens if self._tokens else 0.0, self.seconds / self._limit if self._limit else 0.0]
        return min(1.0, max(parts))

    @property
    def left(self) -> bool:
        """More may be read."""
        return not self.cancelled and self.share < 1

    def spend(self, tokens: int, note: str = "") -> None:
        """Count tokens that were read, and show the progress."""
        self.spent += tokens
        self._progress(round(1000 * self.share), 1000, note)

    def __enter__(self) -> Budget:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        """Ctrl-C within the block ends the block and nothing else."""
        interrupted = kind is KeyboardInterrupt
        self.cancelled = self.cancelled or interrupted
        return interrupted
