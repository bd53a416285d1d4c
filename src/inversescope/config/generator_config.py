"""Sections of the generator: its network, its training, and its comparison with the posterior."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inversescope import bounds
from inversescope.config.schema import Inputs, Radius, Section

Query = Literal["clean", "noisy"]
Steps = Annotated[int, Field(ge=1, le=bounds.STEPS)]
Batch = Annotated[int, Field(ge=1, le=bounds.BATCH)]


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
