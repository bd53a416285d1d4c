"""The source run with another activation at a site: does it matter, and does a hypothesis say which part of it?"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from inversescope.effects import LEAST, ROUNDING
from inversescope.explain.prior import Hypothesis
from inversescope.inverter import Inversion
from inversescope.pipeline import Run
from inversescope.sites import Site
from inversescope.subject.patching import Source, unsettable
from inversescope.tasks import Tokens

DONORS = 8  # of a kind


class Replaced:
    """What the activations of the samples, of random inputs and of the nearest others do in place of the source's.

    Effects are KL divergences in nats, of the next token, from the undisturbed run.
    """

    def __init__(self, run: Run, site: Site, inversion: Inversion, seed: int):
        self._run, self._site = run, site
        self._effects: dict[Tokens, float] = {}
        self.random = self.own = nan
        if unsettable(run.subject, site) is not None:
            return
        self._source = Source(run.subject, inversion.tokens)
        self._undisturbed = self._source.logits([{}])[0].log_softmax(0)
        self._samples = [x for x in dict.fromkeys(s.tokens for s in inversion.samples) if x and x != inversion.tokens]
        activations = run.subject.capture([inversion.tokens, *self._samples], [site]).activations[site]
        pool = run.store.activations("pool", site)
        self._pool, self._nearest = (
            pool,
            run.store.spread(site).distances(pool, activations[:1])[:, 0].argsort().tolist(),
        )
        self._measure(self._samples, activations[1:])
        others = [row for row, tokens in enumerate(run.store.inputs("pool").tokens) if tokens != inversion.tokens]
        probability = run.store.inputs("pool").probability
        shares = None if probability is None else probability[others] / probability[others].sum()
        chosen = np.random.default_rng([seed, 5]).choice(others, min(DONORS, len(others)), replace=False, p=shares)
        self.own = float(self._kl(activations[:1])[0])
        self.random = float(self._kl(pool[chosen.tolist()]).mean())

    def of(self, hypothesis: Hypothesis) -> tuple[float, float]:
        """Sufficiency and necessity; NaN where the site cannot be set, or does nothing, or donors are missing."""
        if not self.random > max(LEAST, ROUNDING * self.own):
            return nan, nan
        labels = {x: hypothesis.label(x) for x in self._samples}
        same = [x for x, label in labels.items() if label == hypothesis.value][:DONORS]
        other = [x for x, label in labels.items() if label not in (None, hypothesis.value)][:DONORS]
        other = other or self._others(hypothesis)
        if not same or not other:
            return nan, nan
        kept, moved = (float(np.mean([self._effects[x] for x in donors])) for donors in (same, other))
        return 1 - kept / self.random, (moved - kept) / self.random

    def _others(self, hypothesis: Hypothesis) -> list[Tokens]:
        """The nearest inputs of the pool with another label."""
        tokens = self._run.store.inputs("pool").tokens
        rows: list[int] = []
        for row in self._nearest:
            if not hypothesis.alike[row] and hypothesis.label(tokens[row]) is not None:
                rows.append(row)
            if len(rows) == DONORS:
                break
        unknown = [row for row in rows if tokens[row] not in self._effects]
        self._measure([tokens[row] for row in unknown], self._pool[unknown])
        return [tokens[row] for row in rows]

    def _measure(self, inputs: Sequence[Tokens], activations: Float[Tensor, "donors d"]) -> None:
        if inputs:
            self._effects |= dict(zip(inputs, self._kl(activations).tolist(), strict=True))

    def _kl(self, activations: Float[Tensor, "donors d"]) -> Float[ndarray, " donors"]:
        logs = self._source.logits([{self._site: each} for each in activations]).log_softmax(1)
        return (self._undisturbed.exp() * (self._undisturbed - logs)).sum(1).clamp_min(0).double().numpy()
