"""Readout files of other tools, read as claims about activations; each reader names what it could not use."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from inversescope.bounds import CHARACTERS, read_text
from inversescope.check.readouts import activation_oracles, neuronpedia, nla, workspace_bench
from inversescope.check.readouts.readout import Imported, Rows, Where
from inversescope.errors import UserError

READERS = (workspace_bench, activation_oracles, nla, neuronpedia)

__all__ = ["READERS", "Imported", "Where", "read_readouts"]


def read_readouts(path: Path, where: Where) -> Imported | None:
    """The claims of a readout file, by the reader that knows its layout; None where it has claims of our own layout, or
    none that is known.

    Args:
        where: the run's sites and prefix, and files beside this one.

    Raises:
        UserError: the file cannot be read, lacks a file beside it, or holds nothing that can be used.
    """
    rows = _rows(path)
    reader = next((each for each in READERS if rows and each.recognises(rows)), None)
    if reader is None:
        return None
    found = Imported(reader.NAME)
    reader.read(rows, where, found)
    if not found.claims:
        why = "; ".join(f"{count} times {reason}" for reason, count in found.unused.items())
        raise UserError("nothing in the file can be checked with this run", given=f"{path}: {why}")
    return found


def _rows(path: Path) -> Rows:
    """The objects of a JSON or JSONL file, which may be compressed by gzip; none where it is neither."""
    text = _unzipped(path) if path.suffix == ".gz" else read_text(path, "file of claims")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _lines(text)
    rows = value if isinstance(value, list) else [value]
    return [row for row in rows if isinstance(row, dict)]


def _lines(text: str) -> Rows:
    rows: Rows = []
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return []
        if isinstance(value, dict):
            rows.append(value)
    return rows


def _unzipped(path: Path) -> str:
    try:
        with gzip.open(path) as file:
            content = file.read(CHARACTERS + 1)
        if len(content) > CHARACTERS:
            raise UserError("the file is too long", given=path, allowed=f"up to {CHARACTERS:,} bytes, unzipped")
        return content.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError("the file cannot be unzipped", given=f"{path}: {error}") from error
