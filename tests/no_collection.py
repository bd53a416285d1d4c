"""No garbage collection while nnsight traces.

nnsight sets a trace function for the interpreter. With it, CPython 3.11 has hung for ever inside a callback of the
collector, and Hypothesis registers one in every process that has run one of its tests; no signal ends that.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """The collector is off inside, and as before behind it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
