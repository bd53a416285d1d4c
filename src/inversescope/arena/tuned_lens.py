"""Tuned lens (Belrose et al. 2023, arXiv 2303.08112): an affine map of a site's activations, trained on the training
inputs so that the subject's own head reads from it what the whole subject says of the next token.

Dimensions: `n` activations, `d` coordinates of a site, `v` the vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from inversescope.arena.cost import Cost
from inversescope.arena.decoding import first_tokens, head_logits, in_stream
from inversescope.arena.method import Answer, Kind, classified
from inversescope.arena.plateau import train_to_plateau
from inversescope.arena.study import Study
from inversescope.arena.supervised import BUDGETS
from inversescope.progress import Progress
from inversescope.sites import Site

BATCH = 64
RATE = 1e-3
HELD = 0.1  # of the training inputs, held out to see the plateau

Head = Callable[[Float[Tensor, "n d"]], Float[Tensor, "n v"]]


class Translator(nn.Module):
    """z + W·u(z) + b, with u(z) the activation in the site's units; the logit lens before it is trained."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Float[Tensor, " d"], deviation: Float[Tensor, " d"]):
        super().__init__()
        self.map = nn.Linear(len(mean), len(mean), device=mean.device)
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)
        self.register_buffer("mean", mean)
        # A coordinate that never varies says nothing.
        self.register_buffer("deviation", torch.where(deviation > 0, deviation, torch.inf))

    def forward(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The activation as the head would read it."""
        return z + self.map((z - self.mean) / self.deviation)


@dataclass(frozen=True)
class TunedLens:
    """The logit lens behind a trained map: a label is as likely as the first token of its word."""

    name: str = "tuned lens"
    sees: str = "the labels as words, the subject's head, and training inputs without labels"
    kind: Kind = "decoder"
    supervised: bool = False

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """Probabilities of the labels' words, if they differ in their first token."""
        subject, store = study.run.subject, study.run.store
        words = {feature.name: first_tokens(feature, subject) for feature in study.features}
        last = Site("resid_post", subject.shape.layers - 1)
        sites = [site for site in study.sites if in_stream(site)]
        cost.notes += [f"{site} is not in the residual stream" for site in study.sites if site not in sites]
        with cost.train():
            final = subject.capture(store.inputs("train").tokens, [last]).activations[last] if sites else None
        for done, site in enumerate(sites):
            assert final is not None
            with cost.train():
                end = time.monotonic() + BUDGETS * study.budget / len(sites)
                lens = _trained(study, site, final, end, cost)
            with cost.answer(), torch.inference_mode():
                targets = store.activations("target", site).to(subject.device).float()
                logits = head_logits(subject, lens(targets)).float().cpu()
            for feature in study.features:
                tokens = words[feature.name]
                if tokens is not None:
                    yield classified(feature, site, logits[:, tokens].double().softmax(1).numpy())
            progress(done + 1, len(sites), "sites")


def _trained(study: Study, site: Site, final: Float[Tensor, "n d"], end: float, cost: Cost) -> Translator:
    subject, units = study.run.subject, study.run.store.units(site)
    device = subject.device
    z = study.run.store.activations("train", site).to(device).float()
    lens = Translator(units.mean.to(device).float(), units.deviation.to(device).float())

    def head(hidden: Float[Tensor, "n d"]) -> Float[Tensor, "n v"]:
        return head_logits(subject, hidden).float()

    steps, cut, loss = fit(lens, head, z, final.to(device).float(), study.generator(), end)
    cost.fitted(steps, cut)
    cost.diagnostics.setdefault("nats from the whole subject, held out", []).append(loss)
    return lens


def fit(
    lens: nn.Module,
    head: Head,
    z: Float[Tensor, "n d"],
    final: Float[Tensor, "n d"],
    rng: torch.Generator,
    end: float,
) -> tuple[int, bool, float]:
    """Train a lens until the KL on held-out inputs no longer falls, or the time is up; its steps, True if the time
    ended it, and that KL in nats.
    """
    order = torch.randperm(len(z), generator=rng).to(z.device)
    count = max(1, round(HELD * len(z)))
    held, learned = order[:count], order[count:]
    optimizer = torch.optim.AdamW(lens.parameters(), lr=RATE, weight_decay=0.0)

    def loss(rows: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = head(final[rows]).log_softmax(1)
        return F.kl_div(head(lens(z[rows])).log_softmax(1), wanted, log_target=True, reduction="batchmean")

    def epoch() -> int:
        batches = learned[torch.randperm(len(learned), generator=rng).to(z.device)].split(BATCH)
        for rows in batches:
            optimizer.zero_grad()
            loss(rows).backward()
            optimizer.step()
        return len(batches)

    def held_loss() -> float:
        with torch.no_grad():
            parts = [(float(loss(rows)), len(rows)) for rows in held.split(BATCH)]
        return sum(value * n for value, n in parts) / len(held)

    ended = train_to_plateau(lens, epoch, held_loss, end)
    return ended.steps, ended.cut, ended.loss
