"""Train the generator: next-token loss on activations seen through a channel of width h.

Dimensions: `n` inputs of the train split, `batch` examples, `d` coordinates of a site.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from inversescope import files
from inversescope.collect import Store
from inversescope.config import GeneratorConfig, TrainConfig
from inversescope.errors import UserError
from inversescope.generator import IGNORED, Generator, Vocabulary
from inversescope.sites import Site
from inversescope.spread import Spread

WARM_UP = 20  # steps
GRADIENT_NORM = 1.0  # clipped to this
# A clean target is answered by its neighbours where there are at least this many, counted as effective sample size.
NEIGHBOURS = 8
LOSSES = "losses.parquet"
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Progress:
    """How far training is: the mean loss of the last step in nats an input, and tokens a second so far."""

    step: int
    steps: int
    nats: float
    tokens_per_second: float


@dataclass(frozen=True)
class _Examples:
    """One site's part of a batch: what the generator is shown, and the row it should answer with."""

    activations: Float[Tensor, "batch d"]
    bandwidths: Float[Tensor, " batch"]
    answers: Int[Tensor, " batch"]


class _Site:
    """One site's train split, and how examples are made of it."""

    def __init__(self, activations: Float[Tensor, "n d"], spread: Spread):
        self.activations = activations
        self.standardized = spread.standardize(activations)
        self.dimension = spread.dimension

    def examples(
        self, generator: Generator, site: Site, count: int, config: TrainConfig, rng: torch.Generator
    ) -> _Examples:
        """Two kinds of question (docs/method.md), mixed.

        Noisy channel: the activation of an input plus noise of width h; the answer is that input. Clean target: the
        activation itself; the answer is one of its neighbours, drawn with weights k(δ/h). The first is exact but hardly
        ever comes near a clean activation when h is large; the second is the question that is asked later.
        """
        low, high = torch.tensor(config.bandwidths).log()
        rows = torch.randint(len(self.activations), (count,), generator=rng)
        bandwidths = (low + (high - low) * torch.rand(count, generator=rng)).exp()
        clean = self.activations[rows]
        noisy = generator.encoder(site).noised(clean, bandwidths, rng)
        wanted = torch.rand(count, generator=rng) < config.clean
        weights = self._neighbours(rows, bandwidths)
        neighbour = torch.multinomial(weights, 1, generator=rng)[:, 0]
        answered = wanted & (1 / (weights**2).sum(1) >= NEIGHBOURS)
        return _Examples(clean.where(answered[:, None], noisy), bandwidths, neighbour.where(answered, rows))

    def _neighbours(self, rows: Int[Tensor, " batch"], bandwidths: Float[Tensor, " batch"]) -> Float[Tensor, "batch n"]:
        """Weights k(δ/h) over the other inputs, normalised; the input itself is left out, as it is of the pool."""
        squares = (self.standardized**2).sum(1)
        products = self.standardized[rows] @ self.standardized.T
        distances = (squares[rows][:, None] + squares - 2 * products).clamp_min(0) / self.dimension
        distances[torch.arange(len(rows)), rows] = torch.inf
        return (-0.5 * distances / bandwidths[:, None] ** 2).softmax(1)


def train(
    folder: Path,
    store: Store,
    sites: Sequence[Site],
    shape: GeneratorConfig,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    progress: Callable[[Progress], None],
) -> Generator:
    """Train a generator for these sites, from the last checkpoint if there is one, and save it.

    The random numbers of a step follow from the seed and the step alone, so that a resumed training has the losses of
    an undisturbed one.

    Raises:
        UserError: the loss is no longer a finite number.
    """
    inputs = store.inputs("train").tokens
    vocabulary = Vocabulary.of(inputs)
    rows = vocabulary.encode(inputs)
    torch.manual_seed(seed)
    parts = {site: _Site(store.activations("train", site), store.spread(site)) for site in sites}
    dimensions = {site: part.activations.shape[1] for site, part in parts.items()}
    generator = Generator(
        vocabulary, rows.shape[1], dimensions, width=shape.width, layers=shape.layers, heads=shape.heads
    )
    for site, part in parts.items():
        generator.fit(site, part.activations, store.spread(site), rows)
    optimizer = _optimizer(generator, config)
    done, losses = _resume(folder, generator, optimizer)
    started, tokens = time.monotonic(), 0
    for step in range(done, config.steps):
        rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = torch.randperm(len(sites), generator=rng)[: config.sites_per_step].tolist()
        loss, seen = _step(generator, optimizer, rows, {sites[i]: parts[sites[i]] for i in chosen}, config, step, rng)
        losses.append(loss)
        tokens += seen
        if (step + 1) % config.checkpoint == 0 and step + 1 < config.steps:
            _checkpoint(folder, generator, optimizer, step + 1, losses)
        progress(Progress(step + 1, config.steps, loss, tokens / (time.monotonic() - started)))
    save_generator(folder, generator, losses)
    return generator


