"""Changes of the logits, and of the attention, when an activation of the middle layer is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.sites import POINTS, Site, every
from inversescope.subject.model_shape import token_enters_blocks
from inversescope.subject.patching import attention, logits
from inversescope.subject.site_check import Examined, Measured, SiteCheck, TooSmall, inputs, relative_error
from inversescope.subject.subject import Subject

STREAM = ("embed", "resid_pre", "resid_post", "final_norm")  # what comes behind depends on nothing else
TRIED = 4  # pairs of inputs, before the check cannot tell
NOISES = (1.0, 10.0, 100.0, 1000.0)  # in norms of the activation
STANDS_OUT = 4  # times the precision of an attention probability: smaller changes are rounding


class _Pair(NamedTuple):
    """Two inputs that differ in their last token, and the logits of the next."""

    tokens: tuple[int, ...]
    other: tuple[int, ...]
    logits: tuple[Tensor, Tensor]


class Patches(Examined):
    """Changes of the points of the middle layer, and their effects."""

    def __init__(self, subject: Subject):
        super().__init__(subject)
        self.layer = len(self.layers) // 2
        self._pair = cache(self._drawn)

    def checks(self) -> Iterator[SiteCheck]:
        beside = ("embed", "resid_pre", "resid_post") if token_enters_blocks(self.subject.model.config) else ()
        # The contribution of a head and the middle of a block are no module's: the sums vouch for them.
        for point in [point for point in POINTS if point in self.points - {"result", "resid_mid"}]:
            name = f"{point} replaced by itself changes nothing"
            yield from self.check(name, (point,), partial(self._itself, point))
            if point in STREAM and point not in beside:
                name = f"{point} replaced by another input's gives that input's logits"
                yield from self.check(name, (point,), partial(self._others, point))
            else:
                yield from self.check(
                    f"the logits do not ignore noise at {point}", (point,), partial(self._ignored, point)
                )
        for point in ("q", "k"):
            name = f"one head's {point} reversed changes the attention of no other head"
            yield from self.check(name, (point,), partial(self._leaks, point))

    def _drawn(self, seed: int) -> _Pair:
        tokens, other = inputs(self.subject, seed)[-2:]
        return _Pair(tokens, other, (logits(self.subject, tokens), logits(self.subject, other)))

    def _at(self, point: str, pair: _Pair) -> dict[Site, Float[Tensor, "2 d"]]:
        sites = self.subject.sites([every(point, self.layer)])
        return self.subject.capture([pair.tokens, pair.other], sites).activations

    def _itself(self, point: str) -> Measured:
        return [self._taken(point, self._pair(0), 0)]

    def _others(self, point: str) -> Measured:
        """Nothing is shown by two inputs with the same logits."""
        size = 0.0
        for seed in range(TRIED):
            pair = self._pair(seed)
            size = max(size, relative_error(pair.logits[0][None], pair.logits[1][None]))
            if size > self.allowed:
                return [self._taken(point, pair, 1)]
        return TooSmall(size)

    def _taken(self, point: str, pair: _Pair, line: int) -> float:
        """From the logits of one of the two inputs to those of the first with that one's activation."""
        values = {site: rows[line] for site, rows in self._at(point, pair).items()}
        return relative_error(logits(self.subject, pair.tokens, values)[None], pair.logits[line][None])

    def _ignored(self, point: str) -> Measured:
        """1 where noise at the activation does not change the logits at all, however large, else 0."""
        for seed in range(TRIED):
            pair, rng = self._pair(seed), torch.Generator().manual_seed(seed)
            at = self._at(point, pair)
            for size in NOISES:
                noisy = {site: value + size * _noise(value, rng) for site, (value, _) in at.items()}
                if not torch.equal(logits(self.subject, pair.tokens, noisy), pair.logits[0]):
                    return [0.0]
        return TooSmall(0.0) if self._idle(point) else [1.0]

    def _idle(self, point: str) -> bool:
        """True if nothing at this point can be felt: the attention or the MLP behind it adds zero to the stream, or the
        keys that a query meets are zero, or the queries that a key meets.
        """
        if point in STREAM:
            return False
        added = ["mlp_out"] if point.startswith("mlp") else ["attn_out", "result"]
        meets = {"q": "k", "k": "q"}.get(point)
        behind = [other for other in (meets, *added) if other in self.points]
        return any(all(not rows.any() for rows in self._at(other, self._pair(0)).values()) for other in behind)

    def _leaks(self, point: str) -> Measured:
        """The change of the other heads' attention over that of the head's own, of each head.

        Reversed, a head keeps its length: a norm over all heads keeps the others what they are.
        """
        waiting, errors = dict.fromkeys(self._at(point, self._pair(0)), 0.0), []
        for seed in range(TRIED):
            pair = self._pair(seed)
            before = attention(self.subject, pair.tokens)
            if before is None:
                return None
            least = STANDS_OUT * torch.finfo(self.subject.dtype).eps / len(pair.tokens)
            for site, (value, _) in self._at(point, pair).items():
                own, others = self._moved(point, site, value, before[self.layer], pair)
                if site in waiting and max(own, others) > least:
                    del waiting[site]
                    errors.append(others / own if own > least else torch.inf)
                elif site in waiting:
                    waiting[site] = max(own, waiting[site])
            if not waiting:
                return errors
        failed = [error for error in errors if error > self.allowed]
        return failed or TooSmall(max(waiting.values()))

    def _moved(
        self, point: str, site: Site, value: Tensor, before: Float[Tensor, "heads tokens"], pair: _Pair
    ) -> tuple[float, float]:
        """Change of the head's own attention, and of all others', when it is reversed."""
        shape = self.subject.shape
        after = attention(self.subject, pair.tokens, {site: value.flip(0)})
        assert after is not None and site.head is not None
        groups = torch.arange(shape.heads).chunk(shape.heads if point == "q" else shape.key_value_heads)
        moved = (after[self.layer] - before).abs().amax(1)
        own = moved[groups[site.head]].sum()
        return float(own), float(moved.sum() - own)


def _noise(value: Float[Tensor, " d"], rng: torch.Generator) -> Float[Tensor, " d"]:
    """As long as the activation."""
    noise = torch.randn(value.shape, generator=rng)
    return noise * (value.norm() / noise.norm() or 1)
