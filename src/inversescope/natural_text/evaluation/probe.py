"""Linear probe beside the recovery of tokens: the token at a place, read off the activation without any search.

A ridge regression from the activation to the embedding of the token, fitted on inputs of the run's pool; the token
whose embedding is the likeliest given the prediction, with the residual's covariance and the tokens' frequency. The
scores are linear in the activation. Dimensions: `n` inputs of the pool, `q` targets, `d` coordinates, `v` the
vocabulary, `w` the width of embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.bridge import Bridge

PLACES = 8  # from the end
FEWEST = 20  # inputs that it is fitted on
UNSEEN = 0.5  # times that a token counts which none of them has at the place


def named(
    embeddings: Float[Tensor, "v w"],
    activations: Float[Tensor, "n d"],
    tokens: Int[Tensor, " n"],
    targets: Float[Tensor, "q d"],
) -> Int[Tensor, " q"]:
    """The token that the probe names for each target."""
    probe = Bridge.fit(embeddings[tokens], activations, None)
    counts = torch.bincount(tokens, minlength=len(embeddings)).float()
    bias = counts.clamp_min(UNSEEN).log()
    predicted = (probe.constant @ probe.vectors + probe.ends(targets)) / probe.values.sqrt()
    places = (embeddings @ probe.vectors) / probe.values.sqrt()
    return (predicted @ places.T - (places**2).sum(1) / 2 + bias).argmax(1)


def recovery(
    embeddings: Float[Tensor, "v w"],
    activations: Float[Tensor, "n d"],
    inputs: Sequence[Sequence[int]],
    targets: Float[Tensor, "q d"],
    sources: Sequence[Sequence[int]],
) -> list[list[float]]:
    """For each target: 1 where the probe names the source's token, from the last place on; nothing with few inputs.

    Args:
        inputs: of the pool, without prefix.
        sources: the targets' own.
    """
    places = min(PLACES, *(len(row) for row in (*inputs, *sources))) if len(inputs) >= FEWEST else 0
    found: list[list[float]] = [[] for _ in sources]
    for place in range(1, places + 1):
        tokens = torch.tensor([row[-place] for row in inputs])
        for row, source, token in zip(
            found, sources, named(embeddings, activations, tokens, targets).tolist(), strict=True
        ):
            row.append(float(token == source[-place]))
    return found
