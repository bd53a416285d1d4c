"""RAVEL: entities and their attributes, from the benchmark's own files (Huang et al. 2024, arXiv 2402.17700).

The files are not part of this package: `data.tgz` of github.com/explanare/ravel (MIT), unpacked, is the folder. A
prompt asks for an attribute of an entity and is cut at the entity's last token. An attribute that the subject knows of
too few entities is left out; an entity is kept if the subject knows all that are kept.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from inversescope import files
from inversescope.bounds import INPUTS
from inversescope.errors import UserError
from inversescope.paths import ConfigPath
from inversescope.tasks.entities import EntityTask, right_answers
from inversescope.tasks.labels import as_label
from inversescope.tasks.registry import register
from inversescope.tasks.task import Labels, TaskConfig, TaskSubject

TRIED = 6  # prompts of an attribute that are compared
ASKED = 3  # the best of them: an entity is known if the answers to two are right, the third measures the accuracy
COMPARED_ON = 32  # entities
Kind = Literal["city", "nobel_prize_winner", "verb", "physical_object", "occupation"]
Split = Literal["train", "val", "test", "all"]


class RavelConfig(TaskConfig):
    """The RAVEL benchmark: five types of entities with their attributes, as far as the subject knows them."""

    name: Literal["ravel"] = Field(default="ravel", description="the task: the RAVEL benchmark")
    folder: ConfigPath = Field(description="folder with the benchmark's files: `data` in its data.tgz")
    entity: Kind = Field(default="city", description="type of the entities")
    attributes: tuple[str, ...] = Field(
        default=(), description="attributes, by the benchmark's names; `[]`: all of this type of entity"
    )
    entity_split: Split = Field(default="all", description="split of the entities, as the benchmark made it")
    context_split: Split = Field(default="all", description="split of the prompts, as the benchmark made it")
    entities: int = Field(
        default=300, ge=1, le=INPUTS, description="number of entities that are tried, spread evenly over the file"
    )
    known: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="least share of these entities, 0 to 1, whose attribute the subject must know; else the attribute "
        "is left out",
    )
    force: bool = Field(default=False, description="run the task even if the subject is too inaccurate at it")


@register(RavelConfig)
class Ravel(EntityTask):
    """The task for one subject's tokenizer. Features: the entity, the attributes that are kept, and the context.

    `shares` says for each attribute that has three prompts to ask for it of which share of the entities the subject
    knows it.

    Raises:
        UserError: a file is missing or is not the benchmark's; there is no such attribute, or the subject knows none.
    """

    name = "ravel"

    def __init__(self, config: RavelConfig, subject: TaskSubject):
        table = _evenly(_split(config, "entity", _entities(config)), config.entities)
        if not table:
            raise UserError("no entity of RAVEL is in this split", given=f"entity_split = {config.entity_split}")
        of_split = set(_split(config, "prompt", _read(config, "ravel", "prompt_to_split")))
        prompts = {
            name: [prompt for prompt in prompts if prompt in of_split]
            for name, prompts in _read(config, "ravel", "attribute_to_prompts").items()
        }
        self.shares: dict[str, float] = {}
        questions = {}
        for name in _attributes(config, table):
            ranked = _ranked(subject, name, prompts.get(name, []), table)
            if len(ranked) < ASKED:
                continue
            self.shares[name] = sum(right_answers(subject, table, name, ranked[:-1])) / len(table)
            if self.shares[name] >= config.known:
                questions[name] = ranked
        if not questions:
            shares = ", ".join(f"{name} {share:.2f}" for name, share in self.shares.items()) or "too few prompts"
            raise UserError(
                "the subject knows no attribute of these entities well enough",
                given=f"share of {len(table)} entities of which it knows the value: {shares}",
                allowed=f"known = {config.known} or more",
                remedy="a lower `known`, other entities, or another subject",
            )
        kept = {entity: {name: values.get(name) for name in questions} for entity, values in table.items()}
        contexts = [prompt for of_attribute in prompts.values() for prompt in of_attribute]
        super().__init__(subject, config.entity.replace("_", " "), contexts, kept, questions)


def _read(config: RavelConfig, source: str, what: str) -> dict[str, Any]:
    path = config.folder / f"{source}_{config.entity}_{what}.json"
    if not path.is_file():
        raise UserError(
            "a file of RAVEL is missing",
            given=path,
            remedy="unpack data.tgz of github.com/explanare/ravel, and name its folder `data` as the task's folder",
        )
    content = files.read_json(path)
    if not isinstance(content, dict) or not content:
        raise UserError("this is no file of RAVEL", given=path, allowed="a JSON object")
    return content


def _entities(config: RavelConfig) -> dict[str, Labels]:
    """Every entity with those of its attributes that have a value."""
    rows = _read(config, "ravel", "entity_attributes")
    labelled = {entity: {name: as_label(value) for name, value in row.items()} for entity, row in rows.items()}
    return {
        entity: {name: label for name, label in row.items() if label is not None} for entity, row in labelled.items()
    }


def _split(config: RavelConfig, what: Literal["entity", "prompt"], table: dict[str, Any]) -> dict[str, Any]:
    """Contents of the config's split of the benchmark."""
    wanted = config.entity_split if what == "entity" else config.context_split
    splits = _read(config, "ravel", f"{what}_to_split")
    return {name: value for name, value in table.items() if wanted in ("all", splits.get(name))}


def _evenly(table: dict[str, Labels], count: int) -> dict[str, Labels]:
    names = list(table)
    if len(names) <= count:
        return table
    return {names[i * len(names) // count]: table[names[i * len(names) // count]] for i in range(count)}


def _attributes(config: RavelConfig, table: dict[str, Labels]) -> list[str]:
    valued = list(dict.fromkeys(name for row in table.values() for name in row))
    if unknown := [name for name in config.attributes if name not in valued]:
        raise UserError(
            f"the benchmark has no such attribute of this type of entity ({config.entity})",
            given=", ".join(unknown),
            allowed=", ".join(valued),
        )
    return list(config.attributes) or valued


def _ranked(subject: TaskSubject, attribute: str, prompts: list[str], table: dict[str, Labels]) -> list[str]:
    """The prompts that ask for an attribute: of those tried the ones with the most right answers, best first."""
    some = list(_evenly(table, COMPARED_ON))
    asking = [
        prompt for prompt in prompts if not prompt[-1].isspace()
    ]  # an answer would share its token with the space
    tried = [asking[i * len(asking) // TRIED] for i in range(TRIED)] if len(asking) > TRIED else asking
    return sorted(tried, key=lambda prompt: -sum(right_answers(subject, table, attribute, [prompt], some)))[:ASKED]
