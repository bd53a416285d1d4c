"""Probes: logistic regression, a network of one hidden layer, and the difference of means.

Dimensions: `n` inputs, `d` coordinates of a site, `labels` of a feature.
"""

from __future__ import annotations

import copy
import time

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.arena.supervised import Classifier, Part

PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4)  # of the squared weights, beside a mean loss; strongest first
ITERATIONS = 50  # of L-BFGS for each
HIDDEN = 256
BATCH, RATE, DECAY = 256, 1e-3, 1e-2
PATIENCE = 5  # epochs without a better loss on what is held out
EPOCHS = 100  # at most
TEMPERATURES = torch.logspace(-3, 1, 17)  # of the difference of means, over the mean square distance within a label


def linear(part: Part, rng: torch.Generator, end: float) -> Classifier:
    """Multinomial logistic regression; the penalty is the one with the least loss on what is held out."""
    layer = nn.Linear(part.x.shape[1], part.count)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    best, least = copy.deepcopy(layer), torch.inf
    for penalty in PENALTIES:  # each starts where the stronger one ended
        _minimise(layer, part, penalty)
        loss = _loss(layer, part)
        if loss < least:
            best, least = copy.deepcopy(layer), loss
        if time.monotonic() > end:
            break
    return lambda x: best(x).softmax(-1)


def network(part: Part, rng: torch.Generator, end: float) -> Classifier:
    """One hidden layer, by AdamW until the loss on what is held out rises or the time is up; the best weights count."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=rng)))
        model = nn.Sequential(nn.Linear(part.x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, part.count))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    best, least, waited = copy.deepcopy(model), torch.inf, 0
    for _ in range(EPOCHS):
        if waited == PATIENCE or time.monotonic() > end:
            break
        for batch in torch.randperm(len(part.y), generator=rng).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(part.x[batch]), part.y[batch]).backward()
            optimizer.step()
        loss, waited = _loss(model, part), waited + 1
        if loss < least:
            best, least, waited = copy.deepcopy(model), loss, 0
    return lambda x: best(x).softmax(-1)


def means(part: Part, rng: torch.Generator, end: float) -> Classifier:
    """Difference of means: the log odds of two labels grow along the line between their means, and are even half way,
    but for how frequent the labels are. Their scale is the one with the least loss on what is held out.
    """
    one_hot = F.one_hot(part.y, part.count).float()
    counts = one_hot.sum(0)
    centres = one_hot.T @ part.x / counts[:, None].clamp_min(1)
    spread = float(((part.x - centres[part.y]) ** 2).sum(1).mean())
    frequent = (counts / counts.sum()).log()  # a label that was never seen is never said

    def classify(x: Float[Tensor, "n d"], temperature: Tensor) -> Float[Tensor, "n labels"]:
        return (frequent - torch.cdist(x, centres) ** 2 / (2 * temperature * max(spread, 1e-12))).log_softmax(-1)

    losses = torch.stack([_nats(classify(part.held_x, each), part) for each in TEMPERATURES])
    chosen = TEMPERATURES[losses.argmin()]
    return lambda x: classify(x, chosen).exp()


def _minimise(layer: nn.Linear, part: Part, penalty: float) -> None:
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = F.cross_entropy(layer(part.x), part.y) + penalty / 2 * (layer.weight**2).sum()
        found.backward()
        return found

    optimizer.step(loss)


@torch.no_grad()
def _loss(model: nn.Module, part: Part) -> float:
    return float(F.cross_entropy(model(part.held_x), part.held_y))


def _nats(log_probability: Float[Tensor, "held labels"], part: Part) -> Tensor:
    """Mean loss; a label that the training part never showed counts as a small probability."""
    return F.nll_loss(log_probability.clamp_min(-20), part.held_y)
