"""Train the generator: next-token loss on activations seen through a channel of width h.

Dimensions: `n` inputs of the train split, `batch` examples, `d` coordinates of a site.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from torch import Tensor
from torch.optim import Optimizer

from inversescope import files
from inversescope.collect import Store
from inversescope.config import GeneratorConfig, TrainConfig
from inversescope.errors import UserError
from inversescope.generator import IGNORED, Generator, Vocabulary, content
from inversescope.muon import Muon
from inversescope.sites import Site

WARM_UP = 20  # steps
GRADIENT_NORM = 1.0  # clipped to this
MUON_RATE = 5  # Muon's learning rate over AdamW's
# A clean target is answered by its neighbours where there are at least this many, counted as effective sample size.
NEIGHBOURS = 4
PROBES = 256  # inputs that tell how much effort a site is worth
LEAST = 0.1  # of what a site's neighbours can tell: no site goes without effort
LOSSES = "losses.parquet"
CHECKPOINT = "checkpoint.pt"


def _answerable(weights: Float[Tensor, "count known"]) -> Bool[Tensor, " count"]:
    """Whether enough known inputs are near."""
    return 1 / (weights**2).sum(1) >= NEIGHBOURS


@dataclass(frozen=True)
class Progress:
    """How far training is: the mean loss of the last step in nats an input, and tokens a second so far."""

    step: int
    steps: int
    nats: float
    tokens_per_second: float


class _Site:
    """One site's part of the training: its activations, and how examples are made of them."""

    def __init__(
        self,
        generator: Generator,
        site: Site,
        activations: Float[Tensor, "n d"],
        known: Int[Tensor, " known"],
    ):
        self.generator = generator
        self.site = site
        self.activations = activations
        self.known = known
        # The place of each input among the known ones.
        self.place = torch.full((len(activations),), -1, device=known.device)
        self.place[known] = torch.arange(len(known), device=known.device)

    def examples(
        self, count: int, config: TrainConfig, rng: torch.Generator
    ) -> tuple[Float[Tensor, "count width"], Int[Tensor, " count"]]:
        """Conditions, and the inputs that answer them. Two kinds of question (docs/method.md), mixed:

        Noisy channel: the activation of an input plus noise of width h; the answer is that input. Clean target: the
        activation itself; the answer is one of its neighbours, drawn with weights k(δ/h). The first is exact but hardly
        ever comes near a clean activation when h is large; the second is the question that is asked later.
        """
        encoder, device = self.generator.encoder(self.site), self.activations.device
        low, high = torch.tensor(config.bandwidths).log()
        rows = torch.randint(len(self.activations), (count,), generator=rng).to(device)
        bandwidths = (low + (high - low) * torch.rand(count, generator=rng)).exp().to(device)
        itself = self.place[rows]
        activations = self.activations[rows]
        weights = encoder.neighbours(activations, bandwidths, itself)
        wanted = (torch.rand(count, generator=rng) < config.clean).to(device)
        noisy = torch.nonzero(~(wanted & _answerable(weights)))[:, 0]
        activations[noisy] = encoder.noised(activations[noisy], bandwidths[noisy], rng)
        weights[noisy] = encoder.neighbours(activations[noisy], bandwidths[noisy], itself[noisy])
        cut = torch.rand(count, 1, generator=rng).to(device)
        neighbours = self.known[(weights.cumsum(1) < cut).sum(1).clamp_max(len(self.known) - 1)]
        answers = neighbours.where(wanted & _answerable(weights), rows)
        return self.generator.condition(self.site, activations, bandwidths, weights), answers

    def told(self, config: TrainConfig, components: Float[Tensor, "n width"], rng: torch.Generator) -> float:
        """How much of an input's content its neighbours tell, from 0 to 1, midway in the range of bandwidths."""
        rows = torch.randint(len(self.activations), (PROBES,), generator=rng).to(self.activations.device)
        bandwidths = torch.tensor(config.bandwidths).log().mean().exp().expand(PROBES).to(self.activations.device)
        weights = self.generator.encoder(self.site).neighbours(self.activations[rows], bandwidths, self.place[rows])
        own = components[rows]
        return float((weights @ components[self.known] * own).sum() / (own**2).sum())


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
    activations = {site: store.activations("train", site) for site in sites}
    spreads = {site: store.spread(site) for site in sites}
    known = torch.randperm(len(rows))[: shape.known]
    says = content(rows, shape.width)
    generator = Generator(
        vocabulary,
        rows.shape[1],
        {site: read.shape[1] for site, read in activations.items()},
        known=len(known),
        facts=says.sizes,
        width=shape.width,
        layers=shape.layers,
        heads=shape.heads,
    )
    generator.fit(activations, spreads, says, known)
    generator.to(device)
    parts = [_Site(generator, site, read.to(device), known.to(device)) for site, read in activations.items()]
    effort = _effort(parts, config, says.components.to(device), seed)
    rows = rows.to(device)
    optimizers = _optimizers(generator, config)
    done, losses = _resume(folder, generator, optimizers)
    started, tokens = time.monotonic(), 0
    for step in range(done, config.steps):
        rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = torch.multinomial(effort, min(config.sites_per_step, len(sites)), generator=rng).tolist()
        loss, seen = _step(generator, optimizers, rows, [parts[i] for i in chosen], config, step, rng)
        losses.append(loss)
        tokens += seen
        if (step + 1) % config.checkpoint == 0 and step + 1 < config.steps:
            _checkpoint(folder, generator, optimizers, step + 1, losses)
        progress(Progress(step + 1, config.steps, loss, tokens / (time.monotonic() - started)))
    save_generator(folder, generator, losses)
    return generator


