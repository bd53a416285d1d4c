"""Fingerprint of a run's prior, that is of all that its inputs and their labels come from; and its own inputs in it.

The task of a run that is collected gives the run's own inputs the labels and probabilities that the run wrote.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from inversescope import files
from inversescope.collect.inputs import SPLITS, Inputs
from inversescope.collect.store import Store
from inversescope.errors import UserError
from inversescope.subject import Subject
from inversescope.tasks import Labels, Task, TaskConfig, Tokens

CHECKED = 64  # inputs of each split
CONTENT = "rows of the task"
_MISSING = "no such file"


def sources(config: TaskConfig, subject: Subject) -> dict[str, str]:
    """Hashes of what the prior is made from: the files and folders that the config names, code of the task that is not
    of this package (its `file` has a hash of its own), the tokenizer and the chat template.
    """
    found = {f"task.{name}": _hash(Path(value)) for name, value in config if isinstance(value, Path) and name != "file"}
    dataset = getattr(config, "dataset", None)
    if isinstance(dataset, str) and Path(dataset).is_dir():
        found["task.dataset"] = _hash(Path(dataset))
    module = type(config).__module__
    if module.partition(".")[0] != __name__.partition(".")[0] and config.file is None:
        code = getattr(sys.modules[module], "__file__", None)  # none in a notebook
        found |= {} if code is None else {"code of the task": _hash(Path(code))}
    return found | subject.tokenizer.fingerprints()


def content(task: Task) -> dict[str, str]:
    """The hash of the inputs and labels that a task has read, if it says so: of data sets there may be no file."""
    fingerprint = getattr(task, "fingerprint", None)
    return {} if fingerprint is None else {CONTENT: fingerprint}


def require_same(current: Mapping[str, str], recorded: Mapping[str, str]) -> None:
    """Compare parts of a fingerprint with those that the run recorded.

    Raises:
        UserError: one differs.
    """
    for name, now in current.items():
        if recorded.get(name) != now:
            raise UserError(
                f"the prior of this run has changed: {name}",
                given=now if now == _MISSING else f"fingerprint {now[:16]}",
                allowed=f"fingerprint {recorded.get(name, 'of nothing')[:16]}",
                remedy="put it back as it was, or start a new run",
            )


def _hash(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder with their names."""
    if path.is_file():
        return files.sha256(path)
    if not path.is_dir():
        return _MISSING
    digest = hashlib.sha256()
    for file in sorted(found for found in path.rglob("*") if found.is_file()):
        digest.update(f"{file.relative_to(path)} {files.sha256(file)}\n".encode())
    return digest.hexdigest()


def with_own_inputs(task: Task, store: Store) -> Task:
    """The task, with the labels and probabilities that the run wrote for its own inputs, once it is collected.

    Raises:
        UserError: an input of the run is not in the prior any more, or has other labels there.
    """
    if files.finished(store.folder):
        _require_own_inputs(task, store)
    return cast(Task, _WithOwnInputs(task, store))


def _require_own_inputs(task: Task, store: Store) -> None:
    for split in SPLITS:
        inputs = store.inputs(split)
        for row in range(0, len(inputs), max(1, len(inputs) // CHECKED)):
            tokens, written = inputs.tokens[row], _written(inputs, row)
            log_prior, labels = task.log_prior(tokens), task.labels(tokens)
            if log_prior == -math.inf:
                raise _left(split, inputs.texts[row], "not in the prior", "an input of the prior")
            if labels != written:
                feature = next(name for name in labels | written if written.get(name) != labels.get(name))
                given, allowed = (f"{feature} = {found.get(feature)!r}" for found in (labels, written))
                raise _left(split, inputs.texts[row], given, allowed)


def _left(split: str, text: str, given: str, allowed: str) -> UserError:
    return UserError(
        f"the prior of this run has changed: it has an input ({split}) otherwise than the run wrote it",
        given=f"{text!r}: {given}",
        allowed=allowed,
        remedy="the task and its data as they were, or a new run",
    )


def _written(inputs: Inputs, row: int) -> Labels:
    return {feature: labels[row] for feature, labels in inputs.labels.items()}


@Task.register  # pyright: ignore[reportAttributeAccessIssue] - Python 3.12 does not see what `__getattr__` gives
class _WithOwnInputs:
    """Gives the run's own inputs what the run wrote, and leaves everything else to the task within."""

    def __init__(self, task: Task, store: Store):
        self._task = task
        self._store = store
        self._rows: dict[Tokens, tuple[Inputs, int]] | None = None

    def labels(self, tokens: Sequence[int]) -> Labels:
        """Every feature of any token sequence; None is undecided."""
        found = self._own(tokens)
        return self._task.labels(tokens) if found is None else _written(*found)

    def log_prior(self, tokens: Sequence[int]) -> float | None:
        """ln P(x) in nats; -inf outside the support, None where P is not known."""
        found = self._own(tokens)
        if found is None or found[0].enumerated is None:
            return self._task.log_prior(tokens)
        return math.log(found[0].enumerated[found[1]])

    def _own(self, tokens: Sequence[int]) -> tuple[Inputs, int] | None:
        if self._rows is None:
            if not files.finished(self._store.folder):
                return None
            splits = [self._store.inputs(split) for split in reversed(SPLITS)]
            # Of an input in several splits the pool's row counts: it has the probability.
            splits.sort(key=lambda inputs: inputs.exact)
            self._rows = {x: (inputs, row) for inputs in splits for row, x in enumerate(inputs.tokens)}
        return self._rows.get(tuple(tokens))

    def __getattr__(self, name: str) -> Any:
        if name == "_task":  # a copy that is still empty
            raise AttributeError(name)
        return getattr(self._task, name)
