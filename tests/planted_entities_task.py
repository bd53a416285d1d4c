"""The task of `planted_entities`, as a config names it: by this file."""

from __future__ import annotations

from typing import Literal

from planted_entities import ANIMALS, CONTEXTS, QUESTIONS
from pydantic import Field

from inversescope.tasks import TaskConfig, TaskSubject, register
from inversescope.tasks.entities import EntityTask


class AnimalsConfig(TaskConfig):
    """Animals with a colour and a size."""

    name: Literal["animals"] = Field(default="animals", description="the task")


@register(AnimalsConfig)
class Animals(EntityTask):
    """The task for one subject's tokenizer."""

    name = "animals"

    def __init__(self, config: AnimalsConfig, subject: TaskSubject):
        super().__init__(subject, "animal", CONTEXTS, ANIMALS, QUESTIONS)
