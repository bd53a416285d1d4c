"""Inputs that a generator is trained on, and which of them it stores.

Only some inputs of the prior were read. The others are inputs all the same: they have tokens and a probability, and an
activation that the emulator predicts. Three cases:

whole: the prior has no more inputs than the generator stores; all are stored, with their probability.
endless: draws from the prior. The generator stores those that were read and more; pairs are made of still others, so
    that an answer is among the stored inputs just as often as it is for a new target.
read: the inputs that were read and no others, of a prior that is a file, or where the emulator is switched off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.collect.inputs import Inputs
from inversescope.generator import Vocabulary
from inversescope.streams import Stream
from inversescope.tasks import Task, Tokens

DRAWN = 65_536  # inputs drawn from an endless prior


@dataclass(frozen=True)
class TrainingInputs:
    """Inputs of training, and the part that each plays.

    Attributes:
        rows: all inputs, as rows of the vocabulary; the generator stores the first `stored`.
        stored: number of them.
        read: index of every input that was read, in the order of the train split.
        others: index of the inputs that pairs are made of where activations can be predicted; empty in the third case.
        probability: P of each input where they are the whole prior.
    """

    rows: Int[Tensor, "n positions"]
    stored: int
    read: Int[Tensor, " read"]
    others: Int[Tensor, " others"]
    probability: Float[Tensor, " n"] | None

    def to(self, device: torch.device) -> TrainingInputs:
        """Copy on another device."""
        probability = None if self.probability is None else self.probability.to(device)
        rows, read, others = (part.to(device) for part in (self.rows, self.read, self.others))
        return TrainingInputs(rows, self.stored, read, others, probability)


def training_inputs(inputs: Inputs, prior: Task | None, stored: int, seed: int) -> tuple[Vocabulary, TrainingInputs]:
    """The inputs of the train split, with others of the prior.

    Args:
        inputs: those that were read.
        prior: where others come from; None for no others.
        stored: the most that the generator stores.
    """
    if inputs.exact:
        index = np.arange(len(inputs))
        return _encoded(inputs.tokens, len(inputs), index, index, inputs.enumerated)
    rng = Stream.TRAINING_INPUTS.rng(seed)
    order = rng.permutation(len(inputs))
    kept, read = [inputs.tokens[i] for i in order], np.argsort(order)
    whole = _whole(prior, kept, stored, rng) if prior is not None else []
    if whole:
        place = {tokens: i for i, (tokens, _) in enumerate(whole)}
        read = np.array([place[tokens] for tokens in inputs.tokens])
        probability = np.array([chance for _, chance in whole])
        return _encoded([tokens for tokens, _ in whole], len(whole), read, np.arange(len(whole)), probability)
    if prior is None or prior.rows is not None:
        return _encoded(kept, min(stored, len(kept)), read, read[:0], None)
    rows = [*kept, *prior.draw(DRAWN, rng)]
    return _encoded(rows, stored, read, np.arange(max(stored, len(kept)), len(rows)), None)


def _whole(prior: Task, kept: Sequence[Tokens], stored: int, rng: np.random.Generator) -> list[tuple[Tokens, float]]:
    """Every input of the prior with its probability, sorted; empty if there are more than `stored`.

    An endless prior is enumerated only if few of many draws are distinct: some have millions of inputs.
    """
    few = len({*prior.draw(DRAWN, rng), *kept}) if prior.rows is None else prior.rows
    whole = sorted(islice(prior.enumerate(), stored + 1)) if few <= stored else []
    return whole if len(whole) <= stored else []


def _encoded(
    tokens: Sequence[Tokens],
    stored: int,
    read: np.ndarray,
    others: np.ndarray,
    probability: np.ndarray | None,
) -> tuple[Vocabulary, TrainingInputs]:
    vocabulary = Vocabulary.of(tokens)
    exact = None if probability is None else torch.tensor(probability).float()
    index = torch.from_numpy(read), torch.from_numpy(others)
    return vocabulary, TrainingInputs(vocabulary.encode(tokens), stored, *index, exact)
