"""Gradient search over tokens (after GCG, Zou et al. 2023, arXiv 2307.15043): inputs near an activation at any price.

A ceiling, not a rival: it needs gradients of the subject, and its inputs need not be text. Dimensions: `t` tokens of an
input, `v` the vocabulary, `w` the width of the model, `d` coordinates of a site.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.arena.cost import Cost
from inversescope.arena.found import Found, answers, count_new
from inversescope.arena.method import Answer, Kind
from inversescope.arena.study import Study
from inversescope.collect.distance import Distance
from inversescope.progress import Progress
from inversescope.score.methods_and_controls import NEIGHBOURS
from inversescope.sites import Site
from inversescope.streams import TorchStream
from inversescope.subject import Subject
from inversescope.subject.architectures import architecture_of
from inversescope.subject.hooks import hook
from inversescope.tasks import Tokens

AMONG = 64  # tokens that lower δ most by the gradient, at each place
TRIED = 32  # of them read at a time
PASSES = 3  # readings that a gradient costs
MULTIPLE = 4  # of the tokens that a search of natural text may read


class _DeepEnough(Exception):  # noqa: N818 - a signal from the hook, not an error
    """Nothing beyond the site is needed."""


@dataclass(frozen=True)
class GradientSearch:
    """The nearest inputs that exchanges of single tokens reach from the nearest draw of the subject's own text."""

    name: str = "gradient search"
    sees: str = "gradients of the subject"
    kind: Kind = "samples"
    supervised: bool = False

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """The labels of the nearest inputs that were read."""
        subject, found = study.run.subject, dict[Site, Found]()
        pool, cost.training = study.text.pool.tokens[:, : study.text.length], study.text_seconds
        for place, site in enumerate(study.sites):
            if site.parts or site.projection:
                cost.notes.append(f"{site}: no gradient is taken through it")
                continue
            rows = []
            targets, delta = study.run.store.activations("target", site), study.run.store.distance(site)
            for number, target in enumerate(targets):
                random = torch.Generator().manual_seed(TorchStream.TEXT.seed(study.seed, place * len(targets) + number))
                with cost.answer():
                    search = Search(subject, site, delta, target)
                    search.run(pool, MULTIPLE * study.run.config.text.nearest, random)
                    rows.append(search.nearest)
                progress(place * len(targets) + number + 1, len(study.sites) * len(targets), "targets x sites")
            found[site] = rows
        count_new(study, found, cost)
        for site, inputs in found.items():
            yield from answers(study, site, self.name, inputs, cost)


class Search:
    """One search; `best` has the nearest inputs that were read, prefix included, and their δ."""

    def __init__(self, subject: Subject, site: Site, delta: Distance, target: Float[Tensor, " d"]):
        self._subject, self._site, self._delta, self._target = subject, site, delta, target[None]
        self._tap = architecture_of(subject.model).tap(site, subject.shape)
        self._module = subject.model.base_model.get_submodule(self._tap.module)
        self.best: dict[Tokens, float] = {}

    @property
    def nearest(self) -> list[Tokens]:
        """The inputs, the nearest first."""
        return sorted(self.best, key=lambda tokens: self.best[tokens])

    def run(self, pool: Int[Tensor, "n t"], budget: int, random: torch.Generator) -> None:
        """Exchange tokens of the nearest inputs until so many tokens have been read; the pool is known already."""
        prefix, length = self._subject.prefix, pool.shape[1]
        self._read([(*prefix, *row) for row in pool.tolist()])
        spent, turn = 0, 0
        while spent < budget:
            tokens = self.nearest[turn % len(self.best)] if turn % 2 else self.nearest[0]
            self._read(self._exchanged(tokens, random))
            spent, turn = spent + (PASSES + TRIED) * length, turn + 1

    def _exchanged(self, tokens: Tokens, random: torch.Generator) -> list[Tokens]:
        """Exchanges of one token that lower δ by the gradient."""
        first = len(self._subject.prefix)
        gradient = self._gradient(tokens)[first:]
        weight = self._subject.model.get_input_embeddings().weight
        likely = (-gradient.to(weight) @ weight.T).topk(AMONG, dim=1).indices.cpu()
        places = torch.randint(len(likely), (TRIED,), generator=random).tolist()
        columns = torch.randint(AMONG, (TRIED,), generator=random).tolist()
        return [
            (*tokens[: first + place], int(likely[place, column]), *tokens[first + place + 1 :])
            for place, column in zip(places, columns, strict=True)
        ]

    def _gradient(self, tokens: Tokens) -> Float[Tensor, "t w"]:
        """Gradient of δ² by the embedding of every token."""
        model = self._subject.model
        with torch.enable_grad():
            embedded = model.get_input_embeddings()(torch.tensor([tokens], device=self._subject.device))
            embedded = embedded.detach().requires_grad_()
            seen: list[Tensor] = []

            def keep(hidden: Tensor) -> None:
                seen.append(hidden.reshape(len(tokens), -1)[-1, self._tap.columns] * self._tap.scale)
                raise _DeepEnough

            handle = hook(self._module, self._tap.side, keep)
            try:
                model.base_model(inputs_embeds=embedded, use_cache=False)
            except _DeepEnough:
                pass
            finally:
                handle.remove()
            loss = self._delta.paired(seen[0][None].float().cpu(), self._target)[0] ** 2
            return torch.autograd.grad(loss, embedded)[0][0]

    def _read(self, inputs: list[Tokens]) -> None:
        new = sorted(set(inputs) - self.best.keys())
        if new:
            read = self._subject.capture(new, [self._site]).activations[self._site]
            distances = self._delta.paired(read, self._target).tolist()
            self.best |= dict(zip(new, distances, strict=True))
            self.best = {tokens: self.best[tokens] for tokens in self.nearest[:NEIGHBOURS]}
