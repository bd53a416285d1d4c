"""What several test processes share is made by the first of them; the others wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def once(folder: Path, name: str) -> Iterator[bool]:
    """Hold the lock of what is called `name` in `folder`; true where it is still to be made."""
    done = folder / f"{name}.done"
    with FileLock(folder / f"{name}.lock"):
        yield not done.exists()
        done.touch()
