"""Probes: logistic regression (scikit-learn's), a network of one hidden layer, and the difference of means.

The network is written here, for scikit-learn's `MLPClassifier` cannot end when the seconds of the budget are over.

Dimensions: `n` inputs, `d` coordinates of a site, `labels` of a feature.
"""

from __future__ import annotations

import copy
import time
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.arena.supervised import Classifier, Labelled
from inversescope.errors import UserError

PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4)  # of the squared weights, beside a mean loss; strongest first
ITERATIONS = 100  # of L-BFGS for each, at most
HIDDEN = 256
BATCH, RATE, DECAY = 256, 1e-3, 1e-2
PATIENCE = 5  # epochs without a better loss on held-out inputs
EPOCHS = 100  # at most
TEMPERATURES = torch.logspace(-3, 1, 17)  # of the difference of means, over the mean square distance within a label


def linear(inputs: Labelled, rng: torch.Generator, end: float) -> Classifier:
    """Multinomial logistic regression by scikit-learn, with the penalty of the least loss on held-out inputs."""
    x, y = inputs.x.numpy(), inputs.y.numpy()
    if len(np.unique(y)) == 1:  # nothing to fit, which the library refuses
        return lambda x: F.one_hot(inputs.y[:1], inputs.count).float().expand(len(x), -1)
    best, least = None, np.inf
    model = regression()(warm_start=True, max_iter=ITERATIONS)  # each fit starts where the stronger penalty ended
    for penalty in PENALTIES:
        model.set_params(C=1 / (penalty * len(y)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged within the iterations
            model.fit(x, y)
        fitted = copy.deepcopy(model)
        loss = float(_nats(_probabilities(fitted, inputs.held_x, inputs.count).log(), inputs))
        if best is None or loss < least:
            best, least = fitted, loss
        if time.monotonic() > end:
            break
    return lambda x: _probabilities(best, x, inputs.count)


def regression() -> Any:
    """The class `LogisticRegression`.

    Raises:
        UserError: scikit-learn is missing.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        remedy = 'pip install "inversescope[arena]", or name the other methods with --only'
        raise UserError("the linear probe needs scikit-learn", given=str(error), remedy=remedy) from error
    return LogisticRegression


def network(inputs: Labelled, rng: torch.Generator, end: float) -> Classifier:
    """One hidden layer, by AdamW until the loss on held-out inputs rises or the time is up; the best weights count."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=rng)))
        model = nn.Sequential(nn.Linear(inputs.x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, inputs.count))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    best, least, waited = copy.deepcopy(model), torch.inf, 0
    for _ in range(EPOCHS):
        if waited == PATIENCE or time.monotonic() > end:
            break
        for batch in torch.randperm(len(inputs.y), generator=rng).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs.x[batch]), inputs.y[batch]).backward()
            optimizer.step()
        loss, waited = _loss(model, inputs), waited + 1
        if loss < least:
            best, least, waited = copy.deepcopy(model), loss, 0
    return lambda x: best(x).softmax(-1)


def means(inputs: Labelled, rng: torch.Generator, end: float) -> Classifier:
    """Difference of means: the log odds of two labels grow along the line between their means, and are even half way,
    but for how frequent the labels are. Their scale is the one with the least loss on held-out inputs.
    """
    one_hot = F.one_hot(inputs.y, inputs.count).float()
    counts = one_hot.sum(0)
    centres = one_hot.T @ inputs.x / counts[:, None].clamp_min(1)
    spread = float(((inputs.x - centres[inputs.y]) ** 2).sum(1).mean())
    frequent = (counts / counts.sum()).log()  # −∞ for a label that the training inputs never had

    def classify(x: Float[Tensor, "n d"], temperature: Tensor) -> Float[Tensor, "n labels"]:
        return (frequent - torch.cdist(x, centres) ** 2 / (2 * temperature * max(spread, 1e-12))).log_softmax(-1)

    losses = torch.stack([_nats(classify(inputs.held_x, divisor), inputs) for divisor in TEMPERATURES])
    chosen = TEMPERATURES[losses.argmin()]
    return lambda x: classify(x, chosen).exp()


def _probabilities(model: Any, x: Float[Tensor, "n d"], count: int) -> Float[Tensor, "n labels"]:
    """The probability of every label; 0 for a label that the training inputs never had."""
    probabilities = torch.zeros(len(x), count)
    probabilities[:, model.classes_] = torch.from_numpy(model.predict_proba(x.numpy())).float()
    return probabilities


@torch.no_grad()
def _loss(model: nn.Module, inputs: Labelled) -> float:
    return float(F.cross_entropy(model(inputs.held_x), inputs.held_y))


def _nats(log_probability: Float[Tensor, "held labels"], inputs: Labelled) -> Tensor:
    """Mean loss; a label that the training inputs never had counts as a small probability."""
    return F.nll_loss(log_probability.clamp_min(-20), inputs.held_y)
