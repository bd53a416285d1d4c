"""Inputs that a method has found for each target: labelled, counted, and read again to see which are near.

Dimensions: `targets`, `n` inputs of one target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope.arena.cost import Cost
from inversescope.arena.method import Answer, counted
from inversescope.arena.study import Study
from inversescope.score.methods_and_controls import WeightedInputs
from inversescope.sites import Site
from inversescope.stats.labels import encode
from inversescope.stats.weights import repeats
from inversescope.tasks import Tokens

# Inputs of each target, prefix included; of draws an input stands as often as it was drawn, and none is silence.
Found = Sequence[Sequence[Tokens]]


def answers(study: Study, site: Site, name: str, found: Found, cost: Cost) -> Iterator[Answer]:
    """The labels of the inputs, each counted once."""
    wide = max(1, *map(len, found))
    inputs = [[*rows, *[None] * (wide - len(rows))] for rows in found]
    known = {tokens: study.run.task.labels(tokens) for tokens in {tokens for rows in found for tokens in rows}}
    labels = {
        feature.name: np.array(
            [encode([None if x is None else known[x][feature.name] for x in rows], feature.values) for rows in inputs]
        )
        for feature in study.features
    }
    weights = np.array([[tokens is not None for tokens in rows] for rows in inputs], dtype=float)
    times = np.array([repeats(rows) for rows in inputs], dtype=float)
    source = np.array([study.are_sources(rows)[target] for target, rows in enumerate(inputs)])
    found_inputs = WeightedInputs(name, site, None, labels, weights, distinct=weights * times, source=source)
    yield from counted(found_inputs, study.features, cost)


def count_new(study: Study, found: Mapping[Site, Found], cost: Cost) -> None:
    """Count the new inputs: distinct, no farther than is typical, neither the source nor training inputs. They are read
    again, and that is counted too.
    """
    train, sources = set(study.run.store.inputs("train").tokens), study.run.store.inputs("target").tokens
    new = 0
    with cost.answer():
        for site, rows in found.items():
            distances = _distances(study, site, rows)
            for target, limit in enumerate(study.typical(site).tolist()):
                near = {tokens for tokens, distance in distances[target].items() if distance <= limit}
                new += len(near - train - {sources[target]})
    cost.found(new, 1.0)


def _distances(study: Study, site: Site, found: Found) -> list[dict[Tokens, float]]:
    """δ of the inputs of each target."""
    distinct = sorted({tokens for rows in found for tokens in rows})
    if not distinct:
        return [{} for _ in found]
    read = study.run.subject.capture(distinct, [site]).activations[site]
    row, targets = {tokens: i for i, tokens in enumerate(distinct)}, study.run.store.activations("target", site)
    delta: Float[ndarray, "targets inputs"] = study.run.store.distance(site).by_products(read, targets)
    return [{x: float(delta[target, row[x]]) for x in rows} for target, rows in enumerate(found)]
