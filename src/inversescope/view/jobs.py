"""Work on the model, of all pages that are open: one part of one job at a time, and the jobs take turns.

A job is a generator of events. It ends by itself, with an error that the page shows, or because its page has gone.
"""

from __future__ import annotations

import secrets
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Mapping
from typing import Any, Literal

from inversescope.bounds import exhausted
from inversescope.errors import UserError

Event = Mapping[str, Any]
Steps = Generator[Event, None, None]
IDLE = 600.0  # seconds without work, after which memory is given back
LineName = Literal["parts", "explanations", "natural text"]
WHOLE = {"parts": False, "explanations": True, "natural text": True}  # lines whose jobs are done one after another
BUSY = {"event": "status", "words": "the model works for other pages too"}


class CancelledError(Exception):
    """The page of a job has gone, or has cancelled it."""


class Turns:
    """The use of the models, by one thread at a time, in the order in which they wait for it.

    Attributes:
        last: time at which it was last given back, in seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self.last = time.monotonic()
        self._changed = threading.Condition()
        self._threads: deque[int] = deque()  # the first one has it

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._changed:
            self._threads.append(me)
            self._changed.wait_for(lambda: self._threads[0] == me)

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._threads.popleft()
            self.last = time.monotonic()
            self._changed.notify_all()

    def pass_on(self) -> None:
        """Let each thread that waits have its turn, then go on; nothing where this thread does not have it."""
        with self._changed:
            held = bool(self._threads) and self._threads[0] == threading.get_ident()
        if held:
            self.__exit__()
            self.__enter__()


class Job:
    """One question of one page.

    Attributes:
        id: names it in addresses.
        cancelled: true once its page has gone or has cancelled it.
    """

    def __init__(self, steps: Callable[[Job], Steps], emit: Callable[[Event | None], None], turns: Turns | None = None):
        self.id = secrets.token_urlsafe(12)
        self.emit = emit  # an event; None at the end
        self.cancelled = False
        self.on_cancel: Callable[[], None] = lambda: None
        self._turns = turns or Turns()
        self._place = 0
        self._started: float | None = None
        self._steps = steps(self)

    def cancel(self) -> None:
        """End it before its next part."""
        self.cancelled = True
        self.on_cancel()

    def send_place(self, place: int) -> None:
        """Send its page the number of jobs before it, where that has changed."""
        if place != self._place:
            self._place = place
            self.emit({"event": "status", "words": f"waiting: {place} before this one" if place else "next"})

    @property
    def seconds(self) -> float:
        """Since its first part began; 0 before."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    def progress(self, done: int, total: int, note: str = "", /) -> None:
        """Progress of a part that takes long; jobs of other lines have their turn here.

        Raises:
            CancelledError: it was cancelled.
        """
        self._turns.pass_on()
        if self.cancelled:
            raise CancelledError
        self.emit({"event": "progress", "done": done, "total": total, "note": note})

    def step(self) -> bool:
        """Do its next part; True if there may be another."""
        if self.cancelled:
            self._steps.close()
            return self._end()
        self._started = self._started or time.monotonic()
        try:
            with self._turns:
                event = next(self._steps)
            self.emit(event)
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


class Line:
    """A thread, and the jobs that wait for it: each one whole, or a part of each at a time.

    Args:
        on_idle: called when nothing was to be done, in any line, for `idle` seconds.
    """

    def __init__(self, turns: Turns, whole: bool, on_idle: Callable[[], None], idle: float):
        self._turns, self._whole, self._on_idle, self._idle = turns, whole, on_idle, idle
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._closed = False
        threading.Thread(target=self._work, name="model", daemon=True).start()

    @property
    def jobs(self) -> list[Job]:
        """Jobs that are not done and not cancelled; the first one is worked on."""
        with self._changed:
            return [job for job in self._jobs if not job.cancelled]

    def add(self, job: Job) -> None:
        """A job at the end."""
        job.on_cancel = self._send_places
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        self._send_places()

    def close(self) -> None:
        """End the thread after the part that it is doing."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _send_places(self) -> None:
        for place, job in enumerate(self.jobs if self._whole else ()):
            job.send_place(place)

    def _work(self) -> None:
        timeout: float | None = self._idle
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed, timeout)
                job = self._jobs[0] if self._jobs else None
            if self._closed:
                return
            if job is None:
                self._rest()
                timeout = None
                continue
            timeout = self._idle
            more = job.step()
            while more and self._whole and not self._closed:
                more = job.step()
            with self._changed:
                self._jobs.popleft()
                if more:
                    self._jobs.append(job)
            self._send_places()

    def _rest(self) -> None:
        with self._turns:
            if time.monotonic() - self._turns.last >= self._idle:
                self._on_idle()


class Worker:
    """Lines of jobs that share the models. A question that takes minutes keeps no other kind from its turn.

    Args:
        on_idle: called when nothing was to be done for `idle` seconds.
        report: called with every error, for the terminal.
    """

    def __init__(self, on_idle: Callable[[], None], report: Callable[[str], None], idle: float = IDLE):
        self._report, self._turns = report, Turns()
        self._lines = {name: Line(self._turns, whole, on_idle, idle) for name, whole in WHOLE.items()}

    def submit(
        self, steps: Callable[[Job], Steps], emit: Callable[[Event | None], None], line: LineName = "parts"
    ) -> Job:
        """A new job, at the end of its line."""

        def reported(event: Event | None) -> None:
            if event is not None and event["event"] == "error":
                self._report(": ".join(filter(None, (event["problem"], event.get("given")))))
            emit(event)

        job = Job(steps, reported, self._turns)
        if any(each.jobs for each in self._lines.values()):
            emit(BUSY)
        self._lines[line].add(job)
        return job

    def close(self) -> None:
        """End the threads after the parts that they are doing."""
        for line in self._lines.values():
            line.close()
