"""Sections of a config: their keys, defaults, meanings and limits; those of the generator are in `generator_config`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inversescope import bounds
from inversescope.paths import ConfigPath, NameOrFolder
from inversescope.stats.kernel import Kernel
from inversescope.verdicts import has_channel

Inputs = Annotated[int, Field(ge=1, le=bounds.INPUTS)]
Radius = Annotated[float, Field(gt=0, le=bounds.RADIUS)]
DistanceName = Literal["standardized", "euclidean", "cosine", "relative"]


class Section(BaseModel):
    """A section: unknown keys are refused, and values cannot be changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SubjectConfig(Section):
    """The frozen language model whose activations are explained."""

    model: NameOrFolder = Field(
        default="smollm2", description="model: `smollm2` (bundled), a name on the Hugging Face hub, or a folder"
    )
    device: str = Field(
        default="auto",
        description="device of the model: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:N`, or `all` "
        "(its layers are spread over all GPUs)",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="number format of weights and activations; `auto`: bfloat16 if the device is fast in it, "
        "else float32",
    )
    bits: Literal[4, 8] | None = Field(
        default=None,
        description="bits of each weight, 4 or 8, to which it is rounded when the model is loaded (needs the extra "
        "`quantized`); not set: weights are not rounded",
    )
    attention: Literal["sdpa", "eager", "flash_attention_2", "flex_attention"] | None = Field(
        default=None, description="attention kernel, as transformers names it; not set: transformers chooses"
    )
    prefix: Literal["auto", "none"] | tuple[Annotated[int, Field(ge=0, le=bounds.INPUTS)], ...] = Field(
        default="auto",
        description="tokens that start every input. `auto`: those that the model's own tokenizer puts before a text; "
        "`none`; or a list of their ids, such as `[0]`",
    )
    revision: str | None = Field(
        default=None, description="branch, tag or commit on the Hugging Face hub; not set: the main branch"
    )
    projections: dict[str, ConfigPath] = Field(
        default={},
        description="files of projections, by a name of your choice: a probe's direction, a subspace, or the encoder "
        'of a sparse autoencoder; `probe = "FILE"` makes sites such as `probe@resid_post.15`',
    )


class CollectConfig(Section):
    """Inputs drawn from the prior, and the sites whose activations are stored."""

    sites: tuple[str, ...] = Field(
        default=("resid_post.*",),
        min_length=1,
        description="sites whose activations are stored and for which the reference is computed; `*` is every number",
    )
    train: Inputs | Literal["all", "auto"] = Field(
        default="auto",
        description="number of training inputs of the generator; `all`: every input of the prior (`pool` too); `auto`: "
        "5000, or all of a file with no more than 8024 different inputs",
    )
    pool: Annotated[Inputs, Field(ge=2)] | Literal["all", "auto"] = Field(
        default="auto",
        description="number of inputs, 2 or more, from which the reference and the mean and deviation of each site "
        "are computed; `all`: every input of the prior with its probability, which makes the reference exact; `auto`: "
        "3000, or all of a file with no more than 8024 different inputs",
    )
    targets: Annotated[int, Field(ge=2, le=bounds.TARGETS)] | Literal["auto"] = Field(
        default="auto",
        description="number of inputs whose activations are explained, 2 or more; `auto`: 24, or all of a file that "
        "has fewer",
    )
    shard: Inputs = Field(
        default=1024,
        description="number of inputs whose activations are in memory at a time and go into one file; an interruption "
        "costs one shard at most",
    )

    @model_validator(mode="after")
    def _train_is_read_with_the_pool(self) -> Self:
        if self.train == "all" and self.pool not in ("all", "auto"):
            raise ValueError('train = "all" needs pool = "all": the inputs are read once, for both')
        return self


