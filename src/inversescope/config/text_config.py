"""Section `text` of a config: targets inverted into natural text, and the evaluation of what is found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from inversescope import bounds
from inversescope.config.schema import Section

Spent = Annotated[int, Field(ge=0, le=bounds.SPENT)]


class TextConfig(Section):
    """Targets inverted into natural text: the prior is the subject's own text, and no generator is needed."""

    sites: tuple[str, ...] = Field(
        default=(),
        description="sites at which the targets are inverted into natural text, all of them among `collect.sites`; "
        "`[]`: none, and the step `text` does nothing",
    )
    length: Annotated[int, Field(ge=3, le=bounds.TOKENS)] | Literal["auto"] = Field(
        default="auto",
        description="number of tokens of an input, the prefix not counted; `auto`: those of the longest target, 16 at "
        "most. A longer target is stood for by its end",
    )
    nearest: Spent = Field(
        default=7000,
        description="tokens that the search for the nearest input of a target may read at a site; 0: no search. "
        "Ends and their beginnings take about two thirds of them at most, and edits the rest; with too few, a draw of "
        "the pool is what is found. The stored positions that it is compared with follow from it",
    )
    best: Spent = Field(
        default=0,
        description="the same for the search for the largest ln P(x) − δ²/2h², h = 0.1; 0: no search",
    )
    proposals: Annotated[int, Field(ge=0, le=bounds.SAMPLES)] = Field(
        default=2000,
        description="ends of one token that are proposed for the draws of a target at a site, and a quarter as many of "
        "two; 0: no draws",
    )
    bits: tuple[Annotated[float, Field(gt=0, le=64)], ...] = Field(
        default=(6.0,),
        description="bits by which the draws are narrower than the prior, or several numbers of bits",
    )
    samples: int = Field(default=32, ge=8, le=bounds.SAMPLES, description="number of draws at each number of bits")
    stored: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        default=(1, 4, 16),
        description="sizes of the pools of stored activations searched in comparison, in multiples of `nearest`: "
        "training inputs, read at every position; `collect.train` must have enough of them",
    )
    pool: int = Field(
        default=1024, ge=16, le=bounds.INPUTS, description="number of draws of the subject's own text in the pool"
    )
