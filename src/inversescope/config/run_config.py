"""Config of a run: one TOML file, read, checked as a whole, and listed key by key."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from inversescope import bounds
from inversescope.bounds import read_text
from inversescope.config.generator_config import CalibrateConfig, GeneratorConfig, TrainConfig
from inversescope.config.schema import (
    CausalConfig,
    ClusterConfig,
    CollectConfig,
    NeighbourhoodConfig,
    SampleConfig,
    Section,
    SubjectConfig,
)
from inversescope.config.text_config import TextConfig
from inversescope.errors import UserError
from inversescope.features.feature_config import FeatureConfig
from inversescope.paths import FOLDER
from inversescope.python_file import UserCode
from inversescope.sites import require_addresses
from inversescope.tasks import FileTaskConfig, IOIConfig, TaskConfig, TaskSection, config_in_file, config_of
from inversescope.verdicts import MEASURABLE


class RunConfig(Section):
    """A whole run."""

    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of all random numbers of the run, 0 to 2³² − 1")
    subject: SubjectConfig = SubjectConfig()
    task: TaskSection = IOIConfig()
    features: dict[str, FeatureConfig] = Field(
        default={}, description="features in addition to those of the task, by name"
    )
    collect: CollectConfig = CollectConfig()
    neighbourhood: NeighbourhoodConfig = NeighbourhoodConfig()
    generator: GeneratorConfig = GeneratorConfig()
    train: TrainConfig = TrainConfig()
    calibrate: CalibrateConfig = CalibrateConfig()
    sample: SampleConfig = SampleConfig()
    causal: CausalConfig = CausalConfig()
    text: TextConfig = TextConfig()
    cluster: ClusterConfig = ClusterConfig()

    @model_validator(mode="after")
    def _donors_are_sampled(self) -> Self:
        for name in ("resolution", "bandwidth"):
            chosen, sampled = getattr(self.causal, name), getattr(self.sample, f"{name}s")
            if chosen not in (None, *sampled):
                raise ValueError(f"causal.{name} {chosen:g} is not among sample.{name}s {list(sampled)}")
        return self

    @model_validator(mode="after")
    def _pool_measures_resolutions(self) -> Self:
        finest, pool = max(self.sample.resolutions, default=0), self.collect.pool
        targets = self.collect.targets
        if isinstance(pool, int) and isinstance(targets, int) and pool * targets > bounds.DISTANCES:
            raise ValueError(
                f"collect.pool {pool} times collect.targets {targets} are too many distances (allowed: up "
                f"to {bounds.DISTANCES:,})"
            )
        if isinstance(pool, int) and pool < MEASURABLE * finest:
            raise ValueError(
                f"sample.resolutions {finest:g} is finer than collect.pool {pool} can measure: at least "
                f"{MEASURABLE:g} inputs of the pool must remain (allowed: up to {pool / MEASURABLE:g})"
            )
        return self

    @model_validator(mode="after")
    def _bandwidths_are_trained(self) -> Self:
        if self.train.bandwidths == "range" or not self.neighbourhood.has_channel:
            return self
        low, high = self.train.bandwidths
        outside = [h for h in self.sample.bandwidths if not low <= h <= high]
        if outside:
            raise ValueError(f"sample.bandwidths {outside} lie outside train.bandwidths {low} to {high}")
        return self

    @property
    def code(self) -> list[UserCode]:
        """Python files of the user's that a run of it executes. None of them was executed to read the config."""
        task = [self.task.code] if isinstance(self.task, FileTaskConfig) else []
        return [*task, *(feature.code for feature in self.features.values() if feature.code is not None)]

    @property
    def task_file(self) -> str | None:
        """Hash of the file of the user's that defines the task; None for an installed task."""
        return self.task.code.sha256 if isinstance(self.task, FileTaskConfig) else None

    @property
    def functions(self) -> dict[str, str]:
        """The features given by a function, with the hash of the file that it stands in."""
        hashes = {name: feature.fingerprint for name, feature in self.features.items()}
        return {name: fingerprint for name, fingerprint in hashes.items() if fingerprint is not None}

    @property
    def annotated(self) -> dict[str, str]:
        """The features whose expressions ask an annotator, with its library, model and versions."""
        named = {name: feature.annotated_by for name, feature in self.features.items()}
        return {name: made_by for name, made_by in named.items() if made_by is not None}

    def task_config(self) -> TaskConfig:
        """Config of the task. A file of the user's that defines the task is run for the task's keys and defaults.

        Raises:
            UserError: the user has not allowed the file, it cannot be loaded, or has a wrong key.
        """
        if not isinstance(self.task, FileTaskConfig):
            return self.task
        kind = config_in_file(self.task)
        try:
            return kind.model_validate(self.task.model_dump())
        except ValidationError as error:
            problems = [
                _problem(**{**problem, "loc": ("task", *problem["loc"])}) for problem in error.errors(include_url=False)
            ]
            raise UserError(
                f"the config cannot be used with the task in {self.task.file}",
                given="; ".join(problems),
                allowed=f"in task: {', '.join(kind.model_fields)}",
            ) from error

    @classmethod
    def read(cls, path: Path, folder: Path | None = None) -> Self:
        """The config in a TOML file; its relative paths start at `folder`, or where the file is.

        Raises:
            UserError: there is no such file, it is not TOML, or it has an unknown, wrong or contradictory key.
        """
        return cls.parse(read_text(path, "config"), str(path), folder or path.parent)

    @classmethod
    def parse(cls, text: str, name: str, folder: Path | None = None) -> Self:
        """The config in TOML text; `name` is used in messages.

        `folder`: start of relative paths; None: the working directory.
        """
        folder = folder or Path.cwd()
        settings: dict[str, Any] = {}
        try:
            settings = _toml(text.removeprefix("\ufeff"), name)
            config = cls.model_validate(settings, context={FOLDER: folder.absolute()})
            require_addresses((*config.collect.sites, *config.generator.sites, *config.text.sites))
            return config
        except ValidationError as error:
            allowed = _keys(error, settings)
            raise UserError(f"the config {name} cannot be used", given=_problems(error), allowed=allowed) from error

    def with_sizes(self, sizes: Mapping[str, Any]) -> Self:
        """The config with these sizes in its section `collect` where that leaves them open (`auto`).

        Raises:
            UserError: the resolutions do not fit them.
        """
        left = {name: size for name, size in sizes.items() if getattr(self.collect, name) == "auto"}
        try:
            return type(self).model_validate(dict(self) | {"collect": self.collect.model_copy(update=left)})
        except ValidationError as error:
            raise UserError("the config does not fit its inputs", given=_problems(error)) from error


