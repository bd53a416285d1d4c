"""Bytes of a run, on the disk and in memory: from shapes and counts alone, before anything is run.

Bytes that are kept follow exactly from shapes. A batch's passing memory depends on kernels and allocators; it is
estimated from the tensors that exist side by side at the widest place.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel

from inversescope.collect.collect import FLOAT
from inversescope.collect.outside import MEASURED
from inversescope.collect.reference import known_rows
from inversescope.collect.store import Store
from inversescope.config import RunConfig
from inversescope.generator.neighbour_lm import NEIGHBOURS
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.batches import batch_tokens
from inversescope.subject.model_shape import vocabulary_of
from inversescope.tasks import Task
from inversescope.tasks.known_answers import CHUNK
from inversescope.train.emulator import MOST
from inversescope.train.prepare import untrained
from inversescope.train.training_inputs import training_inputs

LIBRARIES = 800_000_000  # torch, transformers and the rest, and what the allocator holds back (docs/lab/reading.md)
DOUBLE = 8  # bytes of a number that is kept in float64
A_SAMPLE = 200  # on the disk, of a sample at a site, in the records from `sample` to `report`
PAGE = 1_200_000  # on the disk, of what the report's page is without its numbers
OPTIMIZED = 4  # times a weight that learns: its gradient, running mean and two moments
# Side by side at the widest place of a block of the subject: stream, norm and sum; gate, up and product.
STREAMS, HIDDENS = 3, 3
# What the backward pass of the generator keeps of a token: of each block, of its logits, and bytes of each neighbour.
GENERATED, LOGITS, NEIGHBOUR = 24, 4, 24
# When a site is fitted: d x d matrices in float64, and copies of its activations.
EIGEN, COPIES = 4, 3


class Footprint:
    """Bytes of a run whose inputs are drawn.

    Args:
        config: of the run.
        whole: the subject's shapes (`shapes.without_weights`).
        store: holds the inputs.
        sites: for each split, where it is read.
        prior: gives inputs that are not read.

    Attributes:
        rows: inputs of each split that is read.
        coordinates: d of all sites of each split together.
        weights: bytes of the subject's.
    """

    def __init__(
        self, config: RunConfig, whole: Subject, store: Store, sites: dict[str, tuple[Site, ...]], prior: Task
    ):
        self._config, self._whole, self._sites = config, whole, sites
        self.rows = {split: len(store.inputs(split)) for split in sites}
        self.coordinates = {split: sum(map(whole.dimension, of)) for split, of in sites.items()}
        self.weights = weights_bytes(whole.model, config.subject.bits)
        self._known = sum(row["split"] != "pool" for row in known_rows(store, prior))
        self._nearest = MEASURED if store.exact else min(MEASURED, self.rows["pool"])
        self._generator, self._stored, self._learned = None, 0, 0
        if sites["train"]:
            self._plan_generator(config, store, prior)

    def _plan_generator(self, config: RunConfig, store: Store, prior: Task) -> None:
        """The generator's shapes, and what of it learns."""
        inputs, shape, whole, sites = store.inputs("train"), config.generator, self._whole, self._sites
        others = prior if config.train.emulate else None
        vocabulary, known = training_inputs(inputs, others, shape.stored, config.seed)
        self._stored = known.stored
        dimensions = {site: whole.dimension(site) for site in sites["train"]}
        rows, ranges = known.rows[: known.stored], dict.fromkeys(dimensions, (0.1, 1.0))
        self._generator, _ = untrained(rows, vocabulary, dimensions, ranges, len(rows), shape, torch.device("meta"))
        self._learned = sum(weight.nbytes for weight in self._generator.parameters() if weight.requires_grad)

    @property
    def activations(self) -> int:
        """Bytes that `collect` writes of them."""
        read = ("pool", "target") if self._config.collect.train == "all" else tuple(self.rows)
        return FLOAT * sum(self.rows[split] * self.coordinates[split] for split in read)

    @property
    def generator(self) -> int:
        """Bytes of its weights, and of the stored inputs and their activations; 0 without one."""
        if self._generator is None:
            return 0
        return sum(tensor.nbytes for tensor in self._generator.state_dict().values())

    @property
    def checkpoint(self) -> int:
        """The generator in training, on the disk until training ends: what is fitted once, and its last two states."""
        return self._in_training + 4 * self._learned

    @property
    def _in_training(self) -> int:
        """The generator and its optimizers."""
        return self.generator + 3 * self._learned

    def disk(self, inputs: int) -> dict[str, int]:
        """Bytes that stay there; `inputs` bytes is the table of them."""
        samples = self._config.sample
        drawn = len(samples.resolutions or samples.bandwidths) + 1  # edits are measured at every site, too
        sites = len(self._sites["train"])
        rows = self.rows["target"] * samples.samples * (drawn * sites + 1) if sites else 0
        return {
            "activations": self.activations,
            "inputs": inputs + 2 * FLOAT * self.coordinates["pool"],
            "generator": self.generator,
            "distances": FLOAT * self.rows["target"] * self._compared
            + DOUBLE * self._nearest * len(self._sites["pool"]),
            "records": A_SAMPLE * rows + PAGE,
        }

    def on_device(self, device: torch.device) -> dict[str, int]:
        """At the peak, where the subject and the generator are. On the CPU that is all there is."""
        reading = {"subject": self.weights, "a batch": self._reading(batch_tokens(device, self._whole.shape.width))}
        training = {
            "subject": self.weights,
            "generator": self.generator + OPTIMIZED * self._learned,
            "training inputs": self._examples,
            "a batch": self._learning,
        }
        if device.type == "cpu":
            reading |= {"a shard": self._shard, "libraries": LIBRARIES}
            training |= {"checkpoint": self._in_training, "libraries": LIBRARIES}
            training["a batch"] = max(self._learning, self._fitting)
        return max(reading, training, key=lambda parts: sum(parts.values()))

    def beside(self) -> dict[str, int]:
        """At the peak, in the machine's memory, where the subject and the generator are on a GPU."""
        fitting = self.generator + self._examples + self._fitting  # the generator is fitted before it goes there
        return {"libraries": LIBRARIES, "activations and generator": max(self._shard, fitting, self._in_training)}

    @property
    def _compared(self) -> int:
        """Activations at all sites whose distance to each target is kept: those of the pool, and of inputs whose
        probability is known.
        """
        return self.rows["pool"] * len(self._sites["pool"]) + self._known * len(self._sites["train"])

    @property
    def _shard(self) -> int:
        return FLOAT * min(self._config.collect.shard, max(self.rows.values())) * self.coordinates["pool"]

    @property
    def _examples(self) -> int:
        """Bytes of the activations that were read, and of the coefficients of the emulator."""
        emulated = min(MOST, self.rows["train"]) if self._config.train.emulate else 0
        return FLOAT * (self.rows["train"] + emulated) * self.coordinates["train"]

    def _reading(self, tokens: int) -> int:
        """A block's hidden states, or the logits of inputs that are read together, and a copy of them in float32."""
        shape, size = self._whole.shape, self._whole.dtype.itemsize
        block = size * tokens * (STREAMS * shape.width + HIDDENS * shape.mlp_width)
        return max(block, CHUNK * vocabulary_of(self._whole.model.config) * (size + FLOAT))

    @property
    def _fitting(self) -> int:
        """Bytes of the activations of the stored inputs, beside the largest of: their indicators; the widest site's
        covariance and eigenvectors in float64, and its standardized activations; the emulator's kernel in float64.
        """
        if self._generator is None:
            return 0
        rows, widest = self._stored, max(self._whole.dimension(site) for site in self._sites["train"])
        site = 8 * EIGEN * widest**2 + FLOAT * COPIES * rows * widest
        kernel = 8 * COPIES * min(MOST, self.rows["train"]) ** 2 if self._config.train.emulate else 0
        stored = FLOAT * rows * self.coordinates["train"]
        return stored + max(site, FLOAT * 2 * rows * sum(self._generator.indicators), kernel)

    @property
    def _learning(self) -> int:
        """Bytes that the backward pass keeps of a batch: hidden states, logits and neighbours."""
        if self._generator is None:
            return 0
        generator, shape = self._generator, self._generator.decoder.shape
        states = FLOAT * (GENERATED * shape.layers * shape.width + LOGITS * len(generator.vocabulary))
        neighbours = NEIGHBOUR * NEIGHBOURS if generator.encoder.bypass_width else 0
        return self._config.train.batch * generator.positions * (states + neighbours)


def weights_bytes(model: PreTrainedModel, bits: int | None) -> int:
    """Bytes of a model that may have no weights; with `bits`, its linear maps, except the head, are rounded."""
    whole = sum(weight.nbytes for weight in model.parameters())
    if bits is None:
        return whole
    head = model.get_output_embeddings()
    linear = [module.weight for module in model.modules() if isinstance(module, nn.Linear) and module is not head]
    return whole - sum(weight.nbytes - weight.numel() * bits // 8 for weight in linear)
