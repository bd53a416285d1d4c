"""A generator in training: what an update is, where effort goes, when it ends, and what a checkpoint keeps.

Dimensions: `n` inputs of the train split, `batch` examples.
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

from inversescope.config import GeneratorConfig, TrainConfig
from inversescope.errors import UserError
from inversescope.generator import IGNORED, Generator
from inversescope.generator.pretrained import Pretrained
from inversescope.sites import Site
from inversescope.streams import TorchStream
from inversescope.train.checkpoint import load_checkpoint
from inversescope.train.ema import Average
from inversescope.train.muon import Muon
from inversescope.train.pairs import Examples

WARM_UP = 20  # steps
GRADIENT_NORM = 1.0  # clipped to this
MUON_RATE = 5  # Muon's learning rate over AdamW's
GENTLE = 0.1  # the learning rate of what is pretrained, over that of what is new
LEAST = 0.1  # of the greatest effort: no site goes without


@dataclass(frozen=True)
class Standing:
    """How a site stands in the middle of training: how far it is off (0: not at all), and whether that will do."""

    lag: float
    calibrated: bool


# Asks a generator in training how each of its sites stands.
Check = Callable[[Generator], Mapping[Site, Standing]]


@dataclass(frozen=True)
class Material:
    """What training begins with.

    Attributes:
        generator: untrained.
        examples: of each of its sites.
        rows: the training inputs, as rows of its vocabulary.
        told: how much the neighbours of each site tell, 0 to 1: where there is little to say, there is little to learn.
    """

    generator: Generator
    examples: list[Examples]
    rows: Int[Tensor, "n positions"]
    told: list[float]


class Training:
    """A generator, its optimizers, and how far it is.

    In the first `config.pretrain` steps the backbone learns alone, from inputs without activations; then the whole
    learns, or all but a frozen backbone.

    Attributes:
        done: steps done.
        last: steps there are at most.
        losses: of the steps done, in nats an input.
        calibrated: at how many sites the last check found the generator calibrated; None: not checked.
    """

    def __init__(
        self,
        material: Material,
        shape: GeneratorConfig,
        config: TrainConfig,
        seed: int,
        device: torch.device,
    ):
        self.generator = material.generator.to(device)
        self.examples = [each.to(device) for each in material.examples]
        self.rows = material.rows.to(device)
        self.shape = shape
        self.config = config
        self.seed = seed
        self.favour(material.told)
        self.done, self.last = 0, config.pretrain + config.steps
        self.losses: list[float] = []
        self.calibrated: int | None = None
        self._begin()

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.done >= self.last or self.calibrated == len(self.examples)

    def favour(self, need: Sequence[float]) -> None:
        """Train sites in proportion to their need; none goes without."""
        wanted = torch.tensor(need).clamp_min(0)
        self.effort = wanted.clamp_min(LEAST * float(wanted.max().clamp_min(1e-9)))

    def judge(self, check: Check) -> None:
        """Ask how the sites stand, and favour those that lag."""
        if self.done <= self.config.pretrain:
            return
        with self.average.used():
            self.generator.eval()
            standing = check(self.generator)
            self.generator.train()
        self.calibrated = sum(site.calibrated for site in standing.values())
        lags = torch.tensor([standing[each.site].lag for each in self.examples])
        if not lags.isnan().all():  # a site of which nothing is known is taken to lag as the others do
            self.favour(lags.where(~lags.isnan(), lags.nanmean()).tolist())

    def step(self) -> int:
        """One update; how many tokens it was made of."""
        rng = torch.Generator().manual_seed(TorchStream.TRAINING.seed(self.seed, self.done))
        if self.done < self.config.pretrain:
            answers = self.examples[0].rows(self.config.batch, rng)
            condition = self.generator.no_condition(self.config.batch)
        else:
            condition, answers = self._conditional(rng)
        answer = self.rows[answers]
        nats = self.generator.nats(answer, condition)
        if not nats.isfinite().all():
            raise UserError(
                "training diverged: the loss is not a finite number",
                given=f"step {self.done + 1}",
                remedy="a lower train.learning_rate",
            )
        tokens = int((answer[:, 1:] != IGNORED).sum())
        self.generator.zero_grad(set_to_none=True)
        (nats.sum() / tokens).backward()
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), GRADIENT_NORM)
        self._move()
        self.losses.append(float(nats.detach().mean()))
        self.done += 1
        if self.done == self.config.pretrain:
            self._settle()
            self._begin()
        return tokens

    def finished(self) -> Generator:
        """The generator with the running mean of its weights. Training cannot go on after it."""
        self._settle()
        return self.generator

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "step": self.done,
            "losses": self.losses,
            "effort": self.effort,
            "generator": self.generator.state_dict(),
            "average": self.average.state(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load(self, folder: Path) -> None:
        """Go on from the last checkpoint, if there is one."""
        state = load_checkpoint(folder)
        if state is None:
            return
        self.done, self.losses, self.effort = state["step"], state["losses"], state["effort"]
        self._begin()
        self.generator.load_state_dict(state["generator"])
        self.average.load(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    @torch.no_grad()
    def _settle(self) -> None:
        for weight, mean in zip(self.average.weights, self.average.mean, strict=True):
            weight.copy_(mean)

    def _begin(self) -> None:
        """The optimizers and the mean of the part of training that comes next, or is under way."""
        alone = self.done < self.config.pretrain
        self.generator.tune(backbone=alone or self.shape.tuning != "frozen", others=not alone)
        self.optimizers = _optimizers(self.generator, self.config)
        self.average = Average(weight for weight in self.generator.parameters() if weight.requires_grad)

    def _conditional(self, rng: torch.Generator) -> tuple[Float[Tensor, "conditions condition"], Int[Tensor, " batch"]]:
        """Conditions of several sites, and inputs that answer each; some are dropped, and answered by the prior."""
        config = self.config
        chosen = torch.multinomial(self.effort, min(config.sites_per_step, len(self.examples)), generator=rng).tolist()
        count = max(1, config.batch // (len(chosen) * config.answers))
        drawn = [self.examples[i].draw(count, config.answers, config.clean, rng) for i in chosen]
        condition, answers = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        dropped = (torch.rand(len(condition), generator=rng) < config.unconditional).to(condition.device)[:, None]
        condition = self.generator.no_condition(len(condition)).where(dropped, condition)
        free = self.examples[0].rows(answers.numel(), rng).view_as(answers)
        return condition, free.where(dropped, answers).flatten()

    def _move(self) -> None:
        pretrain = self.config.pretrain
        start, end = (0, pretrain) if self.done < pretrain else (pretrain, self.last)
        scale = min(1, (self.done - start + 1) / WARM_UP, 1 - (self.done - start) / (end - start))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = scale * group["peak"]
            optimizer.step()
        self.average.update()


def _optimizers(generator: Generator, config: TrainConfig) -> list[Optimizer]:
    """Muon for the matrices inside the network, AdamW for the rest (compared in docs/experiments.md), gently for what
    is pretrained.
    """
    backbone, rate = generator.backbone, config.learning_rate
    pretrained = backbone.model.parameters() if isinstance(backbone, Pretrained) else ()
    gentle = [weight for weight in pretrained if weight.requires_grad]
    matrices = [weight for weight in generator.inside() if weight.ndim == 2 and weight.requires_grad]
    chosen = {id(weight) for weight in (*gentle, *matrices)}
    others = [weight for weight in generator.parameters() if id(weight) not in chosen and weight.requires_grad]
    muon = {"params": matrices, "peak": MUON_RATE * rate}
    adam = [{"params": others, "peak": rate}, {"params": gentle, "peak": GENTLE * rate}]
    return [
        Muon([muon], lr=rate),
        torch.optim.AdamW(adam, lr=rate, betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True),
    ]
