"""Tasks: where inputs come from, where they are cut, and which features are read off them."""

from inversescope.tasks.ioi import IOI, IOIConfig
from inversescope.tasks.registry import (
    Entry,
    FileTaskConfig,
    TaskSection,
    config_in_file,
    config_of,
    entries,
    load_task,
    register,
)
from inversescope.tasks.task import (
    Accuracy,
    AskingTask,
    Labels,
    Question,
    Task,
    TaskConfig,
    TaskSubject,
    Tokens,
    require,
)
from inversescope.tasks.texts import Texts, TextsConfig

__all__ = [
    "IOI",
    "Accuracy",
    "AskingTask",
    "Entry",
    "FileTaskConfig",
    "IOIConfig",
    "Labels",
    "Question",
    "Task",
    "TaskConfig",
    "TaskSection",
    "TaskSubject",
    "Texts",
    "TextsConfig",
    "Tokens",
    "config_in_file",
    "config_of",
    "entries",
    "load_task",
    "register",
    "require",
]
