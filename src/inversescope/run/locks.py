"""Locks of a run's folder: one process writes into it, or several that do shares of one step."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from inversescope import files
from inversescope.errors import UserError

LOCK, WRITER = ".lock", ".writer"  # the lock of a folder, and the process that holds it
PATIENCE = 10  # seconds that a process with a share waits for the lock


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder; it is made if it is missing. The process that has the lock may
    take it again. The system gives the lock of a process that was killed back.

    Raises:
        UserError: another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, writer = FileLock(folder.resolve() / LOCK, is_singleton=True), folder / WRITER
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        process = writer.read_text() if writer.exists() else "not known"
        raise UserError(
            "another process is writing into this folder",
            given=f"{folder}: process {process}",
            remedy="wait until it has ended, or stop it",
        ) from error
    try:
        _require_no_share(folder)
        files.write(writer, lambda temporary: temporary.write_text(f"{os.getpid()} on {platform.node()}"))
        yield
    finally:
        if lock.lock_counter == 1:
            writer.unlink(missing_ok=True)
        lock.release()


@contextmanager
def one_of_several(folder: Path, share: str) -> Iterator[None]:
    """Write one share of a step beside processes that write the others, and keep `only_writer` out. Each takes its own
    lock first and looks for the other's then: of two that start together, one or both are refused.

    Raises:
        UserError: another process writes into the folder by itself, or writes this share.
    """
    own, whole = FileLock(folder.resolve() / f"{LOCK}-{share}"), FileLock(folder.resolve() / LOCK, is_singleton=True)
    try:
        own.acquire(blocking=False)
        try:
            whole.acquire(timeout=PATIENCE)  # others with a share look, too, and hold it for a moment
            whole.release()
            yield
        finally:
            Path(own.lock_file).unlink(missing_ok=True)
            own.release()
    except Timeout as error:
        raise UserError(
            "another process is writing what this one would",
            given=f"{folder}: {error.lock_file}",
            remedy="wait until it has ended, or stop it",
        ) from error


def _require_no_share(folder: Path) -> None:
    for path in folder.resolve().glob(f"{LOCK}-*"):
        share = FileLock(path)
        try:
            share.acquire(blocking=False)
        except Timeout as error:
            raise UserError(
                "other processes are doing shares of a step of this run",
                given=path,
                remedy="wait until they have ended, or stop them",
            ) from error
        path.unlink(missing_ok=True)  # of a process that was killed
        share.release()
