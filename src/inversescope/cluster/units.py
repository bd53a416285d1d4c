"""A work unit, its record, and the worker that does units of one step."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from inversescope import files
from inversescope.errors import UserError
from inversescope.progress import Progress, silent


@dataclass(frozen=True)
class Unit:
    """A part of a step that can be done by itself, and done again.

    Attributes:
        file: name of the file that it writes in the folder of the step; no other unit writes it.
        arguments: all that a worker needs to know beside the run; JSON values.
        size: its share of the step's work, in what the step's progress counts.
    """

    file: str
    arguments: tuple[Any, ...] = ()
    size: int = 1


@dataclass(frozen=True)
class Done:
    """Record of a unit that is done: small, as it goes through the network.

    Attributes:
        unit: the unit.
        file: what it wrote.
        sha256: of the file, as the worker saw it.
        worker: host and process that did it.
    """

    unit: Unit
    file: Path
    sha256: str
    worker: str = field(compare=False)


@runtime_checkable  # the tests execute the annotations
class Worker(Protocol):
    """Does units of one step. It writes the unit's file whole or not at all, and returns its path; the progress is that
    of the unit.
    """

    def __call__(self, unit: Unit, progress: Progress, /) -> Path: ...


# Makes a worker of a run that is open; a function of a module, since other processes find it by its name.
MakeWorker = Callable[[Any], Worker]


def do(worker: Worker, unit: Unit, progress: Progress = silent) -> Done:
    """Have a unit done, and its file hashed."""
    path = worker(unit, progress)
    assert path.name == unit.file
    return Done(unit, path, files.sha256(path), f"{socket.gethostname()}:{os.getpid()}")


def check(done: Done) -> Done:
    """The record, if its file is here as the worker saw it.

    Raises:
        UserError: it is not: this machine and the worker's do not see the same folder.
    """
    if not done.file.exists() or files.sha256(done.file) != done.sha256:
        raise UserError(
            "a worker's file is not here as the worker wrote it",
            given=f"{done.file}, written by {done.worker}",
            allowed="a folder that every node sees under this path",
            remedy="a run directory in shared storage; `inversescope doctor --cluster ADDRESS` checks every node",
        )
    return done
