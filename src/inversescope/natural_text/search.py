"""Searches for single inputs: the best by ln P(x) − δ²/2h², the nearest, and the shortest that explains the target.

None of them is a draw from the posterior, and none has a weight. A backward beam writes ends from right to left and
reads every end as if it were the whole input; beginnings of the pool are put before the ends; edits then replace parts
of the inputs found so far, and the better ones stay.

Dimensions: `n` inputs, `t` tokens of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.budget import Budget
from inversescope.natural_text.edits import Edit
from inversescope.natural_text.moves import of_rows
from inversescope.natural_text.posterior import Scored, log_density
from inversescope.natural_text.proposals import BackwardProposal

Kind = Literal["best", "nearest", "shortest"]
Read = Callable[[Int[Tensor, "n t"], int], Scored]
Value = Callable[[Scored], Float[Tensor, " n"]]
# ln of the target's likelihood given an end, whatever stands before it, up to a constant for ends of one length.
Fit = Callable[[Int[Tensor, "n t"]], Float[Tensor, " n"]]
Keep = Callable[[Int[Tensor, "n t"]], None]
# The `k` draws of the pool whose beginnings go best with each end of an input.
Beginnings = Callable[[Int[Tensor, "n t"], int], Int[Tensor, "n k"]]

WIDTH = 8  # ends that a beam goes on with
AMONG = 32  # tokens tried before each end
STATES = 8  # inputs that edits start from
EDITS = 8  # of each at a time
ENDS, BEGUN = 1 / 2, 2 / 3  # parts of the budget after which no longer ends, and no beginnings, are tried
SHORT_ENDS = 1 / 2  # the same where the shortest is searched for, which has no beginnings
IN_VAIN = 50  # edits in a row without a new input, after which there are none


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
        self._tried: set[tuple[int, ...]] = set()
        self._in_vain = 0

    def read(self, tokens: Int[Tensor, "n t"], same_before: int = 0, note: str = "") -> Scored:
        """Read inputs, count their tokens, keep the best."""
        scored = self._read_inputs(tokens, same_before)
        self._budget.spend(len(tokens) * (tokens.shape[1] - same_before), note)
        self.kept.add(tokens, scored)
        return scored

    def ends(
        self, longest: int, fit: Fit, until: float, width: int = WIDTH, among: int = AMONG
    ) -> Iterator[Int[Tensor, "n t"]]:
        """Backward beam to ends of `longest` tokens, or until a part of the budget is used up; by the proposal's
        probability of an end and by its fit. The beams of each length are read as if they were whole inputs; the best
        ends of the length are given.
        """
        beams, prior = torch.zeros(1, 0, dtype=torch.long), torch.zeros(1)
        while beams.shape[1] < longest and self._budget.left and self._budget.share < until:
            log_probs = self._end.log_probs(beams)
            best = log_probs.topk(min(among * (1 if beams.shape[1] else width), log_probs.shape[1]), dim=1)
            tokens = torch.cat([best.indices.reshape(-1, 1), beams.repeat_interleave(best.indices.shape[1], 0)], 1)
            prior = (prior[:, None] + best.values).reshape(-1)
            rank = (prior + fit(tokens)).nan_to_num(nan=-torch.inf)
            self._budget.spend(tokens.numel(), f"ends of {tokens.shape[1]} tokens")
            rows = rank.topk(min(width, len(rank))).indices
            beams, prior = tokens[rows], prior[rows]
            self.read(beams, note=f"ends of {tokens.shape[1]} tokens")
            yield self.kept.of_length(tokens.shape[1])[0]

    def beginnings(
        self, pool: Int[Tensor, "r length"], ends: Int[Tensor, "n t"], choose: Beginnings, among: int = AMONG
    ) -> None:
        """Whole inputs: before each end the beginnings of the pool that go best with it, as long as there is budget."""
        kept = pool.shape[1] - ends.shape[1]
        for end, rows in zip(ends, choose(ends, min(among, len(pool))), strict=True):
            if not self._budget.left or self._budget.share >= BEGUN:
                return
            tokens = torch.cat([pool[rows, :kept], end.expand(len(rows), -1)], 1)
            self.read(tokens, kept, "beginnings")

    def edit(self, edits: Sequence[Edit], keep: Keep, length: int, count: int = EDITS) -> None:
        """Edits of one kind of the best inputs of a length, `count` of each; those that were tried before are left."""
        inputs, _ = self.kept.of_length(length)
        keep(inputs)
        edited = edits[int(torch.randint(len(edits), (), generator=self._random))](inputs, count, self._random)
        rows = [row for row, tokens in enumerate(edited.tokens.tolist()) if self._new(tuple(tokens))]
        self._in_vain = 0 if rows else self._in_vain + 1
        if rows:
            self.read(edited.tokens[rows], edited.same_before, f"edits of {length} tokens")

    @property
    def goes_on(self) -> bool:
        """There is a budget, and edits still lead to inputs that were not tried."""
        return self._budget.left and self._in_vain < IN_VAIN

    def _new(self, tokens: tuple[int, ...]) -> bool:
        if tokens in self._tried:
            return False
        self._tried.add(tokens)
        return True


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
        read: ln P and δ of inputs of any length up to the pool's; of δ alone where the nearest are searched for.
        pool: draws from the prior.
        scored: ln P and δ of each.
        end: backward proposal for the target.
        fit: likelihood of the target given an end.
        choose: draws whose beginnings go best with an end.
        keep: makes inputs known, so that what shares their beginnings is read from where it differs.
        edits: of inputs of any length.
        whole: edits of inputs of the pool's length.
    """

    read: Read
    pool: Int[Tensor, "r length"]
    scored: Scored
    end: BackwardProposal
    fit: Fit
    choose: Beginnings
    keep: Keep
    edits: Sequence[Edit]
    whole: Sequence[Edit]


