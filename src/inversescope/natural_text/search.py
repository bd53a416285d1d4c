"""Searches for single inputs: the best by ln P(x) − δ²/2h², the nearest, and the shortest that explains the target.

None of them is a draw from the posterior, and none has a weight. A backward beam writes ends from right to left and
reads every end as if it were the whole input; beginnings of the pool are put before the ends; edits then replace parts
of the inputs found so far, and the better ones stay.

Dimensions: `n` inputs, `t` tokens of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.budget import Budget
from inversescope.natural_text.moves import Chains, Move, of_rows
from inversescope.natural_text.posterior import Scored, log_density
from inversescope.natural_text.proposals import BackwardProposal, Beginnings

Kind = Literal["best", "nearest", "shortest"]
Read = Callable[[Int[Tensor, "n t"], int], Scored]
Value = Callable[[Scored], Float[Tensor, " n"]]
# ln of the target's likelihood given an end, whatever stands before it, up to a constant for ends of one length.
Fits = Callable[[Int[Tensor, "n t"], Scored], Float[Tensor, " n"]]

WIDTH = 8  # ends that a beam goes on with
AMONG = 32  # tokens tried before each end
STATES = 8  # inputs that edits start from
EDITS = 4  # of each at a time


class Found(NamedTuple):
    """One input that was read."""

    tokens: tuple[int, ...]
    log_p: float
    distance: float


class Answer(NamedTuple):
    """Inputs of one search, the first the best by its measure.

    Attributes:
        kind: best, nearest or shortest.
        found: the inputs, each different.
        by_length: the best input of every length that was looked at.
        tokens: number of tokens that the subject read.
        seconds: time that it took.
        cancelled: ended by Ctrl-C.
    """

    kind: Kind
    found: list[Found]
    by_length: dict[int, Found]
    tokens: int
    seconds: float
    cancelled: bool


class Kept:
    """The best inputs of each length among all that were read."""

    def __init__(self, value: Value, count: int) -> None:
        self._value, self._count = value, count
        self._kept: dict[int, tuple[Int[Tensor, "n t"], Scored]] = {}

    def add(self, tokens: Int[Tensor, "n t"], scored: Scored) -> None:
        """Inputs of one length; those that were kept before and are better stay."""
        length = tokens.shape[1]
        if length in self._kept:
            old, known = self._kept[length]
            tokens = torch.cat([old, tokens])
            scored = Scored(*(torch.cat([a.double(), b.double()]) for a, b in zip(known, scored, strict=True)))
        first = torch.tensor(list({row: place for place, row in enumerate(map(tuple, tokens.tolist()))}.values()))
        values = self._value(of_rows(scored, first)).nan_to_num(nan=-torch.inf)
        rows = first[values.argsort(descending=True, stable=True)[: self._count]]
        self._kept[length] = tokens[rows], of_rows(scored, rows)

    def of_length(self, length: int) -> tuple[Int[Tensor, "n t"], Scored]:
        """The best of one length, the first the best."""
        return self._kept[length]

    @property
    def lengths(self) -> list[int]:
        """Lengths of which there are inputs."""
        return sorted(self._kept)

    def best(self, length: int) -> float:
        """The largest value of one length."""
        return float(self._value(of_rows(self._kept[length][1], torch.tensor([0]))))

    def found(self, length: int) -> list[Found]:
        """The best of one length, as records."""
        tokens, scored = self._kept[length]
        rows = zip(tokens.tolist(), scored.log_p.tolist(), scored.distance.tolist(), strict=True)
        return [Found(tuple(row), log_p, distance) for row, log_p, distance in rows]


class Search:
    """One search for one target: `ends`, `beginnings` and `edit` read, `kept` has what was found."""

    def __init__(
        self, read: Read, value: Value, end: BackwardProposal, budget: Budget, random: torch.Generator
    ) -> None:
        self.kept = Kept(value, STATES)
        self._read_inputs, self._end, self._budget, self._random = read, end, budget, random

    def read(self, tokens: Int[Tensor, "n t"], same_before: int = 0, note: str = "") -> Scored:
        """Read inputs, count their tokens, keep the best."""
        scored = self._read_inputs(tokens, same_before)
        self._budget.spend(len(tokens) * (tokens.shape[1] - same_before), note)
        self.kept.add(tokens, scored)
        return scored

    def ends(self, longest: int, fits: Fits, width: int = WIDTH, among: int = AMONG) -> Int[Tensor, "n t"]:
        """Backward beam to ends of `longest` tokens; the beams where it stopped.

        Ranked by the proposal's own probability of an end and by how well it fits.
        """
        beams, prior = torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, dtype=torch.float64)
        while beams.shape[1] < longest and self._budget.left:
            log_probs = self._end.log_probs(beams)
            best = log_probs.topk(min(among * (1 if beams.shape[1] else width), log_probs.shape[1]), dim=1)
            tokens = torch.cat([best.indices.reshape(-1, 1), beams.repeat_interleave(best.indices.shape[1], 0)], 1)
            prior = (prior[:, None] + best.values).reshape(-1)
            scored = self.read(tokens, note=f"ends of {tokens.shape[1]} tokens")
            rank = (prior + fits(tokens, scored)).nan_to_num(nan=-torch.inf)
            rows = rank.topk(min(width, len(rank))).indices
            beams, prior = tokens[rows], prior[rows]
        return beams

    def beginnings(self, pool: Beginnings, ends: Int[Tensor, "n t"], among: int = AMONG) -> None:
        """Whole inputs: before each end the beginnings of the pool that lead to it best."""
        length = pool.tokens.shape[1]
        kept = length - ends.shape[1]
        if kept <= 0:
            return
        rows = pool.log_next(kept, ends[:, 0]).topk(min(among, len(pool.tokens)), dim=1).indices
        for end, chosen in zip(ends, rows, strict=True):
            if not self._budget.left:
                return
            tokens = torch.cat([pool.tokens[chosen, :kept], end.expand(len(chosen), -1)], 1)
            self.read(tokens, kept, "beginnings")

    def edit(self, moves: Sequence[Move], bandwidth: float, length: int, edits: int = EDITS) -> None:
        """Proposals of one move from the best inputs of a length, each `edits` times."""
        tokens, scored = self.kept.of_length(length)
        rows = torch.arange(len(tokens)).repeat_interleave(edits)
        chains = Chains(tokens[rows], of_rows(scored, rows), torch.full((len(rows),), bandwidth, dtype=torch.float64))
        move = moves[int(torch.randint(len(moves), (), generator=self._random))]
        proposed = move.propose(chains, self._random)
        new = (proposed.tokens != chains.tokens).any(1)
        if new.any():
            self.read(proposed.tokens[new], proposed.same_before, f"edits of {length} tokens")


def by_density(bandwidth: float) -> Value:
    """ln P(x) − δ²/2h², the measure of the best and of the shortest."""
    return lambda scored: log_density(scored, bandwidth)


def by_distance(scored: Scored) -> Float[Tensor, " n"]:
    """−δ, the measure of the nearest."""
    return -scored.distance


def _answer(kind: Kind, kept: Kept, length: int, budget: Budget) -> Answer:
    by_length = {each: kept.found(each)[0] for each in kept.lengths}
    return Answer(kind, kept.found(length), by_length, budget.spent, budget.seconds, budget.cancelled)


class Material(NamedTuple):
    """The parts of a search that do not depend on its kind.

    Attributes:
        read: ln P and δ of inputs of any length up to the pool's.
        pool: draws from the prior.
        end: backward proposal for the target.
        fits: likelihood of the target given an end.
        moves: edits; they work on inputs of any length, but for those that need the pool.
        whole: edits of whole inputs only.
    """

    read: Read
    pool: Beginnings
    end: BackwardProposal
    fits: Fits
    moves: Sequence[Move]
    whole: Sequence[Move]


def of_given_length(
    kind: Literal["best", "nearest"], material: Material, bandwidth: float, budget: Budget, random: torch.Generator,
    longest_end: int = 4,
) -> Answer:  # fmt: skip
    """The best or the nearest inputs of the pool's length: beam, beginnings, then edits to the end of the budget."""
    value = by_density(bandwidth) if kind == "best" else by_distance
    search = Search(material.read, value, material.end, budget, random)
    pool = material.pool
    length = pool.tokens.shape[1]
    search.kept.add(pool.tokens, Scored(pool.token_log_p.sum(1).double(), pool.distance.double()))
    with budget:
        search.ends(min(longest_end, length), material.fits)
        for count in range(1, min(longest_end, length - 1) + 1):
            if count in search.kept.lengths:
                search.beginnings(pool, search.kept.of_length(count)[0])
        while budget.left:
            search.edit([*material.moves, *material.whole], bandwidth, length)
    return _answer(kind, search.kept, length, budget)


def shortest(material: Material, bandwidth: float, budget: Budget, random: torch.Generator) -> Answer:
    """The input of any length with the largest ln P(x) − δ²/2h²: every further token has to be worth its nats.

    The beam goes to the pool's length; edits then take turns over the best length and its neighbours.
    """
    search = Search(material.read, by_density(bandwidth), material.end, budget, random)
    kept = search.kept
    with budget:
        search.ends(material.pool.tokens.shape[1], material.fits)
        turn = 0
        while budget.left:
            best = _best_length(kept)
            length = best + (0, 1, -1)[turn % 3]
            search.edit(material.moves, bandwidth, length if length in kept.lengths else best)
            turn += 1
    if not kept.lengths:
        return Answer("shortest", [], {}, budget.spent, budget.seconds, budget.cancelled)
    return _answer("shortest", kept, _best_length(kept), budget)


def _best_length(kept: Kept) -> int:
    """The length of the largest value; of equal ones the shortest."""
    return max(kept.lengths, key=lambda length: (kept.best(length), -length))
