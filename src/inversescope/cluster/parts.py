"""Parts of a step that is not finished, and the seconds of all its lives.

A ledger in the step's folder names every part with its hash. A part that it does not name, or that differs, is made
again, and so are all parts of a step whose inputs have changed. Several processes may do parts of one step side by
side, each a share of its units with a ledger of its own; the process that finishes the step reads all of these.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from filelock import FileLock

from inversescope import files
from inversescope.cluster import ledger
from inversescope.cluster.executor import Do, here
from inversescope.cluster.units import Unit, Worker
from inversescope.errors import UserError
from inversescope.progress import Progress

LEDGER, OF_SHARES, LOCK = ".parts.jsonl", ".parts-*.jsonl", ".parts.lock"
MOST = 100_000  # shares of a step
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """The units of a step whose number leaves `index` when it is divided by `count`."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """A share written as I/N, with I from 0 to N − 1.

        Raises:
            UserError: it is written otherwise.
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index[:9]) < int(count[:9]) <= MOST):
            raise UserError(
                "a share of the units is written as I/N",
                given=text,
                allowed=f"I from 0 to N - 1, and N up to {MOST:,}, such as 0/8",
            )
        return cls(int(index), int(count))

    @property
    def name(self) -> str:
        """For names of files."""
        return f"{self.index}-of-{self.count}"


class ShareDone(Exception):  # noqa: N818 - no error
    """The units of a share are done: the rest of the step is another process's."""


@dataclass
class _Life:
    """A step in this process: when it began, the seconds of its lives before, and the parts that ledgers name."""

    path: Path  # of its own ledger
    made_from: dict[str, str] | None
    before: float
    started: float
    named: dict[str, str]
    share: Share | None = None

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started


_lives: dict[Path, _Life] = {}


def begin(folder: Path, made_from: Mapping[str, str], share: Share | None = None) -> None:
    """Begin a life of a step. Parts that were made from other inputs are deleted.

    Args:
        folder: the step's.
        made_from: steps before it, with the hashes of their manifests.
        share: the units that this process does; None: it finishes the step.
    """
    own = folder / (LEDGER if share is None else OF_SHARES.replace("*", share.name))
    for path in [own] if share is not None else _ledgers(folder):
        known = ledger.read(path)
        if known.made_from not in (None, dict(made_from)):
            _LOG.warning("%s: the steps before this one were done again; its parts are made again, too", folder)
            for name in known.files:
                (folder / name).unlink(missing_ok=True)
            path.unlink()
    seconds, named = _named(folder, made_from)
    if own.exists():  # its parts may be from anything until it says from what
        ledger.start(own, made_from, seconds)
    _lives[folder] = _Life(own, dict(made_from), seconds, time.monotonic(), named, share)


def seconds(folder: Path) -> float:
    """Seconds of all lives of the step: of those that were killed, up to their last part; of shares that were done
    beside each other, those of the longest.
    """
    return _life(folder).seconds


def keep(path: Path) -> None:
    """Name a part that has just been written, with its hash and the seconds so far."""
    life, sha256 = _life(path.parent), files.sha256(path)
    if not life.path.exists():  # only now: a life that is refused leaves nothing
        ledger.start(life.path, life.made_from, life.before)
    ledger.add(life.path, path.name, sha256, life.seconds)
    life.named[path.name] = sha256


def kept(path: Path) -> bool:
    """True if a part is there as it was written. One that is not is deleted, with a message."""
    if not path.exists():
        return False
    if _life(path.parent).named.get(path.name) == files.sha256(path):
        return True
    _LOG.warning("%s is not what was written (cut off, damaged or edited); it is made again", path)
    path.unlink(missing_ok=True)
    return False


def named(folder: Path) -> dict[str, str]:
    """The parts that ledgers of a step name, with their hashes."""
    return dict(_life(folder).named)


def is_share(folder: Path) -> bool:
    """True where this process does a share of the step's units."""
    return _life(folder).share is not None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make a part that all shares need: other processes with a share of the step wait, and then find it made."""
    life = _life(folder)
    if life.share is None:
        yield
        return
    with FileLock(folder / LOCK):
        life.named |= _named(folder, life.made_from)[1]
        yield


def missing(folder: Path, units: Sequence[Unit], numbers: Sequence[int] | None = None) -> list[Unit]:
    """The units of a step that are to be done here: those of this process's share whose part is not kept.

    `numbers`: of the units, by which they are shared out; None: their places.
    """
    share = _life(folder).share
    numbers = range(len(units)) if numbers is None else numbers
    return [
        unit
        for number, unit in zip(numbers, units, strict=True)
        if (share is None or number % share.count == share.index) and not kept(folder / unit.file)
    ]


def end_of_share(folder: Path) -> None:
    """Leave the step here, if this process does a share of its units.

    Raises:
        ShareDone: it does.
    """
    if is_share(folder):
        raise ShareDone


def make(
    folder: Path, units: Sequence[Unit], worker: Callable[[], Worker], progress: Progress, do: Do = here
) -> Iterator[Path]:
    """The files of a step's units, in their order, after doing those units whose part is not kept.

    Raises:
        ShareDone: this process does a share of the units, which are done.
    """
    to_do = missing(folder, units)
    before, total = sum(unit.size for unit in units) - sum(unit.size for unit in to_do), sum(u.size for u in units)
    progress(before, total)
    for done in do(to_do, worker, lambda at, _, note="": progress(before + at, total, note)):
        keep(done.file)
    end_of_share(folder)
    return (folder / unit.file for unit in units)


def drop(folder: Path, units: Sequence[Unit]) -> None:
    """Delete the parts of a step that have been put together."""
    for unit in units:
        (folder / unit.file).unlink(missing_ok=True)


def reopen(folder: Path, seconds: float) -> None:
    """Make parts of the files of a finished step, which is then not finished any more; it has taken so many seconds."""
    if files.finished(folder):
        end(folder)
        ledger.start(folder / LEDGER, None, seconds)
        for name, sha256 in files.manifest(folder)["files"].items():
            ledger.add(folder / LEDGER, name, sha256, seconds)
        (folder / files.MANIFEST).unlink()


def end(folder: Path) -> None:
    """Delete the ledgers of a step that is finished, or made again."""
    for path in (*_ledgers(folder), folder / LOCK):
        path.unlink(missing_ok=True)
    _lives.pop(folder, None)


def _life(folder: Path) -> _Life:
    if folder not in _lives:
        _lives[folder] = _Life(folder / LEDGER, None, 0.0, time.monotonic(), _named(folder, None)[1])
    return _lives[folder]


def _ledgers(folder: Path) -> list[Path]:
    return [path for path in (folder / LEDGER, *sorted(folder.glob(OF_SHARES))) if path.exists()]


def _named(folder: Path, made_from: Mapping[str, str] | None) -> tuple[float, dict[str, str]]:
    """The most seconds and all parts of those ledgers of a step that are made from the same; None: from anything."""
    found: dict[str, str] = {}
    seconds = 0.0
    for known in map(ledger.read, _ledgers(folder)):
        if made_from is None or known.made_from in (None, dict(made_from)):
            seconds, found = max(seconds, known.seconds), found | known.files
    return seconds, found
