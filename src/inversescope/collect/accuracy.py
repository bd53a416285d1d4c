"""Accuracy of the subject at the task: a subject that cannot do the task has nothing to explain. And what became of the
rows or documents, where the task is a file of texts or a corpus.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

from inversescope import files, records
from inversescope.collect.store import OpenRun
from inversescope.progress import Progress
from inversescope.streams import Stream
from inversescope.tasks import Accuracy, require
from inversescope.tasks.corpus import CorpusRead

PROMPTS = 100


def step(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `task`: write `accuracy.json`, and of a file of texts `reading.json`, of a corpus `corpus.json`.

    Raises:
        UserError: the subject cannot do the task, and `task.force` is not set.
    """
    reading = getattr(run.task, "reading", None)
    if reading is not None:
        record = records.run.CORPUS if isinstance(reading, CorpusRead) else records.run.READING
        files.write_json(folder / record.name, record.of(reading.record()))
    accuracy = run.task.accuracy(run.subject, PROMPTS, Stream.ACCURACY.rng(run.seed))
    measured = dict.fromkeys(column.name for column in fields(Accuracy)) if accuracy is None else asdict(accuracy)
    files.write_json(folder / "accuracy.json", {"defined": accuracy is not None, **measured})
    if accuracy is None:
        return
    progress(1, 1, f"accuracy {accuracy.value:.2f} [{accuracy.low:.2f}, {accuracy.high:.2f}]")
    require(accuracy, force=getattr(run.task_config, "force", False))
