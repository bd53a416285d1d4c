"""A task with features of the user beside its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from inversescope.errors import UserError
from inversescope.features.feature_config import FeatureConfig, Reader
from inversescope.tasks import Labels, Task, TaskSubject
from inversescope.tasks.labels import as_label
from inversescope.verdicts import NULL_FEATURE


def add_features(task: Task, features: Mapping[str, FeatureConfig], subject: TaskSubject) -> Task:
    """The task with the features of a config; one given by a column stands in that column's place.

    Raises:
        UserError: the task has a feature of that name, has no such column, or a feature cannot be loaded.
    """
    replaced = {config.column for config in features.values() if config.column is not None}
    if missing := sorted(replaced - set(task.features)):
        raise UserError(
            "the task has no such label column",
            given=", ".join(missing),
            allowed=", ".join(task.features) or "none",
            remedy="name it in the task's `labels`",
        )
    kept = [name for name in task.features if name not in replaced]
    return with_readers(task, {name: config.reader(name) for name, config in features.items()}, subject, kept)


def with_readers(
    task: Task, readers: Mapping[str, Reader], subject: TaskSubject, kept: Sequence[str] | None = None
) -> Task:
    """The task with more features, each by its reader; `kept` are those of its own that remain.

    Raises:
        UserError: two features have one name, or one that of the null feature.
    """
    kept = task.features if kept is None else tuple(kept)
    if both := sorted({*kept, NULL_FEATURE} & set(readers) | {NULL_FEATURE} & set(kept)):
        raise UserError("two features have one name", given=", ".join(both), remedy="another name for one of them")
    return cast(Task, _WithFeatures(task, readers, subject, kept))  # the rest of a task comes from the task within


@Task.register  # pyright: ignore[reportAttributeAccessIssue] - Python 3.12 does not see what `__getattr__` gives
class _WithFeatures:
    """Adds features to the labels, and leaves everything else to the task within."""

    def __init__(self, task: Task, readers: Mapping[str, Reader], subject: TaskSubject, kept: Sequence[str]):
        self._task = task
        self._readers = readers
        self._subject = subject
        self.features = (*kept, *readers)

    def labels(self, tokens: Sequence[int]) -> Labels:
        """Every feature of any token sequence; None is undecided.

        Raises:
            UserError: a function of the user's fails.
        """
        own, text = self._task.labels(tokens), self._subject.decode(tokens)
        added = {name: reader(text, own) for name, reader in self._readers.items()}
        return {name: added[name] if name in added else as_label(own[name]) for name in self.features}

    def __getattr__(self, name: str) -> Any:
        if name == "_task":  # a copy that is still empty
            raise AttributeError(name)
        return getattr(self._task, name)
