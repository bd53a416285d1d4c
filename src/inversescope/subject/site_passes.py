"""The same activation, however it is computed: early exit, batches, padding, shared beginnings, longer neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from inversescope.sites import every
from inversescope.subject.model_shape import longest_of, rope_boundary
from inversescope.subject.site_check import BATCHED, LENGTH, NEGLIGIBLE, Examined, SiteCheck, relative_error, tokens


class Passes(Examined):
    """The same activation, however it is computed."""

    def checks(self) -> Iterator[SiteCheck]:
        points = self.subject.points
        yield from self.check("early exit = full pass", points, self._early)
        if self.subject.dtype != torch.float32:
            self.allowed = BATCHED
        # Inputs of one beginning share it in a row where the subject allows that; unrelated ones are padded.
        for name, inputs in (("shared beginnings", self.inputs), ("padding", [line[::-1] for line in self.inputs])):
            yield from self.check(f"batched = one by one, with {name}", points, partial(self._batched, inputs))

        yield from self.check("beside a longer input = alone", points, self._beside)

    def _early(self) -> list[float]:
        sites = self.subject.sites([f"resid_post.{len(self.layers) // 2}"])
        early, full = (self.subject.capture(self.inputs, sites, logits=wanted) for wanted in (False, True))
        return [relative_error(early.activations[site], full.activations[site]) for site in sites]

    def _batched(self, inputs: Sequence[tuple[int, ...]]) -> list[float]:
        """At the last three inputs, which are among the longest."""
        sites = self.subject.sites([every(point) for point in self.points - {"result"}])
        together = self.subject.capture(inputs, sites).activations
        parts = [self.subject.capture([tokens], sites).activations for tokens in inputs[-3:]]
        alone = {site: torch.cat([batch[site] for batch in parts]) for site in sites}
        longest = torch.stack([rows.flatten(1).norm(dim=1) for rows in alone.values()]).amax(0)
        return [relative_error(together[site][-3:], alone[site], NEGLIGIBLE * longest) for site in sites]

    def _beside(self) -> list[float]:
        """The first of two inputs; the second is longer than what the model's positions change at, if both fit."""
        sites = self.subject.sites([every(point) for point in self.points - {"result"}])
        config, short = self.subject.model.config, self.inputs[-1]
        count, boundary = 4 * LENGTH, rope_boundary(config)
        if boundary is not None and 2 * (boundary + 1) <= self.subject.batch_tokens:
            count = max(count, boundary + 1)
        longer = tuple(
            [*self.subject.prefix, *tokens(self.subject, count, 1)][: min(count, longest_of(config) or count)]
        )
        alone, beside = (self.subject.capture(lines, sites).activations for lines in ([short], [short, longer]))
        longest = max(float(rows.norm()) for rows in alone.values())
        return [relative_error(beside[site][:1], alone[site], NEGLIGIBLE * longest) for site in sites]
