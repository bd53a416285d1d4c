"""Config of a run: one TOML file, frozen, without unknown keys."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from inversescope.errors import UserError
from inversescope.features.feature_config import FeatureConfig
from inversescope.tasks import IOIConfig, TaskSection, config_of

Query = Literal["clean", "noisy"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SubjectConfig(_Section):
    """The frozen language model being read."""

    model: str = Field(default="smollm2", description="`smollm2` (bundled), a Hugging Face name, or a folder")
    device: str = Field(default="auto", description="`auto`, `cpu`, `cuda`, `cuda:N`, or `all`: over every GPU")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="`auto`: bfloat16 where the device computes in it fast, else float32"
    )
    bits: Literal[4, 8] | None = Field(
        default=None, description="of a weight, rounded as it is loaded (extra `quantized`); null: as they are"
    )
    attention: Literal["sdpa", "eager", "flash_attention_2", "flex_attention"] | None = Field(
        default=None, description="the attention kernel, by transformers' name; null: what transformers chooses"
    )
    revision: str | None = Field(default=None, description="a branch, tag or commit of the Hugging Face hub")
    projections: dict[str, Path] = Field(
        default={}, description="files through which sites may be seen, by name: `probe@resid_post.15`"
    )


class CollectConfig(_Section):
    """Inputs drawn from the prior, and the sites at which they are read."""

    sites: tuple[str, ...] = Field(
        default=("resid_post.*",), min_length=1, description="where the reference is computed; wildcards allowed"
    )
    train: PositiveInt | Literal["all"] = Field(
        default=5000, description="inputs that the generator is trained on; `all`: every input of the prior"
    )
    pool: Annotated[int, Field(ge=2)] | Literal["all"] = Field(
        default=3000,
        description="inputs of the reference, and of the statistics of each site; `all`: every input of the prior, "
        "with its probability, which makes the reference exact",
    )
    targets: int = Field(default=24, ge=2, description="inputs whose activations are explained")
    shard: PositiveInt = Field(default=1024, description="inputs a shard: what an interruption can cost")

    @model_validator(mode="after")
    def _train_is_read_with_the_pool(self) -> Self:
        if self.train == "all" and self.pool != "all":
            raise ValueError('train = "all" needs pool = "all": the inputs are read once, for both')
        return self


class GeneratorConfig(_Section):
    """The generator: the conditional model q(x | ẑ, s, h), over the prior's vocabulary."""

    sites: tuple[str, ...] = Field(
        default=("resid_post.*",), min_length=1, description="the sites it serves; each must be among collect.sites"
    )
    stored: PositiveInt = Field(
        default=4096,
        description="training inputs whose activations are stored at each site; a whole prior is stored whole",
    )
    encoder: Literal["regression", "residual", "identity"] = Field(
        default="regression",
        description="`regression`: linear (Wiener) and kernel (Nadaraya-Watson) regression of the input's principal "
        "components, fitted in closed form; `residual`: a learned residual network; `identity`: a learned linear map",
    )
    conditioning: Literal["adaln", "control", "slot", "prefix"] = Field(
        default="adaln",
        description="how the encoded activation enters the backbone. `adaln`: scale, shift and gate of every sublayer; "
        "`control`: cross-attention after every block; `slot`: a key and a value in every attention; `prefix`: "
        "embeddings before the first token",
    )
    backbone: str = Field(
        default="scratch",
        description="`scratch`, `subject`, or a model with the subject's tokenizer (Hugging Face name, folder)",
    )
    tuning: Literal["full", "frozen", "lora"] = Field(
        default="full",
        description="how the backbone is trained. `full`: all of it; `frozen`: not at all (see train.pretrain); "
        "`lora`: low-rank adapters of a pretrained one",
    )
    width: PositiveInt = Field(default=128, description="width of the hidden state and of the condition, from scratch")
    layers: PositiveInt = Field(default=2, description="transformer blocks: from scratch, or the first of a pretrained")
    heads: PositiveInt = Field(default=4, description="attention heads from scratch; they divide the width")

    @model_validator(mode="after")
    def _scratch_has_a_shape(self) -> Self:
        if self.backbone == "scratch" and self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.backbone == "scratch" and self.tuning == "lora":
            raise ValueError("tuning 'lora' needs a pretrained backbone, and it is 'scratch' (allowed: full, frozen)")
        return self


