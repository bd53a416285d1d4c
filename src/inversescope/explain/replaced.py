"""The source run with another activation at a site: sufficiency and necessity of a hypothesis there."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from inversescope.causal.next_token import divergences
from inversescope.explain.prior import Hypothesis
from inversescope.inverter import Inversion
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.stats import intervals
from inversescope.stats.intervals import FEWEST, UNDEFINED, Estimate
from inversescope.streams import Stream
from inversescope.subject.patching import Source, unsettable
from inversescope.tasks import Tokens
from inversescope.verdicts import MOVES, MOVES_TIMES, NO_TEXT, NOTHING

RANDOM = 32  # random inputs, whose mean effect is the denominator of every ratio at a site
OTHERS = 8  # inputs of the pool with another label, where too few samples have one


class Replaced:
    """Effects of the activations of samples, random inputs and nearest others in place of the source's.

    Effects are KL divergences in nats, of the next token, from the undisturbed run.
    """

    def __init__(self, run: Run, site: Site, inversion: Inversion, seed: int):
        self._run, self._site = run, site
        self._effects: dict[Tokens, float] = {}
        self.own, self.random = nan, np.array([])
        self._has_source = inversion.tokens is not None
        if inversion.tokens is None or unsettable(run.subject, site) is not None:
            return
        self._source = Source(run.subject, inversion.tokens)
        self._undisturbed = self._source.logits([{}])[0].log_softmax(0)
        self._samples = [x for x in dict.fromkeys(s.tokens for s in inversion.samples) if x and x != inversion.tokens]
        activations = run.subject.capture([inversion.tokens, *self._samples], [site]).activations[site]
        pool = run.store.activations("pool", site)
        self._pool = pool
        self._nearest = run.store.distance(site).between(pool, activations[:1])[:, 0].argsort().tolist()
        self._measure(self._samples, activations[1:])
        others = [row for row, tokens in enumerate(run.store.inputs("pool").tokens) if tokens != inversion.tokens]
        shares = run.store.inputs("pool").shares(others)
        chosen = Stream.EXPLANATION_DONORS.rng(seed).choice(others, min(RANDOM, len(others)), replace=False, p=shares)
        self.own = float(self._kl(activations[:1])[0])
        self.random = self._kl(pool[chosen.tolist()])

    @property
    def nothing(self) -> bool:
        """True where even a random input's activation hardly moves the next token."""
        return bool(len(self.random)) and not self.random.mean() > max(MOVES, MOVES_TIMES * self.own)

    @property
    def reason(self) -> str | None:
        """The reason why no effect was measured, where it is the same for every hypothesis; else None."""
        return NO_TEXT if not self._has_source else NOTHING if self.nothing else None

    def of(self, hypothesis: Hypothesis) -> tuple[Estimate, Estimate]:
        """Sufficiency and necessity; undefined where the site cannot be set, where setting it has no effect, or where
        donors are missing.

        There is one source, so its donors are the independent units of the intervals.
        """
        if not len(self.random) or self.nothing:
            return UNDEFINED, UNDEFINED
        labels = {x: hypothesis.label(x) for x in self._samples}
        same = [x for x, label in labels.items() if label == hypothesis.value]
        other = [x for x, label in labels.items() if label not in (None, hypothesis.value)]
        if len(other) < FEWEST:
            other = self._others(hypothesis) or other
        if not same or not other:
            return UNDEFINED, UNDEFINED
        kept, moved = (np.array([self._effects[x] for x in donors]) for donors in (same, other))
        sufficiency = intervals.ratio_of_means([self.random, kept], [1, -1], [1, 0])
        necessity = intervals.ratio_of_means([self.random, moved, kept], [0, 1, -1], [1, 0, 0])
        return sufficiency._replace(high=min(sufficiency.high, 1.0)), necessity  # no divergence is below 0

    def _others(self, hypothesis: Hypothesis) -> list[Tokens]:
        """The nearest inputs of the pool with another label."""
        tokens = self._run.store.inputs("pool").tokens
        rows: list[int] = []
        for row in self._nearest:
            if not hypothesis.alike[row] and hypothesis.label(tokens[row]) is not None:
                rows.append(row)
            if len(rows) == OTHERS:
                break
        unknown = [row for row in rows if tokens[row] not in self._effects]
        self._measure([tokens[row] for row in unknown], self._pool[unknown])
        return [tokens[row] for row in rows]

    def _measure(self, inputs: Sequence[Tokens], activations: Float[Tensor, "donors d"]) -> None:
        if inputs:
            self._effects |= dict(zip(inputs, self._kl(activations).tolist(), strict=True))

    def _kl(self, activations: Float[Tensor, "donors d"]) -> Float[ndarray, " donors"]:
        logits = self._source.logits([{self._site: activation} for activation in activations])
        return divergences(self._undisturbed, logits).double().numpy()
