"""Sections of a config: their keys, defaults, meanings and limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from inversescope import bounds
from inversescope.paths import ConfigPath, NameOrFolder
from inversescope.stats.kernel import Kernel
from inversescope.verdicts import has_channel

Query = Literal["clean", "noisy"]
Inputs = Annotated[int, Field(ge=1, le=bounds.INPUTS)]
Steps = Annotated[int, Field(ge=1, le=bounds.STEPS)]
Batch = Annotated[int, Field(ge=1, le=bounds.BATCH)]
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


class GeneratorConfig(Section):
    """The generator: the conditional model q(x | ẑ, s, h) that inputs are drawn from."""

    sites: tuple[str, ...] = Field(
        default=("resid_post.*",),
        description="sites that the generator is trained for, all of them among `collect.sites`; `[]`: no generator, "
        "and the reference alone is scored",
    )
    stored: Inputs = Field(
        default=8192,
        description="number of inputs whose activations the generator keeps, read or predicted; all of them if "
        "`collect.train` is `all`; a prior that has no more is kept whole",
    )
    encoder: Literal["regression", "residual"] = Field(
        default="regression",
        description="map from an activation to the condition. `regression`: linear (Wiener) and kernel "
        "(Nadaraya-Watson) regression of the input's principal components, fitted in closed form; `residual`: a "
        "learned residual network, as in InversionView",
    )
    conditioning: Literal["adaln", "slot"] = Field(
        default="adaln",
        description="way of the condition into the decoder. `adaln`: scale, shift and gate of every sublayer; "
        "`slot`: a key and a value in every attention, as in InversionView",
    )
    width: int = Field(
        default=128, ge=1, le=bounds.WIDTH, description="size of the decoder's hidden state; a multiple of `heads`"
    )
    layers: int = Field(default=2, ge=1, le=bounds.LAYERS, description="number of the decoder's transformer blocks")
    heads: int = Field(default=4, ge=1, le=bounds.HEADS, description="number of its attention heads")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if 12 * self.layers * self.width**2 > bounds.WEIGHTS:
            raise ValueError(f"width {self.width} and layers {self.layers} have more than {bounds.WEIGHTS:,} weights")
        return self


class TrainConfig(Section):
    """Training of the generator: next-token loss on inputs, given activations with and without noise."""

    steps: Steps = Field(default=1000, description="optimizer steps at most; fewer if every site is calibrated before")
    check: Steps = Field(
        default=200,
        description="steps from one check of the calibration to the next; after a check, sites with a larger error are "
        "trained more often",
    )
    batch: Batch = Field(default=256, description="training pairs in a step, divided evenly among its sites")
    parts: int = Field(
        default=1,
        ge=1,
        le=bounds.PARTS,
        description="parts of a step's batch, each with its own random numbers; their gradients are added in order, "
        "so any number of workers (up to this) computes the same weights; 1: training is not spread over workers",
    )
    inputs_per_condition: Batch = Field(
        default=4,
        description="training pairs that share a condition, each with another input near its target, where the "
        "generator keeps the whole prior; 1 elsewhere",
    )
    sites_per_step: Batch = Field(default=16, description="number of sites in a step, drawn anew for each step")
    learning_rate: float = Field(
        default=3e-3,
        gt=0,
        le=bounds.RATE,
        description="highest learning rate, after a linear warm-up; it falls linearly to zero",
    )
    bandwidths: tuple[Radius, Radius] | Literal["range"] = Field(
        default="range",
        description="lowest and highest bandwidth h of the noise in training, as radii in δ; `range`: found on the "
        "pool for each site, from one neighbour to the whole prior",
    )
    unconditional: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of training pairs without a condition, 0 to below 1; they train the generator's own prior",
    )
    emulate: bool = Field(
        default=True,
        description="train on inputs of the prior that were not read, too, with activations predicted from those that "
        "were; `false`: only on inputs that were read",
    )
    clean: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="share of training pairs whose activation has no noise, 0 to 1, where the generator keeps the "
        "whole prior; the others, and those of a larger prior, have noise of width h",
    )

    @model_validator(mode="after")
    def _a_pair_for_every_part(self) -> Self:
        if self.parts > self.batch:
            raise ValueError(f"parts {self.parts} are more than the pairs of a step, batch {self.batch}")
        return self

    @model_validator(mode="after")
    def _range_in_order(self) -> Self:
        if self.bandwidths == "range":
            return self
        low, high = self.bandwidths
        if low >= high:
            raise ValueError(f"bandwidths must rise, and {low} is not below {high}")
        return self


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


class CalibrateConfig(Section):
    """Comparison of the generator with the exact posterior, or with the reference if the prior is not enumerated."""

    targets: int = Field(
        default=160,
        ge=2,
        le=bounds.TARGETS,
        description="number of inputs of the pool that stand in for targets, 2 or more",
    )
    queries: tuple[Query, ...] = Field(
        default=("clean",),
        min_length=1,
        description="conditions that are compared. `clean`: the activation itself; `noisy`: with noise of width h",
    )
    bandwidths: tuple[Radius, ...] | Literal["range"] = Field(
        default=(),
        description="bandwidths h of the noise that are compared; `[]`: those of the samples; `range`: five for each "
        "site, over the range that it is trained for",
    )


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