def _effort(
    parts: Sequence[_Site], config: TrainConfig, components: Float[Tensor, "n width"], seed: int
) -> Float[Tensor, " sites"]:
    """How often each site is trained: in proportion to what its neighbours tell. Where there is little to say, there is
    little to learn.
    """
    rng = torch.Generator().manual_seed(seed)
    return torch.tensor([max(LEAST, part.told(config, components, rng)) for part in parts])


def save_generator(folder: Path, generator: Generator, losses: Sequence[float]) -> None:
    """Write the generator (weights, and what they are) and the losses of its training, nats an input for each step."""
    described = {
        "phrases": generator.vocabulary.phrases,
        "prefix": generator.vocabulary.prefix,
        "positions": generator.positions,
        "sites": {str(site): generator.encoder(site).project.in_features for site in generator.sites},
        "known": generator.known,
        "facts": generator.expectation.sizes,
        "width": generator.width,
        "layers": len(generator.backbone.blocks),
        "heads": generator.heads,
    }
    files.write_tensors(folder / "generator.safetensors", generator.state_dict())
    files.write_json(folder / "generator.json", described)
    steps = pa.table({"step": pa.array(range(1, len(losses) + 1), pa.int32()), "nats": list(losses)})
    files.write_table(folder / LOSSES, steps)


def load_generator(folder: Path, device: torch.device) -> Generator:
    """The generator that `train` saved in this folder, ready to draw."""
    described = files.read_json(folder / "generator.json")
    generator = Generator(
        Vocabulary(tuple(map(tuple, described["phrases"])), tuple(described["prefix"])),
        described["positions"],
        {Site.parse(site): dimension for site, dimension in described["sites"].items()},
        known=described["known"],
        facts=tuple(described["facts"]),
        width=described["width"],
        layers=described["layers"],
        heads=described["heads"],
    )
    generator.load_state_dict(load_file(folder / "generator.safetensors"))
    return generator.to(device).eval()


def _step(
    generator: Generator,
    optimizers: Sequence[Optimizer],
    rows: Int[Tensor, "n positions"],
    parts: Sequence[_Site],
    config: TrainConfig,
    step: int,
    rng: torch.Generator,
) -> tuple[float, int]:
    """One update; the mean loss in nats an input, and how many tokens it was made of."""
    examples = [part.examples(max(1, config.batch // len(parts)), config, rng) for part in parts]
    condition = torch.cat([condition for condition, _ in examples])
    dropped = (torch.rand(len(condition), generator=rng) < config.unconditional).to(condition.device)
    condition = generator.no_condition(len(condition)).where(dropped[:, None], condition)
    answer = rows[torch.cat([answers for _, answers in examples])]
    tokens = int((answer[:, 1:] != IGNORED).sum())
    nats = generator.nats(answer, condition)
    if not nats.isfinite().all():
        raise UserError(
            "training diverged: the loss is not a finite number",
            given=f"step {step + 1}",
            remedy="a lower train.learning_rate",
        )
    scale = min(1, (step + 1) / WARM_UP, 1 - step / config.steps)
    generator.zero_grad(set_to_none=True)
    (nats.sum() / tokens).backward()
    torch.nn.utils.clip_grad_norm_(generator.parameters(), GRADIENT_NORM)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = scale * group["peak"]
        optimizer.step()
    return float(nats.detach().mean()), tokens


def _optimizers(generator: Generator, config: TrainConfig) -> list[Optimizer]:
    """Muon for the matrices inside the network, AdamW for the rest (compared in docs/experiments.md)."""
    inside = [*generator.backbone.blocks.parameters(), *generator.mix.parameters()]
    matrices = [weight for weight in inside if weight.ndim == 2]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in generator.parameters() if id(weight) not in chosen]
    muon, adam = MUON_RATE * config.learning_rate, config.learning_rate
    return [
        Muon([{"params": matrices, "peak": muon}], lr=muon),
        torch.optim.AdamW(
            [{"params": others, "peak": adam}], lr=adam, betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True
        ),
    ]


def _checkpoint(
    folder: Path, generator: Generator, optimizers: Sequence[Optimizer], step: int, losses: Sequence[float]
) -> None:
    state = {
        "step": step,
        "losses": list(losses),
        "generator": generator.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    content = io.BytesIO()  # torch's own writer hides that the disk is full
    torch.save(state, content)
    files.write(folder / CHECKPOINT, lambda temporary: temporary.write_bytes(content.getbuffer()))


def _resume(folder: Path, generator: Generator, optimizers: Sequence[Optimizer]) -> tuple[int, list[float]]:
    """Load the last checkpoint, if there is one: the steps that are done, and their losses."""
    path = folder / CHECKPOINT
    if not path.exists():
        return 0, []
    state: dict[str, Any] = torch.load(path, weights_only=True)
    generator.load_state_dict(state["generator"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return state["step"], state["losses"]
