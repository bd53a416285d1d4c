"""A small subject with a prior of 256 inputs, all of them listed, for tests of inversion on natural text."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import small_subject
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text import pool
from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.posterior import EnumerablePosterior
from inversescope.natural_text.prior import Prior, PriorTokens
from inversescope.natural_text.question import Question
from inversescope.sites import Site
from inversescope.subject import Subject

SITE, LENGTH, TOP = "resid_post.1", 4, 4
PRIOR = Prior(openings=("Then, Mary", "When"), temperature=0.8, top=TOP)


class Listed(NamedTuple):
    """A subject ready to be inverted, and every input with ln P and standardized activation, by whole passes."""

    text: NaturalText
    inputs: Int[Tensor, "m t"]
    log_p: Float[Tensor, " m"]
    activations: Float[Tensor, "m d"]

    def question(self, row: int) -> Question:
        """The question whose target is the activation of one input."""
        units = self.text.sites[Site.parse(SITE)].units
        return self.text.question(self.activations[row] * units.deviation + units.mean, SITE)

    def exact(self, row: int) -> EnumerablePosterior:
        """The truth about it."""
        distance = ((self.activations - self.activations[row]) ** 2).mean(1).sqrt()
        return EnumerablePosterior(self.inputs, self.log_p, distance, len(self.text.words.first))


@cache
def listed(folder: Path) -> Listed:
    """Made once a session, in a folder."""
    subject = Subject.load(str(small_subject.save_subject(folder / "subject")), device="cpu", dtype="float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVERSESCOPE_CACHE", str(folder / "cache"))
        patch.setattr(pool, "STEP", LENGTH)  # no longer than needed
        text = NaturalText.open(subject, sites=[SITE], length=LENGTH, prior=PRIOR, draws=8192)
    inputs, log_p = _every_input(subject)
    site = Site.parse(SITE)
    rows = [(*subject.prefix, *row) for row in inputs.tolist()]
    activations = text.sites[site].units.standardize(subject.capture(rows, [site]).activations[site])
    return Listed(text, inputs, log_p, activations)


def _every_input(subject: Subject) -> tuple[Int[Tensor, "m t"], Float[Tensor, " m"]]:
    rows: list[tuple[int, ...]] = [()]
    logs = torch.zeros(1)
    for _ in range(LENGTH):
        if rows == [()]:
            nexts = PriorTokens(subject, PRIOR).first[None]
        else:
            tokens = torch.tensor([[*subject.prefix, *row] for row in rows])
            scores = subject.model(input_ids=tokens).logits[:, -1].float() / PRIOR.temperature
            best = scores.topk(TOP, dim=-1)
            nexts = torch.full_like(scores, -math.inf).scatter(-1, best.indices, best.values).log_softmax(-1)
        chosen = [row.isfinite().nonzero()[:, 0].tolist() for row in nexts]
        logs = torch.cat([logs[i] + nexts[i, tokens] for i, tokens in enumerate(chosen)])
        rows = [(*row, token) for row, tokens in zip(rows, chosen, strict=True) for token in tokens]
    return torch.tensor(rows), logs