def _toml(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UserError("the config is nested too deeply", given=name) from error
    except ValueError as error:  # also a number of thousands of digits
        raise UserError("the config is not valid TOML", given=f"{name}: {error}") from error


def deciding(text: str, name: str) -> str:
    """All of a config (TOML text) that decides its run's numbers, as JSON: without where the work is done."""
    settings = _toml(text.removeprefix("\ufeff"), name)
    cluster = settings.pop("cluster", {})
    threads = cluster.get("threads") if isinstance(cluster, dict) else None
    return json.dumps(settings | {"threads": threads}, sort_keys=True, default=str)


def sections() -> dict[str, type[BaseModel]]:
    """The sections of a config by name, but for `task`, whose keys depend on the task; `seed` stands outside."""
    annotations = {name: field.annotation for name, field in RunConfig.model_fields.items() if name != "task"}
    models = {
        name: kind for name, kind in annotations.items() if isinstance(kind, type) and issubclass(kind, BaseModel)
    }
    return {**models, "features.NAME": FeatureConfig}


def keys(section: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Keys of a section, each with its default and its meaning."""
    for key, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        written = "not set" if default is None else json.dumps(default, default=str, ensure_ascii=False)
        yield key, "(needed)" if field.is_required() else written, field.description or ""


def _problems(error: ValidationError) -> str:
    return "; ".join(_problem(**problem) for problem in error.errors(include_url=False))


def _problem(loc: tuple[int | str, ...], msg: str, type: str, input: object, **_: object) -> str:
    """One wrong key, what is wrong about it, and its value where that is short and not in the message."""
    # A key of several types has a problem for each; pydantic names the type in brackets.
    where = ".".join(part for part in map(str, loc) if "[" not in part) or "config"
    message = "there is no such key" if type == "extra_forbidden" else msg.removeprefix("Value error, ")
    shown = type not in ("missing", "extra_forbidden", "value_error") and len(repr(input)) <= 80
    return f"{where}: {message}" + (f" (given {input!r})" if shown else "")


def _keys(error: ValidationError, settings: dict[str, Any]) -> str | None:
    """The keys of the sections in which unknown ones were found."""
    unknown = [problem["loc"] for problem in error.errors() if problem["type"] == "extra_forbidden"]
    names = dict.fromkeys(loc[-2] if len(loc) > 1 else "config" for loc in unknown)
    sections: dict[str | int, Any] = {name: field.annotation for name, field in RunConfig.model_fields.items()}
    sections["config"] = RunConfig
    sections |= {loc[1]: FeatureConfig for loc in unknown if loc[0] == "features"}
    if "task" in names:
        sections["task"] = config_of(settings["task"])
    return "; ".join(f"in {name}: {', '.join(sections[name].model_fields)}" for name in names) or None
