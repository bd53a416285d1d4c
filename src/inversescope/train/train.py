"""Train the generator: next-token loss on activations seen through a channel of width h.

Dimensions: `n` inputs of the train split, `batch` examples, `d` coordinates of a site.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from inversescope.collect.collect import Store
from inversescope.config import GeneratorConfig, TrainConfig
from inversescope.errors import UserError
from inversescope.generator import Generator, Vocabulary, content
from inversescope.generator.conditioning import CONDITIONINGS
from inversescope.generator.input_pca import Content
from inversescope.sites import Site
from inversescope.streams import TorchStream
from inversescope.subject import Subject
from inversescope.subject.trimmed_copy import Borrowed, lender
from inversescope.train.bandwidth_range import supported
from inversescope.train.checkpoint import save_checkpoint, save_generator
from inversescope.train.pairs import Examples
from inversescope.train.trainer import Check, Material, Training

SCRATCH = "scratch"


@dataclass(frozen=True)
class Progress:
    """How far training is.

    Attributes:
        step: steps done.
        steps: how many there are at most.
        nats: the mean loss of the last step, an input.
        tokens_per_second: so far.
        calibrated: at how many sites the last check found the generator calibrated; None: not checked.
    """

    step: int
    steps: int
    nats: float
    tokens_per_second: float
    calibrated: int | None


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
    check: Check | None = None,
    sampled: Sequence[float] = (),
) -> Generator:
    """Train a generator for these sites, from the last checkpoint if there is one, and save it.

    It ends when the check finds every site calibrated, after `config.steps` at the latest; between checks, effort goes
    where a site lags. The random numbers of a step follow from the seed and the step alone, so that a resumed training
    has the losses of an undisturbed one. A pretrained backbone needs the subject, for its weights or its tokens.

    Args:
        check: asked every `config.check` steps; None: never.
        sampled: bandwidths that must lie within what each site is trained for.

    Raises:
        UserError: the loss is no longer a finite number, or the backbone cannot be had.
    """
    material = prepare(store, sites, shape, config, seed, subject, sampled)
    training = Training(material, shape, config, seed, device)
    training.load(folder)
    started, tokens = time.monotonic(), 0
    while not training.ended:
        tokens += training.step()
        if check is not None and training.done % config.check == 0 and not training.ended:
            training.judge(check)
        if training.done % config.checkpoint == 0 and not training.ended:
            save_checkpoint(folder, training.state())
        speed = tokens / (time.monotonic() - started)
        progress(Progress(training.done, training.last, training.losses[-1], speed, training.calibrated))
    generator = training.finished()
    save_generator(folder, generator, training.losses)
    return generator


def prepare(
    store: Store,
    sites: Sequence[Site],
    shape: GeneratorConfig,
    config: TrainConfig,
    seed: int,
    subject: Subject | None,
    sampled: Sequence[float],
) -> Material:
    """An untrained generator, told what it can be before training, and what it is to be trained on."""
    inputs = store.inputs("train")
    vocabulary = Vocabulary.of(inputs.tokens, merge=shape.backbone == SCRATCH)
    rows = vocabulary.encode(inputs.tokens)
    probability = None if inputs.probability is None else torch.tensor(inputs.probability).float()
    torch.manual_seed(TorchStream.WEIGHTS.seed(seed))
    activations = {site: store.activations("train", site) for site in sites}
    spreads = {site: store.spread(site) for site in sites}
    known = torch.randperm(len(rows))[: shape.known if probability is None else None]
    bandwidths = {site: _range(store, site, config, seed, sampled) for site in sites}
    dimensions = {site: read.shape[1] for site, read in activations.items()}
    generator, says = untrained(rows, vocabulary, dimensions, bandwidths, len(known), shape, config, subject)
    generator.fit(activations, spreads, says, known, probability)
    examples = [Examples(generator, site, read, known, probability) for site, read in activations.items()]
    rng = torch.Generator().manual_seed(TorchStream.EXPLAINED.seed(seed))
    return Material(generator, examples, rows, [each.told(says.components, rng) for each in examples])


def untrained(
    rows: Int[Tensor, "n positions"],
    vocabulary: Vocabulary,
    dimensions: Mapping[Site, int],
    bandwidths: Mapping[Site, tuple[float, float]],
    known: int,
    shape: GeneratorConfig,
    config: TrainConfig,
    subject: Subject | None,
    device: torch.device | None = None,
) -> tuple[Generator, Content]:
    """A generator that knows nothing yet, and what its training inputs (rows of the vocabulary) say.

    Args:
        known: of how many inputs it keeps the activations.
        device: where it is made; on "meta" it has its shapes and takes no memory. None: torch's default.

    Raises:
        UserError: its backbone cannot be had.
    """
    backbone = _backbone(shape, config, vocabulary, rows.shape[1], subject)
    says = content(rows, backbone[0] if isinstance(backbone, tuple) else backbone.shape[0])
    with device or nullcontext():
        generator = Generator(
            vocabulary,
            rows.shape[1],
            dimensions,
            bandwidths,
            known=known,
            facts=says.sizes,
            encoder=shape.encoder,
            conditioning=shape.conditioning,
            backbone=backbone,
        )
    return generator, says


def _range(store: Store, site: Site, config: TrainConfig, seed: int, sampled: Sequence[float]) -> tuple[float, float]:
    """The bandwidths that a site is trained for."""
    if config.bandwidths != "range":
        return config.bandwidths
    ends = (*supported(store, site, seed), *sampled)
    return min(ends), max(ends)


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
