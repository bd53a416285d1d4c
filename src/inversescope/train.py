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
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor
from torch.optim import Optimizer

from inversescope import files
from inversescope.collect import Store
from inversescope.config import GeneratorConfig, TrainConfig
from inversescope.errors import UserError
from inversescope.examples import Examples
from inversescope.generator import IGNORED, Generator, Vocabulary, content
from inversescope.generator.conditioning import CONDITIONINGS
from inversescope.generator.pretrained import Pretrained
from inversescope.muon import Muon
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.borrowed import Borrowed, lender

WARM_UP = 20  # steps
GRADIENT_NORM = 1.0  # clipped to this
MUON_RATE = 5  # Muon's learning rate over AdamW's
GENTLE = 0.1  # the learning rate of what is pretrained, over that of what is new
SCRATCH = "scratch"
LOSSES = "losses.parquet"
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Progress:
    """How far training is: the mean loss of the last step in nats an input, and tokens a second so far."""

    step: int
    steps: int
    nats: float
    tokens_per_second: float


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
    generator, rows, examples = _prepare(store, sites, shape, config, seed, device, subject)
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
            condition, answers = examples.conditional(rng) if phase.conditional else examples.unconditional(rng)
            loss, seen = _update(generator, optimizers, rows[answers], condition, phase, step)
            losses.append(loss)
            tokens += seen
            if (step + 1) % config.checkpoint == 0 and step + 1 < steps:
                _checkpoint(folder, generator, optimizers, step + 1, losses)
            progress(Progress(step + 1, steps, loss, tokens / (time.monotonic() - started)))
        done = phase.end
    save_generator(folder, generator, losses)
    return generator


def _prepare(
    store: Store,
    sites: Sequence[Site],
    shape: GeneratorConfig,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    subject: Subject | None,
) -> tuple[Generator, Int[Tensor, "n positions"], Examples]:
    """The generator, fitted to the activations; the inputs as rows of its vocabulary; what it is asked of them."""
    inputs = store.inputs("train").tokens
    vocabulary = Vocabulary.of(inputs, merge=shape.backbone == SCRATCH)
    rows = vocabulary.encode(inputs)
    torch.manual_seed(seed)
    activations = {site: store.activations("train", site) for site in sites}
    spreads = {site: store.spread(site) for site in sites}
    known = torch.randperm(len(rows))[: shape.known]
    backbone = _backbone(shape, config, vocabulary, rows.shape[1], subject)
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
    there = {site: read.to(device) for site, read in activations.items()}
    examples = Examples(generator, there, known.to(device), says.components.to(device), config, seed)
    return generator, rows.to(device), examples


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
    return [alone, _Phase(alone.end, alone.end + config.steps, conditional=True, backbone=shape.tuning != "frozen")]


def _backbone(
    shape: GeneratorConfig, config: TrainConfig, vocabulary: Vocabulary, positions: int, subject: Subject | None
) -> Borrowed | tuple[int, int, int]:
    """What the generator is built on. A pretrained model reads the boundary as what every input starts with."""
    if shape.backbone == SCRATCH:
        return shape.width, shape.layers, shape.heads
    assert subject is not None
    tokens = [token for (token,) in vocabulary.phrases]
    model = lender(shape.backbone, subject, [*vocabulary.prefix, *tokens])
    if shape.tuning == "frozen" and not config.pretrain and shape.layers < model.config.num_hidden_layers:
        raise UserError(
            "a backbone without its last blocks must learn before it is frozen",
            given=f"generator.layers = {shape.layers}, train.pretrain = 0",
            remedy=f"train.pretrain above 0, or generator.layers = {model.config.num_hidden_layers}",
        )
    return Borrowed.of(
        model,
        tokens,
        *vocabulary.prefix,
        layers=shape.layers,
        longest=positions - 1 + CONDITIONINGS[shape.conditioning].before,  # the last boundary is not read
        adapted=shape.tuning == "lora",
    )


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
