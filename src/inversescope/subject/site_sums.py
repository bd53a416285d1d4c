"""Equations between the sites of a block: what adds up, and what follows from what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from inversescope.sites import Site, every
from inversescope.subject.architectures import architecture_of, output_weight
from inversescope.subject.patching import attention, plain_attention
from inversescope.subject.site_check import Examined, SiteCheck, relative_error
from inversescope.subject.subject import Subject


class Sums(Examined):
    """Equations between the sites of a block."""

    def __init__(self, subject: Subject):
        super().__init__(subject)
        names = [point for point in subject.points if point not in ("embed", "result", "q", "k", "v", "final_norm")]
        self.at = subject.capture(self.inputs, subject.sites([every(point) for point in names])).activations

    def checks(self) -> Iterator[SiteCheck]:
        yield from self.check("attention probabilities × values = z", ("v", "z"), self._mixed)
        for name, points, error in (
            ("z through the output projection = attn_out", ("z", "result", "attn_out"), self._projected),
            ("mlp_act through the down projection = mlp_out", ("mlp_act", "mlp_out"), self._down),
        ):
            yield from self.check(name, points, partial(map, error, self.layers))
        for points in (("resid_pre", "attn_out", "resid_mid"), ("resid_pre", "attn_out", "mlp_out", "resid_post")):
            name = f"{' + '.join(points[:-1])} = {points[-1]}"
            yield from self.check(name, points, partial(map, partial(self._sum, points), self.layers))
        if len(self.layers) > 1:
            name = "resid_post of a layer = resid_pre of the next"
            yield from self.check(name, ("resid_pre", "resid_post"), self._joints)

    def _mixed(self) -> list[float] | None:
        """By causality the value at each token is that of the input that ends there."""
        subject, lines = self.subject, self.inputs[:-1]
        probabilities, shape = attention(subject, lines[-1]), subject.shape
        if probabilities is None:
            return None
        with plain_attention(subject):
            at = subject.capture(lines, subject.sites(["v.*.*", "z.*.*"])).activations
        errors = []
        for layer in self.layers:
            values = torch.stack([at[Site("v", layer, head)] for head in range(shape.key_value_heads)])
            values = values.repeat_interleave(shape.heads // shape.key_value_heads, 0)
            z = torch.stack([at[Site("z", layer, head)][-1] for head in range(shape.heads)])
            errors.append(relative_error(torch.einsum("ht,htd->hd", probabilities[layer], values), z))
        return errors

    def _projected(self, layer: int) -> float:
        sites = self.subject.sites([every("result", layer)])
        parts = self.subject.capture(self.inputs, sites).activations
        parts_sum = torch.stack([parts[site] for site in sites]).sum(0)
        return relative_error(self._added(layer, parts_sum, "attention"), self.at[Site("attn_out", layer)])

    def _down(self, layer: int) -> float:
        architecture = architecture_of(self.subject.model)
        weight = output_weight(self._module(layer, architecture.down)).float().cpu()
        hidden = self.at[Site("mlp_act", layer)] @ weight.T * architecture.scale
        return relative_error(self._added(layer, hidden, "mlp"), self.at[Site("mlp_out", layer)])

    def _added(self, layer: int, product: Tensor, sublayer: str) -> Tensor:
        """The vector added to the stream, from the product of a sublayer's last matrix: with its bias, and the norm."""
        architecture = architecture_of(self.subject.model)
        last, added = {
            "attention": (architecture.projection, architecture.added_attention),
            "mlp": (architecture.down, architecture.added_mlp),
        }[sublayer]
        bias = getattr(self._module(layer, last), "bias", None)
        whole = product if bias is None else product + bias.float().cpu() * architecture.scale
        if added in ("", last):
            return whole
        norm = self._module(layer, added)
        where = next(norm.parameters()).device
        with torch.inference_mode():
            return norm(whole.to(where, self.subject.dtype)).float().cpu()

    def _module(self, layer: int, path: str) -> torch.nn.Module:
        blocks = self.subject.model.base_model.get_submodule(architecture_of(self.subject.model).blocks)
        return blocks.get_submodule(f"{layer}.{path}")

    def _sum(self, points: Sequence[str], layer: int) -> float:
        *parts, whole = (self.at[Site(point, layer)] for point in points)
        return relative_error(torch.stack(parts).sum(0), whole)

    def _joints(self) -> list[float]:
        return [
            relative_error(self.at[Site("resid_pre", after)], self.at[Site("resid_post", before)])
            for before, after in pairwise(self.layers)
        ]
