"""The ledger of a step that is not finished: a line for every part that is done, added behind the others.

The first line names the steps that it is made from. Each line begins with a hash of its text: one that was cut off or
damaged is left out, and with it its part, which is made again. Without the first line nothing is taken.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LOG = logging.getLogger(__name__)
_DIGITS = 16  # of a line's hash


@dataclass
class Ledger:
    """Content of a ledger.

    Attributes:
        made_from: steps before this one, with the hashes of their manifests; None: not known.
        seconds: of the step, up to its last part.
        files: hash of each part, by its name.
    """

    made_from: dict[str, str] | None = None
    seconds: float = 0.0
    files: dict[str, str] = field(default_factory=dict)


def read(path: Path) -> Ledger:
    """The ledger in a file; empty where there is none."""
    ledger = Ledger()
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else (), start=1):
        entry = _entry(line)
        if entry is None:
            _LOG.warning("%s, line %d is damaged: what it named is made again", path, number)
            if number == 1:
                break
        elif "made_from" in entry:
            ledger.made_from, ledger.seconds = entry["made_from"], max(ledger.seconds, entry["seconds"])
        else:
            ledger.files[entry["file"]] = entry["sha256"]
            ledger.seconds = max(ledger.seconds, entry["seconds"])
    return ledger


def start(path: Path, made_from: Mapping[str, str] | None, seconds: float) -> None:
    """Begin a life of the step."""
    _add(path, {"made_from": None if made_from is None else dict(made_from), "seconds": seconds})


def add(path: Path, file: str, sha256: str, seconds: float) -> None:
    """Name a part. If the machine stops before the line is on the disk, the part is made again."""
    _add(path, {"file": file, "sha256": sha256, "seconds": seconds})


def _add(path: Path, entry: Mapping[str, Any]) -> None:
    text = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode()
    with path.open("ab+") as ledger:
        if ledger.tell() and not _ends_a_line(ledger):  # cut off by a kill
            ledger.write(b"\n")
        ledger.write(_hash(text) + b" " + text + b"\n")


def _ends_a_line(ledger: Any) -> bool:
    ledger.seek(-1, 2)
    return ledger.read(1) == b"\n"


def _entry(line: bytes) -> dict[str, Any] | None:
    stated, _, text = line.partition(b" ")
    return json.loads(text) if stated == _hash(text) else None


def _hash(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_DIGITS].encode()
