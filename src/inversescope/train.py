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
from inversescope.generator.pretrained import Pretrained
from inversescope.muon import Muon
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.borrowed import Borrowed, boundary, lender

WARM_UP = 20  # steps
GRADIENT_NORM = 1.0  # clipped to this
MUON_RATE = 5  # Muon's learning rate over AdamW's
GENTLE = 0.1  # the learning rate of what is pretrained, over that of what is new
SCRATCH = "scratch"
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
        near, device = self.generator.neighbourhood(self.site), self.activations.device
        low, high = torch.tensor(config.bandwidths).log()
        rows = torch.randint(len(self.activations), (count,), generator=rng).to(device)
        bandwidths = (low + (high - low) * torch.rand(count, generator=rng)).exp().to(device)
        itself = self.place[rows]
        activations = self.activations[rows]
        weights = near.weights(activations, bandwidths, itself)
        wanted = (torch.rand(count, generator=rng) < config.clean).to(device)
        noisy = torch.nonzero(~(wanted & _answerable(weights)))[:, 0]
        activations[noisy] = near.noised(activations[noisy], bandwidths[noisy], rng)
        weights[noisy] = near.weights(activations[noisy], bandwidths[noisy], itself[noisy])
        cut = torch.rand(count, 1, generator=rng).to(device)
        neighbours = self.known[(weights.cumsum(1) < cut).sum(1).clamp_max(len(self.known) - 1)]
        answers = neighbours.where(wanted & _answerable(weights), rows)
        return self.generator.condition(self.site, activations, bandwidths, weights), answers

    def told(self, config: TrainConfig, components: Float[Tensor, "n width"], rng: torch.Generator) -> float:
        """How much of an input's content its neighbours tell, from 0 to 1, midway in the range of bandwidths."""
        rows = torch.randint(len(self.activations), (PROBES,), generator=rng).to(self.activations.device)
        bandwidths = torch.tensor(config.bandwidths).log().mean().exp().expand(PROBES).to(self.activations.device)
        weights = self.generator.neighbourhood(self.site).weights(self.activations[rows], bandwidths, self.place[rows])
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
    subject: Subject | None = None,
) -> Generator:
    """Train a generator for these sites, from the last checkpoint if there is one, and save it.

    The random numbers of a step follow from the seed and the step alone, so that a resumed training has the losses of
    an undisturbed one. A pretrained backbone needs the subject, for its weights or its tokens.

    Raises:
        UserError: the loss is no longer a finite number, or the backbone cannot be had.
    """
    inputs = store.inputs("train").tokens
    vocabulary = Vocabulary.of(inputs, merge=shape.backbone == SCRATCH)
    rows = vocabulary.encode(inputs)
    torch.manual_seed(seed)
    activations = {site: store.activations("train", site) for site in sites}
    spreads = {site: store.spread(site) for site in sites}
    known = torch.randperm(len(rows))[: shape.known]
    backbone = _backbone(shape, vocabulary, subject)
    says = content(rows, backbone[0] if isinstance(backbone, tuple) else backbone.shape[0])
    generator = Generator(
        vocabulary,
        rows.shape[1],
        {site: read.shape[1] for site, read in activations.items()},
        known=len(known),
        facts=says.sizes,
        encoder=shape.encoder,
        conditioning=shape.conditioning,
        backbone=backbone,
    )
    generator.fit(activations, spreads, says, known)
    generator.to(device)
    parts = [_Site(generator, site, read.to(device), known.to(device)) for site, read in activations.items()]
    effort = _effort(parts, config, says.components.to(device), seed)
    rows = rows.to(device)
    saved = _saved(folder, generator)
    done, losses = saved["step"], saved["losses"]
    started, tokens, steps = time.monotonic(), 0, config.pretrain + config.steps
    for phase in _phases(shape, config):
        if done >= phase.end:
            continue
        generator.tune(backbone=phase.backbone, others=phase.conditional)
        optimizers = _optimizers(generator, config)
        if done > phase.start:
            for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(state)
        for step in range(done, phase.end):
            rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
            if phase.conditional:
                chosen = torch.multinomial(effort, min(config.sites_per_step, len(sites)), generator=rng).tolist()
                condition, answers = _examples([parts[i] for i in chosen], config, rng)
            else:
                answers = torch.randint(len(rows), (config.batch,), generator=rng).to(device)
                condition = generator.no_condition(config.batch)
            loss, seen = _update(generator, optimizers, rows[answers], condition, phase, step)
            losses.append(loss)
            tokens += seen
            if (step + 1) % config.checkpoint == 0 and step + 1 < steps:
                _checkpoint(folder, generator, optimizers, step + 1, losses)
            progress(Progress(step + 1, steps, loss, tokens / (time.monotonic() - started)))
        done = phase.end
    save_generator(folder, generator, losses)
    return generator


@dataclass(frozen=True)
class _Phase:
    """Steps from `start` to `end`: with conditions or from inputs alone; whether the backbone learns."""

    start: int
    end: int
    conditional: bool
    backbone: bool


def _phases(shape: GeneratorConfig, config: TrainConfig) -> list[_Phase]:
    """The backbone alone, if asked for; then the whole, or all but a frozen backbone."""
    alone = _Phase(0, config.pretrain, conditional=False, backbone=True)
    return [
        alone,
        _Phase(alone.end, alone.end + config.steps, conditional=True, backbone=shape.tuning != "frozen"),
    ]