class TrainConfig(_Section):
    """Training of the generator: next-token loss on noised activations."""

    steps: PositiveInt = Field(default=1000, description="optimizer steps, unless every site is calibrated before")
    check: PositiveInt = Field(default=200, description="steps between checks of the calibration")
    pretrain: int = Field(
        default=0,
        ge=0,
        description="earlier steps in which the backbone alone is trained, on inputs without activations",
    )
    batch: PositiveInt = Field(default=256, description="training pairs per step, shared evenly by the step's sites")
    inputs_per_condition: PositiveInt = Field(
        default=1, description="training pairs that share a condition, where their inputs are neighbours of a target"
    )
    sites_per_step: PositiveInt = Field(default=16, description="sites in one step, drawn anew for each")
    learning_rate: PositiveFloat = Field(default=3e-3, description="peak; linear warm-up, then linear to zero")
    bandwidths: tuple[PositiveFloat, PositiveFloat] | Literal["range"] = Field(
        default="range",
        description="the range from which bandwidths are drawn, log-uniformly; `range`: for each site from one "
        "neighbour to the prior, found on the pool",
    )
    weight_decay: float = Field(default=0.01, ge=0, description="of AdamW")
    unconditional: float = Field(default=0.1, ge=0, lt=1, description="share of training pairs without a condition")
    clean: float = Field(default=0.8, ge=0, le=1, description="share of clean queries, where neighbours suffice")
    checkpoint: PositiveInt = Field(default=100, description="steps between checkpoints")

    @model_validator(mode="after")
    def _range_in_order(self) -> Self:
        if self.bandwidths == "range":
            return self
        low, high = self.bandwidths
        if low >= high:
            raise ValueError(f"bandwidths must rise, and {low} is not below {high}")
        return self


class SampleConfig(_Section):
    """Draws for every target at every site of the generator."""

    bandwidths: tuple[PositiveFloat, ...] = Field(
        default=(0.05, 0.1, 0.3, 0.5), min_length=1, description="where consistency is measured, as radii in δ"
    )
    samples: PositiveInt = Field(default=32, description="samples for each target, site and bandwidth")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.bandwidths)) < len(self.bandwidths):
            raise ValueError(f"a bandwidth is named twice in {list(self.bandwidths)}")
        return self


class CalibrateConfig(_Section):
    """Comparison of the generator with the truth, or with the reference if the truth is not known."""

    targets: int = Field(default=32, ge=2, description="inputs of the pool that stand in for targets")
    draws: PositiveInt = Field(default=32, description="draws for each of them at each question")
    queries: tuple[Query, ...] = Field(
        default=("clean",),
        min_length=1,
        description="`clean`: the activation itself; `noisy`: seen through the channel",
    )
    bandwidths: tuple[PositiveFloat, ...] | Literal["range"] = Field(
        default=(), description="none: those of `sample`; `range`: five at each site, from one neighbour to the prior"
    )


class CausalConfig(_Section):
    """Causal check, does the subject use what a site encodes: its source inputs, run with other activations."""

    targets: PositiveInt = Field(default=32, description="source inputs run so, from the first; fewer where there are")
    donors: PositiveInt = Field(
        default=4, description="activations of each kind put in: of the same label, of another, of random inputs"
    )
    bandwidth: PositiveFloat | None = Field(
        default=None, description="whose samples give them, one of sample.bandwidths; null: the largest"
    )


