"""Parts of a step that is not finished, and the seconds of all its lives.

A ledger in the step's folder names every part with its hash. A part that it does not name, or that differs, is made
again, and so are all parts of a step whose inputs have changed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inversescope import files
from inversescope.cluster.executor import Do, here
from inversescope.cluster.units import Unit, Worker
from inversescope.errors import UserError
from inversescope.progress import Progress

LEDGER = ".parts.json"
_NOTHING: dict[str, Any] = {"made_from": None, "seconds": 0.0, "files": {}}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Life:
    """A step in this process: when it began, and the seconds of its lives before."""

    made_from: dict[str, str] | None
    before: float
    started: float

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started


_lives: dict[Path, _Life] = {}


def begin(folder: Path, made_from: Mapping[str, str]) -> None:
    """Begin a life of a step. Parts that were made from other inputs are deleted.

    Args:
        folder: the step's.
        made_from: steps before it, with the hashes of their manifests.
    """
    ledger = _read(folder)
    if ledger["made_from"] not in (None, dict(made_from)):
        _LOG.warning("%s: the steps before this one were done again; its parts are made again, too", folder)
        for name in ledger["files"]:
            (folder / name).unlink(missing_ok=True)
        end(folder)
    _lives[folder] = _Life(dict(made_from), ledger["seconds"], time.monotonic())


def seconds(folder: Path) -> float:
    """Seconds of all lives of the step: of those that were killed, up to their last part."""
    return _life(folder).seconds


def keep(path: Path) -> None:
    """Name a part that has just been written, with its hash and the seconds so far."""
    ledger, life = _read(path.parent), _life(path.parent)
    named = ledger["files"] | {path.name: files.sha256(path)}
    _write(path.parent, {"made_from": life.made_from, "seconds": life.seconds, "files": named})


def kept(path: Path) -> bool:
    """True if a part is there as it was written. One that is not is deleted, with a message."""
    if not path.exists():
        return False
    if _read(path.parent)["files"].get(path.name) == files.sha256(path):
        return True
    _LOG.warning("%s is not what was written (cut off, damaged or edited); it is made again", path)
    path.unlink()
    return False


def make(
    folder: Path, units: Sequence[Unit], worker: Callable[[], Worker], progress: Progress, do: Do = here
) -> list[Path]:
    """The files of a step's units, in their order, after doing those units whose part is not kept."""
    paths = [folder / unit.file for unit in units]
    missing = [unit for unit, path in zip(units, paths, strict=True) if not kept(path)]
    before, total = sum(unit.size for unit in units) - sum(unit.size for unit in missing), sum(u.size for u in units)
    progress(before, total)
    for done in do(missing, worker, lambda at, _, note="": progress(before + at, total, note)):
        keep(done.file)
    return paths


def reopen(folder: Path, seconds: float) -> None:
    """Make parts of the files of a finished step, which is then not finished any more; it has taken so many seconds."""
    if files.finished(folder):
        _write(folder, _NOTHING | {"seconds": seconds, "files": files.manifest(folder)["files"]})
        (folder / files.MANIFEST).unlink()


def end(folder: Path) -> None:
    """Delete the ledger of a step that is finished, or made again."""
    (folder / LEDGER).unlink(missing_ok=True)
    _lives.pop(folder, None)


def _life(folder: Path) -> _Life:
    if folder not in _lives:
        _lives[folder] = _Life(None, 0.0, time.monotonic())
    return _lives[folder]


def _read(folder: Path) -> dict[str, Any]:
    if (folder / LEDGER).exists():
        try:
            return files.read_sealed(folder / LEDGER)
        except UserError:
            _LOG.warning("%s is damaged: the parts of this step are made again", folder / LEDGER)
    return _NOTHING


def _write(folder: Path, ledger: Mapping[str, Any]) -> None:
    files.write_sealed(folder / LEDGER, ledger)
