"""Interventions on a question's activation: those of verified samples, of inputs of the pool, and controls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import islice
from typing import NamedTuple

import pyarrow.compute as pc
import torch
from jaxtyping import Float
from torch import Tensor

from inversescope import files
from inversescope.causal.causal import activations
from inversescope.causal.donors import DONORS, CausalData
from inversescope.disentangle.metric import MATCHED, MEANS, NOTHING, OWN, POOL, SAMPLES, SHUFFLED
from inversescope.records.levels import Level
from inversescope.sites import Site
from inversescope.streams import Stream
from inversescope.tasks import Tokens


class Swap(NamedTuple):
    """Replacement by the activation of an input; None: by the question's own, which changes nothing."""

    tokens: Tokens | None


class Move(NamedTuple):
    """Difference of means, added: the mean over inputs with one value of an attribute less that with another."""

    drawn_from: str
    attribute: str
    value: str
    less: str


Change = Swap | Move


class Intervention(NamedTuple):
    """A change by a method, for an attribute; `source` is the input whose values should come with it."""

    method: str
    attribute: str
    change: Change
    source: Tokens


class Interventions:
    """Interventions for a target at a site; the inputs of the pool are the same at every site."""

    def __init__(self, data: CausalData, levels: Mapping[Site, Level], seed: int):
        self._data, self._seed = data, seed
        self._targets, self._pool = data.store.inputs("target").tokens, data.store.inputs("pool")
        self.targets = len(self._targets)
        self._drawn: defaultdict[str, dict[int, dict[Tokens, None]]] = defaultdict(dict)  # in the order of drawing
        table = files.read_table(
            data.run / "verify" / "samples.parquet",
            columns=["site", "bandwidth", "target", "tokens"],
            filters=(pc.field("method") == "generator") & pc.field("verified"),
        )
        chosen = {(str(site), level.bandwidth) for site, level in levels.items()}
        for row in table.to_pylist():
            if (row["site"], row["bandwidth"]) not in chosen:
                continue
            self._drawn[row["site"]].setdefault(row["target"], {})[tuple(row["tokens"])] = None

    def of(self, site: Site, target: int) -> Iterator[Intervention]:
        """Every intervention on a target's questions. The target's own input is no source."""
        base, labels = self._targets[target], self._data.labels
        drawn = {SAMPLES: self._samples(site, target), POOL: self._random(target)}
        for attribute, label in labels.items():
            own = label(base)
            if own is None:
                continue
            differing = {name: [x for x in inputs if label(x) not in (None, own)] for name, inputs in drawn.items()}
            for name, inputs in differing.items():
                means = self._means(site, name, attribute)
                for x in inputs[:DONORS]:
                    yield Intervention(name, attribute, Swap(x), x)
                    if means.keys() >= {own, label(x)}:
                        yield Intervention(MEANS[name], attribute, Move(name, attribute, str(label(x)), own), x)
                others = [other for name, other in labels.items() if name != attribute and other(base) is not None]
                matched = (x for x in inputs if all(other(x) == other(base) for other in others))
                for x in islice(matched, DONORS):
                    yield Intervention(MATCHED[name], attribute, Swap(x), x)
            yield from _controls(attribute, base, differing[POOL][:DONORS])

    def vector(self, site: Site, change: Change, own: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
        """The activation at the site after a change, from the question's `own`."""
        if isinstance(change, Swap):
            return own if change.tokens is None else self._activations(site)[change.tokens]
        means = self._means(site, change.drawn_from, change.attribute)
        return own + means[change.value] - means[change.less]

    def _samples(self, site: Site, target: int) -> list[Tokens]:
        """The verified samples of a site: the target's own in the order of drawing, then those of others, shuffled."""
        drawn = self._drawn[str(site)]
        others = list(dict.fromkeys(x for number, inputs in drawn.items() if number != target for x in inputs))
        order = Stream.INTERVENTION_SAMPLES.rng(self._seed, target).permutation(len(others))
        inputs = dict.fromkeys([*drawn.get(target, ()), *(others[i] for i in order)])
        return [x for x in inputs if x != self._targets[target]]

    @cache  # noqa: B019 - as many as there are targets
    def _random(self, target: int) -> list[Tokens]:
        """Distinct inputs of the pool, drawn one after the other."""
        count = len(self._pool)
        rng = Stream.INTERVENTION_INPUTS.rng(self._seed, target)
        order = rng.choice(count, count, replace=False, p=self._pool.shares(range(count)))
        drawn = dict.fromkeys(self._pool.tokens[row] for row in order)
        return [x for x in drawn if x != self._targets[target]]

    def _inputs(self, site: Site, drawn_from: str) -> dict[Tokens, float]:
        """The distinct inputs that enter the means, with their weights."""
        if drawn_from == SAMPLES:
            return {x: 1.0 for inputs in self._drawn[str(site)].values() for x in inputs}
        weights = [1.0] * len(self._pool) if self._pool.enumerated is None else self._pool.enumerated
        return dict(zip(self._pool.tokens, weights, strict=True))

    @cache  # noqa: B019 - a few means a site
    def _means(self, site: Site, drawn_from: str, attribute: str) -> dict[str, Float[Tensor, " d"]]:
        """The mean activation of the inputs with each value of an attribute."""
        return class_means(self._inputs(site, drawn_from), self._activations(site), self._data.labels[attribute])

    @lru_cache(maxsize=1)  # noqa: B019 - many calls in a row for one site
    def _activations(self, site: Site) -> dict[Tokens, Float[Tensor, " d"]]:
        inputs = {*self._inputs(site, SAMPLES), *self._pool.tokens, *self._targets}
        return activations(self._data, {site: inputs})[site]


def class_means(
    weights: Mapping[Tokens, float], values: Mapping[Tokens, Float[Tensor, " d"]], label: Callable[[Tokens], str | None]
) -> dict[str, Float[Tensor, " d"]]:
    """For each label that inputs have, the weighted mean of their activations; the undecided are left out."""
    of_label: defaultdict[str, list[Tokens]] = defaultdict(list)
    for tokens in weights:
        if (value := label(tokens)) is not None:
            of_label[value].append(tokens)
    means = {}
    for value, inputs in of_label.items():
        share = torch.tensor([weights[x] for x in inputs])
        means[value] = (share / share.sum()).to(torch.float32) @ torch.stack([values[x] for x in inputs])
    return means


def _controls(attribute: str, base: Tokens, sources: Sequence[Tokens]) -> Iterable[Intervention]:
    """Controls: activations other than the source's."""
    for x in sources:
        yield Intervention(OWN, attribute, Swap(base), x)
        yield Intervention(NOTHING, attribute, Swap(None), x)
    if len(sources) > 1:
        for x, other in zip(sources, (*sources[1:], sources[0]), strict=True):
            yield Intervention(SHUFFLED, attribute, Swap(other), x)
