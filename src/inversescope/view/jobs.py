"""Work on the model, of all pages that are open, in one thread: the jobs take turns, a part of each at a time.

A job is a generator of events. It ends by itself, with an error that the page shows, or because its page has gone.
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from typing import Any

from inversescope.bounds import exhausted
from inversescope.errors import UserError

Event = Mapping[str, Any]
Steps = Generator[Event, None, None]
IDLE = 600.0  # seconds without work, after which memory is given back


class CancelledError(Exception):
    """The page of a job has gone, or has cancelled it."""


class Job:
    """One question of one page.

    Attributes:
        id: names it in addresses.
    """

    def __init__(self, steps: Callable[[Job], Steps], emit: Callable[[Event | None], None]):
        self.id = secrets.token_urlsafe(12)
        self.emit = emit  # an event; None at the end
        self._cancelled = threading.Event()
        self._started: float | None = None
        self._steps = steps(self)

    def cancel(self) -> None:
        """End it before its next part."""
        self._cancelled.set()

    @property
    def seconds(self) -> float:
        """Since its first part began; 0 before."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    def progress(self, done: int, total: int, note: str = "", /) -> None:
        """Progress of a part that takes long.

        Raises:
            CancelledError: it was cancelled.
        """
        if self._cancelled.is_set():
            raise CancelledError
        self.emit({"event": "progress", "done": done, "total": total, "note": note})

    def step(self) -> bool:
        """Do its next part; True if there may be another."""
        if self._cancelled.is_set():
            self._steps.close()
            return self._end()
        self._started = self._started or time.monotonic()
        try:
            self.emit(next(self._steps))
        except (StopIteration, CancelledError):
            return self._end()
        except Exception as error:
            self.emit(failure(error))
            return self._end()
        return True

    def _end(self) -> bool:
        self.emit(None)
        return False


def failure(error: Exception) -> Event:
    """An error as the page shows it; one that is nobody's mistake is also written to the terminal in full."""
    if isinstance(error, UserError):
        given = None if error.given is None else str(error.given)
        allowed = None if error.allowed is None else str(error.allowed)
        said = {"problem": error.problem, "given": given, "allowed": allowed, "remedy": error.remedy}
        return {"event": "error", **said}
    lacking = exhausted(error)
    if lacking is None:
        traceback.print_exception(error)
    problem = lacking or "this is a fault of InverseScope: the terminal has the details"
    return {"event": "error", "problem": problem, "given": f"{type(error).__name__}: {error}"[:300]}


class Worker:
    """The thread, and the jobs that wait for it.

    Args:
        on_idle: called when nothing was to be done for `idle` seconds.
        report: called with every error, for the terminal.
    """

    def __init__(self, on_idle: Callable[[], None], report: Callable[[str], None], idle: float = IDLE):
        self._queue: queue.Queue[Job | None] = queue.Queue()
        self._on_idle, self._report, self._idle = on_idle, report, idle
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def submit(self, steps: Callable[[Job], Steps], emit: Callable[[Event | None], None]) -> Job:
        """A new job, at the end of the queue."""

        def reported(event: Event | None) -> None:
            if event is not None and event["event"] == "error":
                self._report(": ".join(filter(None, (event["problem"], event.get("given")))))
            emit(event)

        job = Job(steps, reported)
        waiting = self._queue.qsize()
        if waiting:
            emit({"event": "status", "words": f"{waiting} before this one"})
        self._queue.put(job)
        return job

    def close(self) -> None:
        """End the thread after the part that it is doing."""
        self._queue.put(None)

    def _work(self) -> None:
        timeout: float | None = self._idle
        while True:
            try:
                job = self._queue.get(timeout=timeout)
            except queue.Empty:
                self._on_idle()
                timeout = None
                continue
            if job is None:
                return
            timeout = self._idle
            if job.step():
                self._queue.put(job)
