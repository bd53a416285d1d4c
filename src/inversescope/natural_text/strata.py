"""Weighted draws from the posterior: the last tokens from a proposal, the beginning from the pool, exact weights.

A stratum has ends of n tokens. The beginning is a draw of the pool, chosen by how well it leads to the end: by the
subject's probability of the end's first token behind it, and by what a bridge says of both. With n = 0 the draws of the
pool themselves are weighted. Each stratum by itself estimates Z = Σ P(x) k(δ/h) without bias, whatever the proposal.

Dimensions: `n` proposals, `t` tokens of an input, `e` distinct ends, `r` beginnings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.ends import PLAIN
from inversescope.natural_text.posterior import EndProposal
from inversescope.natural_text.question import Question
from inversescope.progress import Progress, silent

_AT_ONCE = 1024  # proposals whose beginnings are drawn at once
HALVES = 2  # of the pool, each with proposals of its own


class Stratum(NamedTuple):
    """Proposals with ends of one length behind one half of the pool.

    Attributes:
        end: tokens of the ends; 0: draws of the pool themselves.
        half: number of the half.
        tokens: the inputs.
        distance: δ of each.
        log_weight: ln of P(x) over the proposal's density, without the kernel.
        log_p: ln P(x).
    """

    end: int
    half: int
    tokens: Int[Tensor, "n t"]
    distance: Float[Tensor, " n"]
    log_weight: Float[Tensor, " n"]
    log_p: Float[Tensor, " n"]


def strata(
    question: Question,
    ends: EndProposal,
    draws: Mapping[int, int],
    rng: torch.Generator,
    progress: Progress = silent,
) -> list[Stratum]:
    """The pool itself, and proposals: so many of each length of ends, half of them behind each half of the pool."""
    size = len(question.pool)
    halves = torch.arange(size).split(-(-size // HALVES))
    own = question.of_standardized(question.data.pool)
    log_p = question.pool.log_p[:, : question.length].sum(1)
    inputs = question.pool.tokens[:, : question.length]
    found = [
        Stratum(0, number, inputs[rows], own[rows], torch.zeros(len(rows)), log_p[rows])
        for number, rows in enumerate(halves)
    ]
    done, total = 0, sum(draws.values())
    for length, count in draws.items():
        for number, rows in enumerate(halves):

            def read(inputs: int, before: int = done) -> None:
                progress(before + inputs, total, "proposed inputs read")

            read(0)
            found.append(_stratum(question, ends, length, number, rows, count // HALVES, rng, read))
            done += count // HALVES
    return found


def _stratum(
    question: Question,
    ends: EndProposal,
    length: int,
    half: int,
    rows: Int[Tensor, " r"],
    n: int,
    rng: torch.Generator,
    progress: Callable[[int], None],
) -> Stratum:
    drawn, log_g = ends.draw(n, length, rng)
    distinct, which = drawn.unique(dim=0, return_inverse=True)
    log_first, chance = leading(question, distinct, rows)
    place = _drawn(chance, which, rng)
    chosen = rows[place]
    distance, log_rest = _read(question, chosen, drawn, progress)
    first, log_chance = (of[which.to(of.device), place.to(of.device)].cpu() for of in (log_first, chance.log()))
    log_weight = first - math.log(len(rows)) + log_rest - log_g - log_chance
    begun = question.length - length
    log_p = question.pool.log_p[chosen, :begun].sum(1) + first + log_rest
    tokens = torch.cat([question.pool.tokens[chosen, :begun], drawn], 1)
    return Stratum(length, half, tokens, distance, log_weight, log_p)


def leading(
    question: Question, ends: Int[Tensor, "e k"], rows: Int[Tensor, " r"]
) -> tuple[Float[Tensor, "e r"], Float[Tensor, "e r"]]:
    """ln P of each end's first token behind each beginning, and the probability with which each is chosen; on the
    subject's device.
    """
    data, length = question.data, ends.shape[1]
    tokens, which = ends[:, 0].unique(return_inverse=True)
    beginnings = data.beginnings[length][rows]
    log_first = question.pool.next_of(question.words, question.length - length, tokens)[rows].T[which]
    log_first = log_first.to(beginnings.device)
    parts = [log_first.log_softmax(1) + math.log(PLAIN)]
    predicted = data.bridges[length].ends(question.alone(ends))
    bridge, share = data.bridges[length], math.log((1 - PLAIN) / len(question.bandwidths))
    for h in question.bandwidths:
        fit = bridge.log_kernel(question.target, predicted, h, beginnings)
        parts.append((log_first + fit).log_softmax(1) + share)
    chance = torch.stack(parts).logsumexp(0).exp().double()
    return log_first.double(), torch.where(chance.isnan(), 1 / len(rows), chance)  # NaN: none leads to the end


def _drawn(chance: Float[Tensor, "e r"], which: Int[Tensor, " n"], rng: torch.Generator) -> Int[Tensor, " n"]:
    """A draw for each proposal from the probabilities of its end, where the running sum passes a uniform number."""
    passed = chance.cumsum(1)
    at = torch.rand(len(which), 1, generator=rng, dtype=torch.float64).to(chance.device)
    rows, drawn = which.to(chance.device), []
    for part, level in zip(rows.split(_AT_ONCE), at.split(_AT_ONCE), strict=True):
        drawn.append(torch.searchsorted(passed[part], level * passed[part, -1:], right=True)[:, 0])
    return torch.cat(drawn).clamp_max(chance.shape[1] - 1).cpu()


def _read(
    question: Question, chosen: Int[Tensor, " n"], ends: Int[Tensor, "n k"], progress: Callable[[int], None]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """δ of every input, and ln P of its end behind the end's first token; equal inputs are read once. `progress` is
    called with the number of those read.
    """
    pairs, which = torch.cat([chosen[:, None], ends], 1).unique(dim=0, return_inverse=True)
    reader, site = question.reader, question.data.site
    begun = len(reader.subject.prefix) + question.length - ends.shape[1]
    distance, log_rest = [], []
    for number, part in enumerate(pairs.split(reader.rows)):
        progress(number * reader.rows)
        rows, end = part[:, 0], part[:, 1:]
        past = question.pool.key_values.rows(rows, begun, reader.layers if end.shape[1] == 1 else None)
        rest = torch.zeros(len(end), dtype=torch.float64)
        if end.shape[1] > 1:
            read = reader.read(end[:, :-1], past, whole=True)
            assert read.hidden is not None
            for k in range(end.shape[1] - 1):
                rest += question.words.next_of(read.hidden[:, k], end[:, k + 1])
            past = type(read.key_values)(read.key_values.layers[: reader.layers])
        last = reader.read(end[:, -1:], past, last=True)
        distance.append(question.distance(last.activations[site][:, 0]))
        log_rest.append(rest)
    return torch.cat(distance)[which], torch.cat(log_rest)[which]
