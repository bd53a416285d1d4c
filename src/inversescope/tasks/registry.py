"""Registry of tasks: every file of this folder, the entry points of other packages, and files that a config names.

A task registers itself by `@register(ItsConfig)` above its class; nothing else has to change.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import SerializeAsAny, WrapValidator

from inversescope.errors import UserError
from inversescope.python_file import load_file
from inversescope.tasks.task import Task, TaskConfig, TaskSubject

ENTRY_POINTS = "inversescope.tasks"  # the group in which another package names its modules of tasks


class Entry(NamedTuple):
    """A task's config and its class, which is made from the config and a subject."""

    config: type[TaskConfig]
    task: Callable[[Any, TaskSubject], Task]
    module: str

    @property
    def name(self) -> str:
        """Name in a config."""
        return self.config.model_fields["name"].default


Made = TypeVar("Made", bound=Callable[..., Task])
_ENTRIES: dict[str, Entry] = {}


def register(config: type[TaskConfig]) -> Callable[[Made], Made]:
    """Decorates a task's class, which is then known by the name that is the default of its config's `name`.

    Raises:
        UserError: the name is taken by a task of another module.
    """

    def remember(task: Made) -> Made:
        assert "name" in config.model_fields, f"{config.__name__} has no `name`"
        entry = Entry(config, task, task.__module__)
        first = _ENTRIES.setdefault(entry.name, entry)
        if first.module != entry.module:
            raise UserError("two tasks have the same name", given=f"{entry.name}: {first.module}, {entry.module}")
        _ENTRIES[entry.name] = entry
        return task

    return remember


def entries() -> dict[str, Entry]:
    """Every task by its name."""
    _load_installed()
    return dict(sorted(_ENTRIES.items()))


def config_of(settings: Mapping[str, Any]) -> type[TaskConfig]:
    """The kind of config for the settings of a `[task]` section, by its `name`, loaded from its `file` if it has one.

    Raises:
        ValueError: there is no such task; the file cannot be loaded, or defines no task of this name.
    """
    name, file = settings.get("name", "ioi"), settings.get("file")
    registered = entries()
    if file is not None:
        module = _load_file(file)
        registered = {name: entry for name, entry in _ENTRIES.items() if entry.module == module}
    if not isinstance(name, str) or name not in registered:
        allowed = ", ".join(registered) or "none: no class in it is registered"
        raise ValueError(f"there is no task {name!r}{'' if file is None else f' in {file}'} (allowed: {allowed})")
    return registered[name].config


def _by_name(settings: object, validate: Callable[[object], TaskConfig]) -> TaskConfig:
    return config_of(settings).model_validate(settings) if isinstance(settings, dict) else validate(settings)


# The config of whichever task the settings name, in a pydantic model.
TaskSection = SerializeAsAny[Annotated[TaskConfig, WrapValidator(_by_name)]]


def load_task(config: TaskConfig, subject: TaskSubject) -> Task:
    """The task that a config describes, for the subject's tokenizer.

    Raises:
        UserError: the tokenizer does not suit the task, or a file that it reads cannot be used.
    """
    return next(entry.task for entry in entries().values() if entry.config is type(config))(config, subject)


@cache
def _load_installed() -> None:
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
    for point in entry_points(group=ENTRY_POINTS):
        point.load()


def _load_file(file: object) -> str:
    """The name of a Python file's module, after running it."""
    path = Path(file) if isinstance(file, str | Path) else None
    if path is None or not path.is_file():
        raise ValueError(f"there is no such Python file: {file!r}")
    try:
        return load_file(path).__name__
    except Exception as error:  # the user's code may raise anything
        raise ValueError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
