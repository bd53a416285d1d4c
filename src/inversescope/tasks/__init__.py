"""Tasks: where inputs come from, where they are cut, and which features are read off them."""

from typing import Annotated

from pydantic import Field

from inversescope.tasks.ioi import IOI, IOIConfig
from inversescope.tasks.task import Accuracy, Labels, Task, TaskSubject, Tokens, require
from inversescope.tasks.texts import Texts, TextsConfig

TaskConfig = Annotated[IOIConfig | TextsConfig, Field(discriminator="name")]

__all__ = [
    "IOI",
    "Accuracy",
    "IOIConfig",
    "Labels",
    "Task",
    "TaskConfig",
    "TaskSubject",
    "Texts",
    "TextsConfig",
    "Tokens",
    "load_task",
    "require",
]


def load_task(config: IOIConfig | TextsConfig, subject: TaskSubject) -> Task:
    """The task that a config describes, for the subject's tokenizer.

    Raises:
        UserError: the tokenizer does not suit the task, or the file of texts cannot be used.
    """
    if isinstance(config, IOIConfig):
        return IOI(config, subject)
    return Texts(config, subject)