def save_generator(folder: Path, generator: Generator, losses: Sequence[float]) -> None:
    """Write the generator (weights, and what they are) and the losses of its training, nats an input for each step."""
    described = {
        "vocabulary": generator.vocabulary.tokens,
        "positions": generator.positions,
        "sites": {str(site): generator.encoder(site).project.in_features for site in generator.sites},
        "width": generator.width,
        "layers": len(generator.backbone.blocks),
        "heads": generator.heads,
    }
    files.write(folder / "generator.safetensors", lambda temporary: save_file(generator.state_dict(), temporary))
    files.write_json(folder / "generator.json", described)
    steps = pa.table({"step": pa.array(range(1, len(losses) + 1), pa.int32()), "nats": list(losses)})
    files.write_table(folder / LOSSES, steps)


def load_generator(folder: Path, device: torch.device) -> Generator:
    """The generator that `train` saved in this folder, ready to draw."""
    described = files.read_json(folder / "generator.json")
    generator = Generator(
        Vocabulary(tuple(described["vocabulary"])),
        described["positions"],
        {Site.parse(site): dimension for site, dimension in described["sites"].items()},
        width=described["width"],
        layers=described["layers"],
        heads=described["heads"],
    )
    generator.load_state_dict(load_file(folder / "generator.safetensors"))
    return generator.to(device).eval()


def _step(
    generator: Generator,
    optimizer: torch.optim.Optimizer,
    rows: Int[Tensor, "n positions"],
    parts: dict[Site, _Site],
    config: TrainConfig,
    step: int,
    rng: torch.Generator,
) -> tuple[float, int]:
    """One update; the mean loss in nats an input, and how many tokens it was made of."""
    conditions, answers = [], []
    for site, part in parts.items():
        examples = part.examples(generator, site, max(1, config.batch // len(parts)), config, rng)
        conditions.append(generator.condition(site, examples.activations, examples.bandwidths))
        answers.append(examples.answers)
    condition = torch.cat(conditions)
    dropped = torch.rand(len(condition), generator=rng) < config.unconditional
    condition = generator.no_condition(len(condition)).where(dropped[:, None], condition)
    answer = rows[torch.cat(answers)]
    tokens = int((answer[:, 1:] != IGNORED).sum())
    nats = generator.nats(answer, condition)
    if not nats.isfinite().all():
        raise UserError(
            "training diverged: the loss is not a finite number",
            given=f"step {step + 1}",
            remedy="a lower train.learning_rate",
        )
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * min(1, (step + 1) / WARM_UP, 1 - step / config.steps)
    optimizer.zero_grad(set_to_none=True)
    (nats.sum() / tokens).backward()
    torch.nn.utils.clip_grad_norm_(generator.parameters(), GRADIENT_NORM)
    optimizer.step()
    return float(nats.mean()), tokens


def _optimizer(generator: Generator, config: TrainConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        generator.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True
    )


def _checkpoint(
    folder: Path, generator: Generator, optimizer: torch.optim.Optimizer, step: int, losses: Sequence[float]
) -> None:
    state = {
        "step": step,
        "losses": list(losses),
        "generator": generator.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    files.write(folder / CHECKPOINT, lambda temporary: torch.save(state, temporary))


def _resume(folder: Path, generator: Generator, optimizer: torch.optim.Optimizer) -> tuple[int, list[float]]:
    """Load the last checkpoint, if there is one: the steps that are done, and their losses."""
    path = folder / CHECKPOINT
    if not path.exists():
        return 0, []
    state: dict[str, Any] = torch.load(path, weights_only=True)
    generator.load_state_dict(state["generator"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["losses"]
