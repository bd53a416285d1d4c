"""Trainer of a generator: updates, site weights, checks, and the state of a checkpoint.

Dimensions: `n` inputs of the train split, `batch` training pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Optimizer

from inversescope.config import TrainConfig
from inversescope.errors import UserError
from inversescope.generator import IGNORED, Generator
from inversescope.sites import Site
from inversescope.streams import TorchStream
from inversescope.train.checkpoint import load_checkpoint
from inversescope.train.ema import ExponentialMovingAverage
from inversescope.train.muon import Muon
from inversescope.train.pairs import TrainingPairs

WARM_UP = 20  # steps
GRADIENT_NORM = 1.0  # gradients are clipped to this norm
WEIGHT_DECAY = 0.01  # of AdamW: PyTorch's default
MUON_RATE = 5  # Muon's learning rate over AdamW's
MIN_WEIGHT = 0.1  # of a site, over the largest weight


@dataclass(frozen=True)
class SiteStatus:
    """Result of a check for one site: its mean divergence or gap (0: exact, NaN: unknown), and its verdict."""

    error: float
    calibrated: bool


# Measures each site of a generator in training.
Check = Callable[[Generator], Mapping[Site, SiteStatus]]


@dataclass(frozen=True)
class PartGradient:
    """A part of a step's batch: its gradient, of the mean nats per token, for each parameter (None: it has none).

    `nats` is the mean of its pairs.
    """

    gradient: list[Tensor | None]
    nats: float
    pairs: int
    tokens: int


def here(trainer: Trainer) -> list[PartGradient]:
    """The gradients of all parts of a trainer's next step, computed in this process."""
    return [trainer.gradient(part) for part in range(trainer.config.parts)]


# Computes the gradients of all parts of a trainer's next step, in order.
Compute = Callable[["Trainer"], Sequence[PartGradient]]


@dataclass(frozen=True)
class TrainingData:
    """Untrained generator and its training data.

    Attributes:
        generator: untrained, with everything fitted that has a closed form.
        pairs: for each of its sites.
        rows: the training inputs, as rows of its vocabulary.
        explained_variance: for each site, the share of the input components' variance that the neighbours explain, 0 to
            1; the site's weight in training before the first check.
    """

    generator: Generator
    pairs: list[TrainingPairs]
    rows: Int[Tensor, "n positions"]
    explained_variance: list[float]


