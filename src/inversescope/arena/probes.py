"""Probes: logistic regression (scikit-learn's), a network of one hidden layer, and the difference of means.

The network is written here, for scikit-learn's `MLPClassifier` cannot end when the seconds of the budget are over.
All end where the loss on held-out inputs is least.

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
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from inversescope.arena.plateau import train_to_plateau
from inversescope.arena.supervised import Fitted, Labelled
from inversescope.errors import UserError
from inversescope.extras import install

PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6)  # of the squared weights, beside a mean loss; strongest first
ITERATIONS = 100  # of L-BFGS between two looks at the clock
SPARSE = 0.1  # share of numbers that are not zero, below which a matrix is stored as sparse
HIDDEN = 256
BATCH, RATE, DECAY = 256, 1e-3, 1e-2
TEMPERATURES = torch.logspace(-3, 1, 17)  # of the difference of means, over the mean square distance within a label


def linear(inputs: Labelled, rng: torch.Generator, end: float) -> Fitted:
    """Multinomial logistic regression by scikit-learn, with the penalty of the least loss on held-out inputs: weaker
    ones are tried until two in a row are no better.
    """
    x, y = _matrix(inputs.x), inputs.y.numpy()
    if len(np.unique(y)) == 1:  # nothing to fit, which the library refuses
        return Fitted(lambda x: F.one_hot(inputs.y[:1], inputs.count).float().expand(len(x), -1))
    best, least, worse, steps, converged = None, np.inf, 0, 0, True
    model = regression()(warm_start=True, max_iter=ITERATIONS)  # each fit starts where the stronger penalty ended
    for penalty in PENALTIES:
        model.set_params(C=1 / (penalty * len(y)))
        taken, converged = _fit(model, x, y, end)
        loss = float(_nats(_probabilities(model, inputs.held_x, inputs.count).log(), inputs))
        steps, worse = steps + taken, worse + 1
        if loss < least:
            best, least, worse = copy.deepcopy(model), loss, 0
        if not converged or worse == 2:
            break
    return Fitted(lambda x: _probabilities(best, x, inputs.count), steps, cut=not converged)


def _fit(model: Any, x: Any, y: Int[ndarray, " n"], end: float) -> tuple[int, bool]:
    """Fit until the optimizer converges, or the time is up; the iterations, and True if it converged."""
    steps = 0
    while not steps or time.monotonic() < end:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged within the iterations
            model.fit(x, y)
        taken = int(model.n_iter_[0])
        steps += taken
        if taken < ITERATIONS:
            return steps, True
    return steps, False


def _matrix(x: Float[Tensor, "n d"]) -> Any:
    """The rows as scikit-learn takes them fastest: sparse where most are zero."""
    sparse = float((x != 0).float().mean()) < SPARSE
    return csr_matrix(x.numpy()) if sparse else x.numpy()


def regression() -> Any:
    """The class `LogisticRegression`.

    Raises:
        UserError: scikit-learn is missing.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        remedy = f"{install('arena')}, or name the other methods with --only"
        raise UserError("the linear probe needs scikit-learn", given=str(error), remedy=remedy) from error
    return LogisticRegression


def network(inputs: Labelled, rng: torch.Generator, end: float) -> Fitted:
    """One hidden layer, by AdamW until the loss on held-out inputs no longer falls, or the time is up."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=rng)))
        model = nn.Sequential(nn.Linear(inputs.x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, inputs.count))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)

    def epoch() -> int:
        batches = torch.randperm(len(inputs.y), generator=rng).split(BATCH)
        for batch in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs.x[batch]), inputs.y[batch]).backward()
            optimizer.step()
        return len(batches)

    ended = train_to_plateau(model, epoch, lambda: _loss(model, inputs), end)
    return Fitted(lambda x: model(x).softmax(-1), ended.steps, ended.cut)


def means(inputs: Labelled, rng: torch.Generator, end: float) -> Fitted:
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
    return Fitted(lambda x: classify(x, chosen).exp())


def _probabilities(model: Any, x: Float[Tensor, "n d"], count: int) -> Float[Tensor, "n labels"]:
    """The probability of every label; 0 for a label that the training inputs never had."""
    probabilities = torch.zeros(len(x), count)
    probabilities[:, model.classes_] = torch.from_numpy(model.predict_proba(_matrix(x))).float()
    return probabilities


@torch.no_grad()
def _loss(model: nn.Module, inputs: Labelled) -> float:
    return float(F.cross_entropy(model(inputs.held_x), inputs.held_y))


def _nats(log_probability: Float[Tensor, "held labels"], inputs: Labelled) -> Tensor:
    """Mean loss; a label that the training inputs never had counts as a small probability."""
    return F.nll_loss(log_probability.clamp_min(-20), inputs.held_y)