def of_given_length(
    kind: Literal["best", "nearest"],
    material: Material,
    bandwidth: float,
    budget: Budget,
    random: torch.Generator,
    longest_end: int = 4,
) -> Answer:
    """The best or the nearest inputs of the pool's length: beam, beginnings, then edits to the end of the budget."""
    value = by_density(bandwidth) if kind == "best" else by_distance
    search = Search(material.read, value, material.end, budget, random)
    length = material.pool.shape[1]
    longest_end = min(longest_end, length - 1)
    search.kept.add(material.pool, material.scored)
    with budget:
        # An end serves behind a beginning only: so each length has its beginnings before a longer one is paid for.
        for ends in search.ends(longest_end, material.fit, ENDS):
            search.beginnings(material.pool, ends, material.choose)
        while search.goes_on:
            search.edit([*material.edits, *material.whole], material.keep, length)
    return _answer(kind, search.kept, length, budget)


def shortest(material: Material, bandwidth: float, budget: Budget, random: torch.Generator) -> Answer:
    """The input of any length with the largest ln P(x) − δ²/2h²: every further token has to be worth its nats.

    The beam goes to the pool's length; edits then take turns over the best length, its neighbours, and any other.
    """
    search = Search(material.read, by_density(bandwidth), material.end, budget, random)
    kept = search.kept
    with budget:
        for _ in search.ends(material.pool.shape[1], material.fit, SHORT_ENDS):
            pass
        while search.goes_on:
            best = _best_length(kept)
            other = kept.lengths[int(torch.randint(len(kept.lengths), (), generator=random))]
            for length in (best, best + 1, best - 1, other):
                if length in kept.lengths and search.goes_on:
                    search.edit(material.edits, material.keep, length)
    if not kept.lengths:
        return Answer("shortest", [], {}, budget.spent, budget.seconds, budget.cancelled)
    return _answer("shortest", kept, _best_length(kept), budget)


def _best_length(kept: Kept) -> int:
    """The length of the largest value; of equal ones the shortest."""
    return max(kept.lengths, key=lambda length: (kept.best(length), -length))