class Trainer:
    """A generator in training, with its optimizers.

    The batch of a step has a fixed number of parts (`train.parts`), each with its own random numbers. Their gradients
    are added in the order of the parts, so the weights do not depend on who computes them.

    Args:
        compute: gives the gradients of all parts of the next step, in order.

    Attributes:
        done: number of steps done.
        last: number of steps at most.
        losses: of the steps done, in nats per input.
        calibrated: number of sites that the last check found calibrated; None before the first check.
    """

    def __init__(
        self,
        data: TrainingData,
        config: TrainConfig,
        seed: int,
        device: torch.device,
        compute: Compute = here,
    ):
        self.compute = compute
        self.generator = data.generator.to(device)
        self.pairs = [pairs.to(device) for pairs in data.pairs]
        self.rows = data.rows.to(device)
        self.config = config
        self.seed = seed
        self.set_site_weights(data.explained_variance)
        self.done, self.last = 0, config.steps
        self.losses: list[float] = []
        self.calibrated: int | None = None
        self.optimizers = _optimizers(self.generator, config)
        self.average = ExponentialMovingAverage(self.generator.parameters())

    @property
    def ended(self) -> bool:
        """True after the last step, or when every site is calibrated."""
        return self.done >= self.last or self.calibrated == len(self.pairs)

    def set_site_weights(self, weights: Sequence[float]) -> None:
        """Set how often each site is trained, relative to the others; at least `MIN_WEIGHT` of the largest."""
        positive = torch.tensor(weights).clamp_min(0)
        self.site_weights = positive.clamp_min(MIN_WEIGHT * float(positive.max().clamp_min(1e-9)))

    def run_check(self, check: Check) -> None:
        """Check the averaged weights, and set the site weights to the errors found."""
        with self.average.applied():
            self.generator.eval()
            status = check(self.generator)
            self.generator.train()
        self.calibrated = sum(site.calibrated for site in status.values())
        errors = torch.tensor([status[pairs.site].error for pairs in self.pairs])
        if not errors.isnan().all():  # an unknown error is taken to be the mean of the known ones
            self.set_site_weights(errors.where(~errors.isnan(), errors.nanmean()).tolist())

    def step(self) -> int:
        """One update; returns its number of tokens."""
        parts = self.compute(self)
        tokens, pairs = sum(part.tokens for part in parts), sum(part.pairs for part in parts)
        for number, weight in enumerate(self.generator.parameters()):
            terms = [(part.gradient[number], part.tokens / tokens) for part in parts]
            weight.grad = _weighted_sum([(term, share) for term, share in terms if term is not None], weight.device)
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), GRADIENT_NORM)
        self._update()
        self.losses.append(sum(part.nats * (part.pairs / pairs) for part in parts))
        self.done += 1
        return tokens

    def gradient(self, part: int) -> PartGradient:
        """The gradient of one part of the next step's batch, by its own random numbers.

        Raises:
            UserError: the loss is not a finite number.
        """
        address = self.done * self.config.parts + part
        condition, inputs = self._batch(torch.Generator().manual_seed(TorchStream.TRAINING.seed(self.seed, address)))
        rows = self.rows[inputs]
        nats = self.generator.nats(rows, condition)
        if not nats.isfinite().all():
            raise UserError(
                "training diverged: the loss is not a finite number",
                given=f"step {self.done + 1}",
                remedy="a lower train.learning_rate",
            )
        tokens = int((rows[:, 1:] != IGNORED).sum())
        self.generator.zero_grad(set_to_none=True)
        (nats.sum() / tokens).backward()
        gradient = [weight.grad for weight in self.generator.parameters()]
        return PartGradient(gradient, float(nats.detach().mean()), len(nats), tokens)

    def finished(self) -> Generator:
        """The generator with the average of its weights. No step may follow."""
        with torch.no_grad():
            for weight, mean in zip(self.average.weights, self.average.mean, strict=True):
                weight.copy_(mean)
        return self.generator

    def state(self) -> dict[str, Any]:
        """State for a checkpoint."""
        weights, fitted = self.generator.state_dict(), dict(self.generator.named_buffers())
        return {
            "step": self.done,
            "losses": self.losses,
            "site_weights": self.site_weights,
            "generator": {name: weight for name, weight in weights.items() if name not in fitted},
            "fitted": {name: weight for name, weight in weights.items() if name in fitted},
            "average": self.average.state(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load(self, folder: Path) -> None:
        """Continue from the last checkpoint, if there is one."""
        state = load_checkpoint(folder)
        if state is None:
            return
        self.done, self.losses, self.site_weights = state["step"], state["losses"], state["site_weights"]
        self.generator.load_state_dict(state["fitted"] | state["generator"])
        self.average.load(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def _batch(self, rng: torch.Generator) -> tuple[Float[Tensor, "conditions condition"], Int[Tensor, " batch"]]:
        """Conditions of several sites, and inputs for each, of one part of a step; some conditions are replaced by the
        null condition, and their inputs by draws from the prior.
        """
        config = self.config
        most = max(1, config.sites_per_step // config.parts)
        sites = torch.multinomial(self.site_weights, min(most, len(self.pairs)), generator=rng).tolist()
        inputs = config.inputs_per_condition if all(self.pairs[i].exact for i in sites) else 1
        count = max(1, config.batch // config.parts // (len(sites) * inputs))
        drawn = [self.pairs[i].draw(count, inputs, config.clean, rng) for i in sites]
        condition, rows = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        dropped = (torch.rand(len(condition), generator=rng) < config.unconditional).to(condition.device)[:, None]
        condition = self.generator.no_condition(len(condition)).where(dropped, condition)
        from_prior = self.pairs[0].draw_prior(rows.numel(), rng).view_as(rows)
        return condition, from_prior.where(dropped, rows).flatten()

    def _update(self) -> None:
        """Optimizer steps with linear warm-up and decay."""
        scale = min(1, (self.done + 1) / WARM_UP, 1 - self.done / self.last)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = scale * group["peak"]
            optimizer.step()
        self.average.update()


def _weighted_sum(terms: Sequence[tuple[Tensor, float]], device: torch.device) -> Tensor | None:
    """Sum of gradients times their shares, in order; None where there are none."""
    if not terms:
        return None
    (first, share), *others = terms
    total = first.to(device) * share
    for gradient, share in others:
        total += gradient.to(device) * share
    return total


def _optimizers(generator: Generator, config: TrainConfig) -> list[Optimizer]:
    """Muon for matrices between hidden states, AdamW for the rest (docs/lab/generator.md has the comparison)."""
    rate = config.learning_rate
    matrices = [weight for weight in generator.hidden_parameters() if weight.ndim == 2]
    chosen = set(map(id, matrices))
    others = [weight for weight in generator.parameters() if id(weight) not in chosen]
    return [
        Muon([{"params": matrices, "peak": MUON_RATE * rate}], lr=rate),
        torch.optim.AdamW(
            [{"params": others, "peak": rate}], lr=rate, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=True
        ),
    ]
