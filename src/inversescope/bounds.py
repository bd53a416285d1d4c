"""Bounds on what is handed in: the largest counts of a config and of the command line, and limits of time and memory
for what others wrote, such as a chat template or a regular expression.

The counts are far above what this package is made for, and stop what could only end without memory.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from inversescope.errors import UserError

INPUTS = 10_000_000  # of a split, or rows of a file
TARGETS = 100_000
SAMPLES = 100_000  # for one activation
DISTANCES = 1_000_000_000  # of the pool to the targets, at one site
WIDTH, LAYERS, HEADS = 16_384, 256, 1_024  # of the generator
WEIGHTS = 2_000_000_000  # of its blocks
STEPS = 100_000_000
BATCH = 100_000
PARTS = 64  # of a step of training
WORKERS = 100_000
THREADS = 1024  # of a worker
GPUS = 64.0  # of a worker
TOKENS = 1_000_000  # of an input
RATE = 10.0  # of learning
RADIUS = 1e6  # bandwidth or resolution
HYPOTHESES, CALLS, SPENT = 1_000, 1_000_000, 1_000_000_000  # of a language model: proposals, requests, tokens
SECONDS = 30 * 24 * 3600.0
PRICE = 1_000_000  # of a million tokens

CHARACTERS = 10_000_000  # of a config, or of a conversation as a template writes it
TIME, MEMORY = 10.0, 1 << 30  # for what others wrote


class LimitError(Exception):
    """Untrusted work took more time or memory than it may."""


class _TimeIsUp(BaseException):
    """Raised into the thread that works; nothing that is run catches it."""


@contextmanager
def limited(seconds: float = TIME, memory: int = MEMORY) -> Iterator[None]:
    """Limit time and memory of the Python code within. Memory is limited where the system can (Linux).

    Raises:
        LimitError: it takes more.
    """
    try:
        with _timed(seconds), _address_space(memory):
            yield
    except (_TimeIsUp, MemoryError) as error:
        what = "memory" if isinstance(error, MemoryError) else f"{seconds:g} s"
        raise LimitError(f"it takes more than {f'{memory >> 20} MB' if what == 'memory' else what}") from None
    except RecursionError:
        raise LimitError("it calls itself without end") from None


@contextmanager
def _timed(seconds: float) -> Iterator[None]:
    """Raise `_TimeIsUp` in this thread once the time is over: between two steps of Python, not within a call of C."""
    raise_in = partial(ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(threading.get_ident()))
    over, lock = threading.Event(), threading.Lock()

    def watch() -> None:
        if not over.wait(seconds):
            with lock:
                if not over.is_set():
                    raise_in(ctypes.py_object(_TimeIsUp))

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        with lock:
            over.set()
        raise_in(None)  # one that was not delivered yet


@contextmanager
def _address_space(memory: int) -> Iterator[None]:
    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    import psutil

    before, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = psutil.Process().memory_info().vms + memory
    limits = [limit for limit in (before, most, wanted) if limit != resource.RLIM_INFINITY]
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (min(limits), most))
    try:
        yield
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (before, most))


def exhausted(error: BaseException) -> str | None:
    """Name of the resource that ran out, if an error says so (memory, threads, depth of calls); else None."""
    if isinstance(error, RecursionError):
        return "something is nested too deeply"
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    if any(isinstance(cause, MemoryError) or _without_memory(str(cause)) for cause in causes):
        return "there is not enough memory"
    return None


def _without_memory(message: str) -> bool:
    """Words of PyTorch (whose error is a RuntimeError), of the system's loader and of threads for lack of memory."""
    words = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory",
             "failed to map segment", "can't start new thread", "std::bad_alloc")  # fmt: skip
    return any(word in message.lower() for word in words)


def read_text(path: Path, what: str) -> str:
    """The text of a file that a user names, also of a pipe. `what` names it in messages.

    Raises:
        UserError: there is no such file, it is too long, or no text.
    """
    content = b""
    try:
        with path.open("rb", buffering=0) as handle:
            while len(content) <= CHARACTERS and (part := handle.read(CHARACTERS + 1 - len(content))):
                content += part
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"the {what} is not UTF-8 text", given=f"{path}: {error}") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        remedy = "inversescope demo --print-config > my.toml" if what == "config" else None
        raise UserError(f"the {what} cannot be read", given=f"{path}: {reason}", remedy=remedy) from error
    if len(content) > CHARACTERS:
        raise UserError(f"the {what} is too long", given=path, allowed=f"up to {CHARACTERS:,} bytes")
    return text
