"""Retrieval over every position of stored texts, at a multiple of what a search of natural text may read.

An exact search, block by block. Dimensions: `p` positions, `targets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.arena.cost import Cost
from inversescope.arena.found import Found, answers, count_new
from inversescope.arena.method import Answer, Kind
from inversescope.arena.study import Study
from inversescope.natural_text.readings import prefix_key_values
from inversescope.progress import Progress
from inversescope.score.methods_and_controls import NEIGHBOURS
from inversescope.sites import Site
from inversescope.streams import Stream
from inversescope.subject.continuing import Continuing, KeyValues
from inversescope.tasks import Tokens

BLOCK = 4096  # positions read at once
SPARE = 8  # times as many places are looked at as are kept: many inputs begin alike


@dataclass(frozen=True)
class Stored:
    """The nearest of stored positions: training inputs of the task, `multiple` times the tokens that a search may read
    for one target; or, with `own_text`, the pool of the subject's own text that the draws start from.
    """

    name: str
    multiple: int = 1
    own_text: bool = False
    kind: Kind = "samples"
    supervised: bool = False

    @property
    def sees(self) -> str:
        """The stored texts, in words."""
        return "the subject's own text" if self.own_text else "training inputs, at every position"

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """The labels of the nearest positions, each as the input that ends there."""
        windows = self._windows(study, cost)
        with cost.answer():
            found = self._nearest(study, windows, progress)
        count_new(study, found, cost)
        for site, inputs in found.items():
            yield from answers(study, site, self.name, inputs, cost)

    def _windows(self, study: Study, cost: Cost) -> list[Tokens]:
        """Texts without prefix, as many as the positions may be."""
        if self.own_text:
            windows, cost.training = [tuple(row) for row in study.text.pool.tokens.tolist()], study.text_seconds
            cost.notes.append(f"{sum(map(len, windows)):,} positions")
            return windows
        prefix, inputs = len(study.run.subject.prefix), study.run.store.inputs("train").tokens
        size, positions = self.multiple * study.run.config.text.nearest, 0
        windows = []
        for row in Stream.STORED.rng(study.seed).permutation(len(inputs)).tolist():
            if positions >= size:
                break
            windows.append(inputs[row][prefix:])
            positions += len(windows[-1])
        short = "" if positions >= size else f", and not the {size:,} wanted: the run has no more training inputs"
        cost.notes.append(f"{positions:,} positions{short}")
        return windows

    def _nearest(self, study: Study, windows: Sequence[Tokens], progress: Progress) -> dict[Site, Found]:
        subject, run = study.run.subject, study.run
        reader, start = Continuing(subject, study.sites), prefix_key_values(subject)
        count = len(run.store.inputs("target"))
        best: dict[Site, list[dict[Tokens, float]]] = {site: [{} for _ in range(count)] for site in study.sites}
        done = 0
        for length, same in groupby(sorted(windows, key=len), key=len):
            rows, step = list(same), max(1, BLOCK // length)
            for block in (rows[first : first + step] for first in range(0, len(rows), step)):
                past = None if start is None else KeyValues(start.layers[: reader.layers]).expanded(len(block))
                read = reader.read(torch.tensor(block), past).activations
                for site, values in read.items():
                    rows_of_block, targets = values.reshape(-1, values.shape[-1]), run.store.activations("target", site)
                    delta = run.store.distance(site).by_products(rows_of_block.float(), targets)
                    update(best[site], torch.from_numpy(delta), block)
                done += len(block)
                progress(done, len(windows), "stored texts")
        prefix = subject.prefix
        return {
            site: [[(*prefix, *tokens) for tokens in sorted(near, key=lambda x: near[x])[:NEIGHBOURS]] for near in rows]
            for site, rows in best.items()
        }


def update(best: list[dict[Tokens, float]], delta: Float[Tensor, "targets p"], block: Sequence[Tokens]) -> None:
    """Keep the nearest inputs of each target among those before and the positions of a block, a text after the other;
    an input with which several texts begin stands once.
    """
    length = len(block[0])
    nearest = delta.topk(min(SPARE * NEIGHBOURS, delta.shape[1]), dim=1, largest=False)
    for near, distances, places in zip(best, nearest.values.tolist(), nearest.indices.tolist(), strict=True):
        for distance, place in zip(distances, places, strict=True):
            row, position = divmod(place, length)
            near[block[row][: position + 1]] = distance
        for tokens in sorted(near, key=lambda x: near[x])[NEIGHBOURS:]:
            del near[tokens]