class NeighbourhoodConfig(Section):
    """Neighbourhood of an activation, for the whole run: the distance δ and the kernel by which inputs count."""

    distance: DistanceName = Field(
        default="standardized",
        description="distance of two activations. `standardized`: root mean square of the differences, each coordinate "
        "over its standard deviation; `euclidean`: one scale for the whole site; `cosine`: √(2 (1 − cos)) of the "
        "activations less their mean; `relative`: ‖z − ẑ‖ / ‖ẑ‖, as in InversionView",
    )
    kernel: Kernel = Field(
        default=Kernel.GAUSSIAN,
        description="weight of an input by its distance. `gaussian`: exp(−(δ/h)²/2); `ball`: 1 up to δ = h, 0 beyond "
        "(with the bandwidth h for ε, InversionView's ε-preimage)",
    )

    @property
    def has_channel(self) -> bool:
        """True where the generator has a noise channel of this distance and kernel."""
        return has_channel(self.distance, self.kernel)


class SampleConfig(Section):
    """Samples for every target at every site of the generator."""

    resolutions: tuple[Annotated[float, Field(gt=1, le=bounds.RADIUS)], ...] = Field(
        default=(512, 64, 8),
        description="resolutions N at which samples are drawn and features scored: one input in N of the prior "
        "remains, the same at every site; the bandwidth h of each site follows",
    )
    bandwidths: tuple[Radius, ...] = Field(
        default=(),
        description="bandwidths h in place of resolutions, as radii in δ, the same at every site; `[]`: none",
    )
    samples: int = Field(
        default=32,
        ge=1,
        le=bounds.SAMPLES,
        description="number of samples for each target, site and resolution or bandwidth",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_or_the_other(cls, given: Any) -> Any:
        """Bandwidths take the place of the default resolutions."""
        if isinstance(given, dict) and given.get("bandwidths") and "resolutions" not in given:
            return given | {"resolutions": ()}
        return given

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if bool(self.resolutions) == bool(self.bandwidths):
            given = "both are" if self.resolutions else "neither is"
            raise ValueError(f"resolutions or bandwidths must be set, and {given}")
        for name, values in (("resolution", self.resolutions), ("bandwidth", self.bandwidths)):
            if len(set(values)) < len(values):
                raise ValueError(f"a {name} is named twice in {list(values)}")
        return self


class CausalConfig(Section):
    """Causal test: the source inputs of the targets are run with other activations at a site."""

    resolution: float | None = Field(
        default=None,
        gt=1,
        le=bounds.RADIUS,
        description="resolution N of the samples whose activations are put in, one of `sample.resolutions`; not set: "
        "the coarsest",
    )
    bandwidth: Radius | None = Field(
        default=None,
        description="the same for `sample.bandwidths`: bandwidth h of these samples; not set: the largest",
    )
    continuation: Annotated[int, Field(ge=0, le=bounds.TOKENS)] | str = Field(
        default=0,
        description="what stands between the token whose activation is replaced and the prediction that is compared: a "
        "number of tokens, the model's own continuation of the input, or a text; 0: nothing (the next token)",
    )


class ClusterConfig(Section):
    """Workers that do the steps (docs/cluster.md); the options of the command stand over it. It decides no number but
    by `threads`, and a run may go on with other values of the others.
    """

    address: str | None = Field(
        default=None,
        description="`auto` (a Ray cluster that runs on this machine), `HOST:PORT` of one, `local:N` (one of N nodes "
        "on this machine) or `processes:N` (without Ray); not set: this process",
    )
    workers: Annotated[int, Field(ge=1, le=bounds.WORKERS)] | None = Field(
        default=None, description="number of workers on a Ray cluster; not set: as many as fit"
    )
    threads: Annotated[int, Field(ge=1, le=bounds.THREADS)] | None = Field(
        default=None,
        description="threads of each worker, and of this process, which decide the last bits of sums; not set: those "
        "of this process",
    )
    gpus: float = Field(default=0.0, ge=0, le=bounds.GPUS, description="GPUs of each worker on a Ray cluster")
    storage: ConfigPath | None = Field(
        default=None,
        description="folder of the runs, which every node sees under this path: without `--out`, a run is made in it; "
        "not set: `runs`",
    )
