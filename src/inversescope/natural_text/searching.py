"""Single inputs for one activation of a real subject: the best, the nearest, the shortest; and their record.

Dimensions: `n` ends or inputs, `t` tokens of each, `k` draws of the pool for each, `v` the vocabulary.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope import files
from inversescope.errors import UserError
from inversescope.natural_text.answer import FoundText
from inversescope.natural_text.beginnings import PoolBeginnings
from inversescope.natural_text.budget import Budget
from inversescope.natural_text.edits import one_token, other_beginning, splice
from inversescope.natural_text.pairs import PairsBackward
from inversescope.natural_text.posterior import Scored
from inversescope.natural_text.question import Question, Source
from inversescope.natural_text.search import Found, Kind, Material, of_given_length, shortest
from inversescope.natural_text.strata import leading
from inversescope.natural_text.target import SubjectPosterior

if TYPE_CHECKING:
    from inversescope.natural_text.natural_text import NaturalText

KINDS: tuple[Kind, ...] = ("best", "nearest", "shortest")
BANDWIDTH = 0.1  # of the best and the shortest where none is given
SECONDS = 15.0
KEPT = 1024  # inputs that edits may read on from
FIT = 0.15  # bandwidth at which ends are compared with the target


@dataclass(frozen=True)
class SearchAnswer:
    """Inputs that a search has found. They are no draws from the posterior: neither their number nor their order says
    how probable anything is.

    Attributes:
        answer: best, nearest or shortest.
        source, site, subject, prior: as in the answer `draws`.
        length: tokens of an input; the most of it where the shortest is searched for.
        bandwidth: h of ln P(x) − δ²/2h²; None where the nearest is searched for.
        source_log_p, source_distance: ln P and δ of the source, where it is one of the inputs; a search that ends below
            its ln P(x) − δ²/2h² has missed an input that is known.
        seconds: time that the search took.
        tokens_read: tokens that the subject read.
        cancelled: ended by Ctrl-C.
        found: the inputs, the first the best by the measure of the answer.
    """

    answer: Kind
    source: str
    site: str
    subject: str
    prior: str
    length: int
    bandwidth: float | None
    source_log_p: float | None
    source_distance: float | None
    seconds: float
    tokens_read: int
    cancelled: bool
    found: tuple[FoundText, ...]

    def record(self) -> dict[str, Any]:
        """The answer as JSON."""
        return {**vars(self), "found": [vars(each) for each in self.found]}

    def save(self, path: Path) -> None:
        """Write the record."""
        files.write_json(path, json.loads(json.dumps(self.record())))

    @property
    def short_of_source(self) -> float | None:
        """Nats by which the best input found lies below the source's own ln P(x) − δ²/2h²; negative: above."""
        if self.bandwidth is None or self.source_log_p is None or not self.found:
            return None
        assert self.source_distance is not None
        first, scale = self.found[0], 2 * self.bandwidth**2
        return (self.source_log_p - self.source_distance**2 / scale) - (first.log_p - first.distance**2 / scale)


def search(
    text: NaturalText, question: Question, kind: Kind, budget: Budget, bandwidth: float = BANDWIDTH, seed: int = 0
) -> list[Found]:
    """Inputs for one question, each of them possible under the prior."""
    random = torch.Generator().manual_seed(seed)
    posterior = SubjectPosterior(question, KEPT)
    material = _material(text, question, posterior, kind, budget)
    if kind == "shortest":
        answer = shortest(material, bandwidth, budget, random)
        return [found for found in answer.found if math.isfinite(found.log_p)]
    answer = of_given_length(kind, material, bandwidth, budget, random)
    scored = posterior.score(torch.tensor([found.tokens for found in answer.found]))
    pairs = zip(answer.found, scored.log_p.tolist(), strict=True)
    return [found._replace(log_p=log_p) for found, log_p in pairs if math.isfinite(log_p)]


def invert(
    text: NaturalText,
    source: Source,
    kind: Kind,
    budget: Budget,
    bandwidth: float | None = None,
    seed: int = 0,
) -> SearchAnswer:
    """Search for the activation of a source.

    Raises:
        UserError: the nearest was given a bandwidth.
    """
    if kind == "nearest" and bandwidth is not None:
        raise UserError("the nearest input has no bandwidth", given=bandwidth, remedy="the answer best, or none")
    used = bandwidth or BANDWIDTH
    question = source.question
    found = search(text, question, kind, budget, used, seed)
    scored = _scored(text, source)
    ruler = question.data.ruler
    inputs = [
        FoundText(text.subject.show(each.tokens), each.tokens, each.log_p, each.distance, ruler.words(each.distance))
        for each in found
    ]
    return SearchAnswer(
        answer=kind,
        source=source.name,
        site=str(question.data.site),
        subject=text.subject.name,
        prior=str(text.prior),
        length=text.length,
        bandwidth=None if kind == "nearest" else used,
        source_log_p=None if scored is None else float(scored.log_p[0]),
        source_distance=None if scored is None else float(scored.distance[0]),
        seconds=budget.seconds,
        tokens_read=budget.spent,
        cancelled=budget.cancelled,
        found=tuple(inputs),
    )


def _scored(text: NaturalText, source: Source) -> Scored | None:
    """ln P and δ of the source, if it is no longer than the inputs and possible under the prior."""
    if source.own is None or not 0 < len(source.own) <= text.length:
        return None
    scored = SubjectPosterior(source.question, 1).score(torch.tensor([list(source.own)]))
    return scored if bool(scored.log_p.isfinite().all()) else None


def _material(
    text: NaturalText, question: Question, posterior: SubjectPosterior, kind: Kind, budget: Budget
) -> Material:
    """Parts of a search. The nearest need no ln P: the subject is read up to the site only."""
    pool, end = PoolBeginnings(question), PairsBackward(question, text.pairs)
    every = torch.arange(len(pool.tokens))

    def read(tokens: Int[Tensor, "n t"], same_before: int) -> Scored:
        if kind != "nearest":
            return posterior.score(tokens, same_before)
        return Scored(torch.zeros(len(tokens)), posterior.distance(tokens, same_before))

    def fit(tokens: Int[Tensor, "n t"]) -> Float[Tensor, " n"]:
        count = min(tokens.shape[1], max(question.data.bridges))
        bridge, mean = question.data.bridges[count], question.data.beginnings[count].mean(0, keepdim=True)
        return bridge.log_kernel(question.target, bridge.ends(question.alone(tokens)), FIT, mean)[:, 0].cpu()

    def choose(ends: Int[Tensor, "n t"], count: int) -> Int[Tensor, "n k"]:
        known = ends.shape[1] in question.data.bridges
        chance = leading(question, ends, every)[1] if known else pool.log_next(text.length - ends.shape[1], ends[:, 0])
        return chance.topk(count, dim=1).indices.cpu()

    known: set[tuple[int, ...]] = set()

    def keep(tokens: Int[Tensor, "n t"]) -> None:
        rows = [tuple(row) for row in tokens.tolist()]
        new = sorted(set(rows) - known)
        if new:
            known.update(new)
            posterior.score(torch.tensor(new))
            budget.spend(tokens.shape[1] * len(new), "inputs to edit")

    return Material(
        read=read,
        pool=pool.tokens,
        scored=Scored(pool.token_log_p.sum(1), pool.distance),
        end=end,
        fit=fit,
        choose=choose,
        keep=keep,
        edits=[one_token(posterior, end), one_token(posterior, end), splice],
        whole=[other_beginning(pool)],
    )
