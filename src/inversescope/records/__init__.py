"""Every file of a run directory: tables with their columns, JSON files with their keys, a line of meaning for each.

Writers make their tables from these records, readers and docs/run-directory.md take names and types from them.
"""

from __future__ import annotations

from inversescope.records import (
    arena,
    calibrate,
    causal,
    check,
    collect,
    disentangle,
    mine,
    propose,
    run,
    sample,
    score,
    text,
    train,
    verify,
)
from inversescope.records.record import (
    ENDS,
    LABEL,
    Column,
    Document,
    Record,
    Room,
    Table,
)

# In the order of the steps; then what is made on request.
ROOMS = (
    run.RUN,
    run.TASK,
    collect.COLLECT,
    collect.REFERENCE,
    train.TRAIN,
    calibrate.CALIBRATE,
    sample.SAMPLE,
    verify.VERIFY,
    score.SCORE,
    mine.MINE,
    causal.CAUSAL,
    text.TEXT,
    run.REPORT,
    arena.ARENA,
    disentangle.DISENTANGLE,
    propose.PROPOSE,
    check.CHECK,
)
MANIFEST = "manifest.json"  # in each folder, beside what its record says


def described(path: str) -> Record | None:
    """The record of a file by its path in the run directory; None where there is none."""
    return next((record for room in ROOMS for record in room.records if record.describes(path)), None)


__all__ = [
    "ENDS",
    "LABEL",
    "ROOMS",
    "Column",
    "Document",
    "Record",
    "Room",
    "Table",
    "arena",
    "calibrate",
    "causal",
    "check",
    "collect",
    "described",
    "disentangle",
    "mine",
    "propose",
    "run",
    "sample",
    "score",
    "text",
    "train",
    "verify",
]