def _backbone(
    shape: GeneratorConfig, vocabulary: Vocabulary, subject: Subject | None
) -> Borrowed | tuple[int, int, int]:
    """What the generator is to be built on. The boundary stands for what every input starts with, or for the tokens
    that the model itself puts before and after a text.
    """
    if shape.backbone == SCRATCH:
        return shape.width, shape.layers, shape.heads
    assert subject is not None
    tokens = [token for (token,) in vocabulary.phrases]
    model = lender(shape.backbone, subject, [*vocabulary.prefix, *tokens])
    first, last = boundary(model)
    (first,) = vocabulary.prefix or (first,)
    return Borrowed.of(model, shape.layers, [first, *tokens], [last, *tokens], adapted=shape.tuning == "lora")


def _effort(
    parts: Sequence[_Site], config: TrainConfig, components: Float[Tensor, "n width"], seed: int
) -> Float[Tensor, " sites"]:
    """How often each site is trained: in proportion to what its neighbours tell. Where there is little to say, there is
    little to learn.
    """
    rng = torch.Generator().manual_seed(seed)
    return torch.tensor([max(LEAST, part.told(config, components, rng)) for part in parts])


def save_generator(folder: Path, generator: Generator, losses: Sequence[float]) -> None:
    """Write the generator (weights, and what they are) and the losses of its training, nats an input for each step.

    A pretrained backbone is written whole, as trimmed: what was trained of it would be of no use without the rest.
    """
    backbone, shape = generator.backbone, generator.backbone.shape
    described = {
        "phrases": generator.vocabulary.phrases,
        "prefix": generator.vocabulary.prefix,
        "positions": generator.positions,
        "sites": {str(site): generator.neighbourhood(site).dimension for site in generator.sites},
        "known": generator.known,
        "facts": generator.facts,
        **generator.chosen,
        "width": shape.width,
        "layers": shape.layers,
        "heads": shape.heads,
        "pretrained": backbone.borrowed.description if isinstance(backbone, Pretrained) else None,
    }
    files.write_tensors(folder / "generator.safetensors", generator.state_dict())
    files.write_json(folder / "generator.json", described)
    steps = pa.table({"step": pa.array(range(1, len(losses) + 1), pa.int32()), "nats": list(losses)})
    files.write_table(folder / LOSSES, steps)


def load_generator(folder: Path, device: torch.device) -> Generator:
    """The generator that `train` saved in this folder, ready to draw."""
    described = files.read_json(folder / "generator.json")
    scratch, pretrained = (described["width"], described["layers"], described["heads"]), described["pretrained"]
    generator = Generator(
        Vocabulary(tuple(map(tuple, described["phrases"])), tuple(described["prefix"])),
        described["positions"],
        {Site.parse(site): dimension for site, dimension in described["sites"].items()},
        known=described["known"],
        facts=tuple(described["facts"]),
        encoder=described["encoder"],
        conditioning=described["conditioning"],
        backbone=Borrowed.from_description(pretrained) if pretrained else scratch,
    )
    generator.load_state_dict(load_file(folder / "generator.safetensors"))
    return generator.to(device).eval()


def _examples(
    parts: Sequence[_Site], config: TrainConfig, rng: torch.Generator
) -> tuple[Float[Tensor, "batch condition"], Int[Tensor, " batch"]]:
    """Conditions of several sites, some of them dropped, and the inputs that answer them."""
    examples = [part.examples(max(1, config.batch // len(parts)), config, rng) for part in parts]
    condition = torch.cat([condition for condition, _ in examples])
    dropped = (torch.rand(len(condition), generator=rng) < config.unconditional).to(condition.device)
    condition = parts[0].generator.no_condition(len(condition)).where(dropped[:, None], condition)
    return condition, torch.cat([answers for _, answers in examples])


def _update(
    generator: Generator,
    optimizers: Sequence[Optimizer],
    answer: Int[Tensor, "batch positions"],
    condition: Float[Tensor, "batch condition"],
    phase: _Phase,
    step: int,
) -> tuple[float, int]:
    """One update; the mean loss in nats an input, and how many tokens it was made of."""
    tokens = int((answer[:, 1:] != IGNORED).sum())
    nats = generator.nats(answer, condition)
    if not nats.isfinite().all():
        raise UserError(
            "training diverged: the loss is not a finite number",
            given=f"step {step + 1}",
            remedy="a lower train.learning_rate",
        )
    done = step - phase.start
    scale = min(1, (done + 1) / WARM_UP, 1 - done / (phase.end - phase.start))
    generator.zero_grad(set_to_none=True)
    (nats.sum() / tokens).backward()
    torch.nn.utils.clip_grad_norm_(generator.parameters(), GRADIENT_NORM)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = scale * group["peak"]
        optimizer.step()
    return float(nats.detach().mean()), tokens


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


def _saved(folder: Path, generator: Generator) -> dict[str, Any]:
    """Load the generator from the last checkpoint, if there is one: the steps done, their losses, and the state
    of the optimizers.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return {"step": 0, "losses": []}
    state: dict[str, Any] = torch.load(path, weights_only=True)
    generator.load_state_dict(state["generator"])
    return state
