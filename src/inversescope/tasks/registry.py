"""Registry of tasks: every file of this folder, the entry points of other packages, and files that a config names.

A task registers itself by `@register(ItsConfig)` above its class; nothing else has to change.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import ConfigDict, SerializeAsAny, WrapValidator

from inversescope.errors import UserError
from inversescope.python_file import UserCode, load_file
from inversescope.tasks.task import Task, TaskConfig, TaskSubject

ENTRY_POINTS = "inversescope.tasks"  # the group in which another package names its modules of tasks


class FileTaskConfig(TaskConfig):
    """Settings of a task that a file of the user's defines, as they are given: the file checks them once it is run."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def code(self) -> UserCode:
        """The file."""
        assert self.file is not None  # see `config_of`
        return UserCode(self.file, "task")


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
    """The kind of config for the settings of a `[task]` section, by its `name`. A file of the user's is not run.

    Raises:
        ValueError: there is no such task.
    """
    if settings.get("file") is not None:
        return FileTaskConfig
    name, registered = settings.get("name", "ioi"), entries()
    if not isinstance(name, str) or name not in registered:
        raise ValueError(f"there is no task {name!r} (allowed: {', '.join(registered)})")
    return registered[name].config


def config_in_file(config: FileTaskConfig) -> type[TaskConfig]:
    """The kind of config that the file of a task defines. The file is run.

    Raises:
        UserError: the user has not allowed the file, it cannot be loaded, or defines no task of this name.
    """
    try:
        module = load_file(config.code).__name__
    except UserError:
        raise
    except Exception as error:  # the user's code may raise anything
        given = f"{config.file}: {type(error).__name__}: {error}"
        raise UserError("the file of the task cannot be loaded", given=given) from error
    registered = {name: entry for name, entry in entries().items() if entry.module == module}
    if config.name not in registered:
        allowed = ", ".join(registered) or "none: no class in it is registered"
        raise UserError("there is no such task in the file", given=f"{config.name!r} in {config.file}", allowed=allowed)
    return registered[config.name].config


def _by_name(settings: object, validate: Callable[[object], TaskConfig], info: Any) -> TaskConfig:
    if not isinstance(settings, dict):
        return validate(settings)
    return config_of(settings).model_validate(settings, context=info.context)


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