class RunConfig(_Section):
    """A whole run."""

    seed: int = Field(default=0, ge=0, lt=2**32, description="every random number of the run follows from it")
    subject: SubjectConfig = SubjectConfig()
    task: TaskSection = IOIConfig()
    features: dict[str, FeatureConfig] = Field(default={}, description="more features than the task's, by name")
    collect: CollectConfig = CollectConfig()
    generator: GeneratorConfig = GeneratorConfig()
    train: TrainConfig = TrainConfig()
    calibrate: CalibrateConfig = CalibrateConfig()
    sample: SampleConfig = SampleConfig()
    causal: CausalConfig = CausalConfig()

    @model_validator(mode="after")
    def _donors_are_sampled(self) -> Self:
        if self.causal.bandwidth not in (None, *self.sample.bandwidths):
            raise ValueError(f"causal.bandwidth {self.causal.bandwidth} is not among {list(self.sample.bandwidths)}")
        return self

    @model_validator(mode="after")
    def _bandwidths_are_trained(self) -> Self:
        if self.train.bandwidths == "range":
            return self
        low, high = self.train.bandwidths
        outside = [h for h in self.sample.bandwidths if not low <= h <= high]
        if outside:
            raise ValueError(f"sample.bandwidths {outside} lie outside train.bandwidths {low} to {high}")
        return self

    @model_validator(mode="after")
    def _frozen_has_learned(self) -> Self:
        if (self.generator.backbone, self.generator.tuning, self.train.pretrain) == ("scratch", "frozen", 0):
            raise ValueError("a backbone from scratch must learn before it is frozen: train.pretrain must be above 0")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """The config in a TOML file.

        Raises:
            UserError: there is no such file, it is not TOML, or it has an unknown, wrong or contradictory key.
        """
        try:
            return cls.parse(path.read_bytes().decode("utf-8"), str(path))
        except OSError as error:
            remedy = "inversescope demo --print-config > my.toml"
            raise UserError("the config cannot be read", given=f"{path}: {error.strerror}", remedy=remedy) from error
        except UnicodeDecodeError as error:
            raise UserError("the config is not UTF-8 text", given=f"{path}: {error}") from error

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """The config in TOML text; `name` is used in messages."""
        settings: dict[str, Any] = {}
        try:
            settings = tomllib.loads(text)
            return cls.model_validate(settings)
        except tomllib.TOMLDecodeError as error:
            raise UserError("the config is not valid TOML", given=f"{name}: {error}") from error
        except ValidationError as error:
            problems = "; ".join(_problem(**problem) for problem in error.errors(include_url=False))
            raise UserError(
                f"the config {name} cannot be used", given=problems, allowed=_keys(error, settings)
            ) from error


def sections() -> dict[str, type[BaseModel]]:
    """The sections of a config by name, but for `task`, whose keys depend on the task; `seed` stands outside."""
    found = {name: field.annotation for name, field in RunConfig.model_fields.items() if name != "task"}
    models = {name: kind for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}
    return {**models, "features.NAME": FeatureConfig}


def keys(section: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Each key of a section with its default and its meaning."""
    for key, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "(needed)" if field.is_required() else json.dumps(default, default=str, ensure_ascii=False)
        yield key, shown, field.description or ""


def _problem(loc: tuple[int | str, ...], msg: str, type: str, input: object, **_: object) -> str:
    """One wrong key, what is wrong about it, and its value where that is short and not in the message."""
    where = ".".join(map(str, loc)) or "config"
    said = "there is no such key" if type == "extra_forbidden" else msg.removeprefix("Value error, ")
    shown = type not in ("missing", "extra_forbidden", "value_error") and len(repr(input)) <= 80
    return f"{where}: {said}" + (f" (given {input!r})" if shown else "")


def _keys(error: ValidationError, settings: dict[str, Any]) -> str | None:
    """The keys of the sections in which unknown ones were found."""
    unknown = [problem["loc"] for problem in error.errors() if problem["type"] == "extra_forbidden"]
    found = dict.fromkeys(loc[-2] if len(loc) > 1 else "config" for loc in unknown)
    sections: dict[str | int, Any] = {name: field.annotation for name, field in RunConfig.model_fields.items()}
    sections["config"] = RunConfig
    sections |= {loc[1]: FeatureConfig for loc in unknown if loc[0] == "features"}
    if "task" in found:
        sections["task"] = config_of(settings["task"])
    return "; ".join(f"in {name}: {', '.join(sections[name].model_fields)}" for name in found) or None
