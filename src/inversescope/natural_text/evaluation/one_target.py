"""One target at one site: what the searches find, the draws with their verdict, floors and ceilings; as rows.

Dimensions: `n` inputs, `t` their tokens, `d` coordinates of the site.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from inversescope.config import TextConfig
from inversescope.natural_text import searching
from inversescope.natural_text.answer import Answer, answer
from inversescope.natural_text.budget import Budget
from inversescope.natural_text.evaluation.chances import best_of, same_from_the_end
from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.question import Question, Source
from inversescope.natural_text.ruler import SHARED
from inversescope.natural_text.search import Kind
from inversescope.progress import Progress
from inversescope.records import text as records
from inversescope.tasks import Labels

Row = dict[str, Any]
LABELLED = 128  # inputs of a control whose labels are counted
SHOWN = 8  # inputs of a search that are kept
RANDOM = 4  # one target in so many has a search for a random direction


@dataclass(frozen=True)
class OneTarget:
    """Evaluation of one target at one site.

    Attributes:
        text: the subject's text, at the site.
        config: budgets.
        source: the target's input and the question about it.
        other: standardized activation of another target, for the floor; None where there is no other.
        target: row of the target.
        seed: decides everything.
        labels: labels of an input without prefix.
    """

    text: NaturalText
    config: TextConfig
    source: Source
    other: Float[Tensor, " d"] | None
    target: int
    seed: int
    labels: Callable[[Sequence[int]], Labels]

    def rows(self, progress: Progress) -> dict[str, list[Row]]:
        """Rows of `answers`, `verdicts`, `methods` and `features`."""
        found: dict[str, list[Row]] = {"answers": [], "verdicts": [], "methods": [], "features": []}
        steps = (self._nearest, self._best, self._draws, self._floors, self._ceilings)
        for done, step in enumerate(steps):
            progress(done, len(steps), step.__name__.strip("_"))
            for table, row in step():
                found[table].append({"site": str(self._question.data.site), "target": self.target, **row})
        progress(len(steps), len(steps))
        return found

    @property
    def _question(self) -> Question:
        return self.source.question

    @property
    def _own(self) -> tuple[int, ...]:
        assert self.source.own is not None
        return self.source.own

    def _nearest(self) -> Iterator[tuple[str, Row]]:
        if self.config.nearest:
            yield from self._searched("nearest", self.config.nearest)

    def _best(self) -> Iterator[tuple[str, Row]]:
        if self.config.best:
            yield from self._searched("best", self.config.best)

    def _searched(self, kind: Kind, tokens: int) -> Iterator[tuple[str, Row]]:
        found = searching.invert(self.text, self.source, kind, Budget(tokens=tokens), seed=self.seed)
        first = found.found[:SHOWN]
        for rank, each in enumerate(first):
            yield "answers", self._answer(kind, rank, 1, each)
        if not first:
            return
        distances = [each.distance for each in first]
        yield (
            "methods",
            self._method(
                kind,
                found.tokens_read,
                distances[0],
                [first[0].tokens],
                median=float(np.median(distances)),
                log_p=first[0].log_p,
                short=found.short_of_source,
                text=first[0].text,
            ),
        )
        if kind == "nearest" and self.other is not None:
            elsewhere = self._distance(first[0].tokens, self.other)
            yield "methods", self._method(records.SHUFFLED, 0, elsewhere, [], text=first[0].text)

    def _draws(self) -> Iterator[tuple[str, Row]]:
        config, question = self.config, self._question
        if not config.proposals:
            return
        weighted = self.text.weighted(question, self._own, config.proposals, self.seed)
        read = sum(stratum.end * len(stratum.tokens) for stratum in weighted.strata)
        for bits in config.bits:
            estimate = weighted.at_bits(bits)
            drawn = answer(self.text, self.source, weighted, estimate, bits, config.samples, self.seed)
            yield "verdicts", _verdict(drawn)
            if not drawn.believed:
                continue
            name = f"{records.DRAWS} {bits:g} bits"
            for rank, each in enumerate(drawn.draws):
                yield "answers", self._answer(name, rank, each.times, each)
            times = [draw.times for draw in drawn.draws]
            distances = np.repeat([draw.distance for draw in drawn.draws], times)
            yield (
                "methods",
                self._method(
                    name,
                    read,
                    best_of(distances),
                    [draw.tokens for draw in drawn.draws],
                    times,
                    median=float(np.median(distances)),
                    log_p=float(np.repeat([draw.log_p for draw in drawn.draws], times).mean()),
                ),
            )
            for row in self._features(drawn, float(np.median(distances))):
                yield "features", {"bits_wanted": bits, **row}

    def _features(self, drawn: Answer, median: float) -> Iterator[Row]:
        """Labels of the source that its draws share, beside inputs with the same ending that are as near."""
        shared = min(max(1, self._question.data.ruler.shared(median)), len(self._own), self.text.length - 1)
        own = self.labels(self._own)
        times = [draw.times for draw in drawn.draws]
        of_draws = [self.labels(draw.tokens) for draw in drawn.draws]
        of_ending = [self.labels(row) for row in self.with_ending(shared)[0].tolist()]
        of_prior = [self.labels(row) for row in self._pool[:LABELLED]]
        for feature, label in own.items():
            if label is None:
                continue
            counted = [[each[feature] == label for each in group] for group in (of_draws, of_ending, of_prior)]
            yield {
                "feature": feature,
                "label": label,
                "draws": float(np.average(counted[0], weights=times)),
                "ending": float(np.mean(counted[1])),
                "prior": float(np.mean(counted[2])),
                "shared": shared,
            }

    def _floors(self) -> Iterator[tuple[str, Row]]:
        question = self._question
        distances = question.of_standardized(question.data.pool).double().numpy()
        nearest = best_of(distances)
        yield "methods", self._method(records.PRIOR, 0, nearest, self._pool, median=float(np.median(distances)))
        if self.config.nearest and self.target % RANDOM == 0:
            yield "methods", self._method(records.RANDOM, *self._random_direction(), [])

    def _random_direction(self) -> tuple[int, float]:
        """Tokens and δ of a search for a vector of the target's length in a random direction."""
        question, random = self._question, torch.Generator().manual_seed(self.seed)
        direction = torch.randn(len(question.target), generator=random)
        vector = direction * (question.target.norm() / direction.norm())
        units = question.data.units
        source = Source(
            "a random direction", self.text.question(units.mean + units.deviation * vector, question.data.site), None
        )
        found = searching.invert(self.text, source, "nearest", Budget(tokens=self.config.nearest), seed=self.seed)
        return found.tokens_read, found.found[0].distance

    def _ceilings(self) -> Iterator[tuple[str, Row]]:
        for shared in (k for k in SHARED if k < min(self.text.length, len(self._own) + 1)):
            tokens, distances = self.with_ending(shared)
            yield (
                "methods",
                self._method(
                    f"{records.ENDING} {shared}",
                    0,
                    best_of(distances),
                    tokens.tolist(),
                    median=float(np.median(distances)),
                ),
            )

    def with_ending(self, shared: int) -> tuple[Tensor, Float[ndarray, " n"]]:
        """Inputs that end like the source and begin like draws of the pool; and their δ."""
        question, pool = self._question, self._question.pool
        begun = self.text.length - shared
        rows = torch.arange(min(LABELLED, len(pool)))
        end = torch.tensor(self._own[-shared:]).expand(len(rows), -1)
        past = pool.key_values.rows(rows, len(self.text.subject.prefix) + begun, question.reader.layers)
        read = question.reader.read(end, past, last=True).activations[question.data.site][:, 0]
        return torch.cat([pool.tokens[rows, :begun], end], 1), question.distance(read).double().numpy()

    def _distance(self, tokens: Sequence[int], target: Float[Tensor, " d"]) -> float:
        """δ of an input from another target."""
        subject, data = self.text.subject, self._question.data
        read = subject.capture([(*subject.prefix, *tokens)], [data.site]).activations[data.site]
        return float(data.units.distance(data.units.standardize(read.float())[0], target))

    @cached_property
    def _pool(self) -> list[list[int]]:
        return self._question.pool.tokens[:, : self.text.length].tolist()

    def _answer(self, method: str, rank: int, times: int, each: Any) -> Row:
        return {
            "method": method,
            "rank": rank,
            "times": times,
            "tokens": list(each.tokens),
            "text": each.text,
            "log_p": each.log_p,
            "distance": each.distance,
            "shared": self._question.data.ruler.shared(each.distance),
        }

    def _method(
        self,
        method: str,
        tokens_read: int,
        distance: float,
        inputs: Sequence[Sequence[int]],
        times: Sequence[int] | None = None,
        *,
        median: float | None = None,
        log_p: float | None = None,
        short: float | None = None,
        text: str | None = None,
    ) -> Row:
        weights = [1.0] * len(inputs) if times is None else [float(count) for count in times]
        return {
            "method": method,
            "tokens_read": tokens_read,
            "distance": distance,
            "median": median,
            "log_p": log_p,
            "short_of_source": short,
            "same": same_from_the_end(inputs, self._own, weights) if inputs else [],
            "text": text,
        }


def _verdict(drawn: Answer) -> Row:
    kept: Mapping[str, Any] = {
        name: getattr(drawn, name)
        for name in (
            *("source", "bits_wanted", "believed", "verdict", "outside", "bandwidth", "bits", "log_z", "size"),
            *("spread", "near", "believed_bits", "source_log_p"),
        )
    }
    return dict(kept)
