"""Ours on natural text, as `inversescope invert --prior text`: draws and the nearest inputs of the subject's own text.

Nothing is known of the task: neither its inputs nor their form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inversescope.arena.cost import Cost
from inversescope.arena.found import Found, answers, count_new
from inversescope.arena.method import Answer, Kind
from inversescope.arena.study import Study
from inversescope.natural_text import searching
from inversescope.natural_text.budget import Budget
from inversescope.natural_text.estimate import Estimate, Weighted
from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.question import Source
from inversescope.progress import Progress
from inversescope.sites import Site
from inversescope.stats.weights import systematic
from inversescope.streams import TorchStream
from inversescope.tasks import Tokens

FINER = 6  # steps down from the bits of the config to those that are to be believed


@dataclass(frozen=True)
class Natural:
    """Inputs of the subject's own text for every target: `draws` from the posterior, at the bits of `text.bits` or the
    most below them that are to be believed, or the `nearest` that a search of `text.nearest` tokens finds.
    """

    name: str
    nearest: bool
    sees: str = "the subject's own text, and nothing of the task"
    kind: Kind = "samples"
    supervised: bool = False

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """The labels of the inputs. The pool, which serves all targets, counts as training."""
        text, cost.training = study.text, study.text_seconds
        found: dict[Site, Found] = {}
        total = len(study.sites) * len(study.run.store.inputs("target"))
        for place, site in enumerate(study.sites):
            rows: list[list[Tokens]] = []
            bits: list[float] = []
            for target, source in enumerate(_sources(study, text, site)):
                done = place * total // len(study.sites) + target
                seed = TorchStream.TEXT.seed(study.seed, done)
                with cost.answer():
                    rows.append(self._found(study, text, source, seed, bits))
                progress(done + 1, total, "targets x sites")
            found[site] = rows
            if not self.nearest:
                answered = sum(map(bool, rows)) / len(rows)
                cost.diagnostics.setdefault("share of the targets with draws to be believed", []).append(answered)
                cost.diagnostics.setdefault("bits kept", []).append(float(np.mean(bits)) if bits else 0.0)
        count_new(study, found, cost)
        for site, inputs in found.items():
            yield from answers(study, site, self.name, inputs, cost)

    def _found(self, study: Study, text: NaturalText, source: Source, seed: int, bits: list[float]) -> list[Tokens]:
        config, prefix = study.run.config.text, study.run.subject.prefix
        if self.nearest:
            inputs = searching.search(text, source.question, "nearest", Budget(tokens=config.nearest), seed=seed)
            return [(*prefix, *each.tokens) for each in inputs]
        weighted = text.weighted(source.question, source.own, config.proposals, seed)
        estimate = believed(weighted, config.bits[0])
        if estimate is None:
            return []
        bits.append(estimate.bits)
        places = systematic(estimate.weights, config.samples, np.random.default_rng(seed))
        return [(*prefix, *weighted.rows[place]) for place in places.tolist()]


def believed(weighted: Weighted, bits: float) -> Estimate | None:
    """The estimate at these bits, or at the most below them that are to be believed; None: at none."""
    for step in range(FINER):
        estimate = weighted.at_bits(bits * (1 - step / FINER))
        if estimate.belief:
            return estimate
    return None


def _sources(study: Study, text: NaturalText, site: Site) -> Iterator[Source]:
    prefix, targets = len(study.run.subject.prefix), study.run.store.inputs("target")
    activations = study.run.store.activations("target", site)
    for name, tokens, activation in zip(targets.texts, targets.tokens, activations, strict=True):
        yield Source(name, text.question(activation, site), tuple(tokens[prefix:]))
