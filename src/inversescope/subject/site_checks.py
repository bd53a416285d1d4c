"""Equations that hold if the sites of a subject are what they are called, measured on the loaded model itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.errors import UserError
from inversescope.sites import POINTS, Site, every
from inversescope.subject.architectures import architecture_of, longest_of, output_weight
from inversescope.subject.patching import attention, logits, plain_attention
from inversescope.subject.subject import Subject

LENGTH = 8  # tokens of the inputs that are tried
EXACT, ROUNDED = 1e-4, 0.03  # relative errors allowed in float32, and in half precision
# In half precision, where rounding differs with the shape of a batch and grows with depth; of rounded weights, whose
# kernels round the activations, too, by the largest of a batch (LLM.int8()).
BATCHED = 0.1
# Of the norm of the longest activation of an input. With weights set by hand, sums cancel to 1e-7 of it: rounding,
# which differs wholly from one processor to another.
NEGLIGIBLE = 0.01
STREAM = ("embed", "resid_pre", "resid_post", "final_norm")  # what comes behind depends on nothing else


@dataclass(frozen=True)
class SiteCheck:
    """One equation, and how far its sides are apart on this subject.

    Attributes:
        name: the equation.
        points: those that are not what they are called if it does not hold.
        error: largest relative error found; None where it cannot be examined.
        allowed: what rounding explains; None where the error is only reported.
    """

    name: str
    points: tuple[str, ...]
    error: float | None
    allowed: float | None

    @property
    def ok(self) -> bool | None:
        """True if it holds; None if it cannot be measured."""
        return None if self.error is None or self.allowed is None else self.error <= self.allowed


def examine(subject: Subject) -> tuple[SiteCheck, ...]:
    """All checks, on random tokens: at all layers, those that patch at the middle one.

    Raises:
        UserError: the subject computes values that are not finite.
    """
    return tuple(check for group in (_Sums, _Patches, _Passes) for check in group(subject).checks())


def drift(subject: Subject) -> SiteCheck | None:
    """Distance of the subject's last residual stream from its value in float32, or in bfloat16 if it is float32.

    Takes a copy of the model. None where its weights are rounded or on several devices: there is no other precision
    then.
    """
    if subject.rounded or len(set(getattr(subject.model, "hf_device_map", {}).values())) > 1:
        return None
    other = torch.bfloat16 if subject.dtype == torch.float32 else torch.float32
    copy = Subject.from_model(deepcopy(subject.model).to(other))
    sites, inputs = [Site("resid_post", subject.shape.layers - 1)], _inputs(subject)
    own, converted = (model.capture(inputs, sites).activations[sites[0]] for model in (subject, copy))
    names = [str(dtype).removeprefix("torch.") for dtype in (subject.dtype, other)]
    return SiteCheck(f"{names[0]} beside {names[1]}, at {sites[0]}", (), _error(own, converted), None)


def require(subject: Subject, sites: Iterable[Site]) -> None:
    """Refuse sites whose points are not what they are called on this subject.

    Raises:
        UserError: one of the checks that vouch for a site does not hold.
    """
    failed = {point: check for check in examine(subject) if check.ok is False for point in check.points}
    for single in (single for site in sites for single in site.singles):
        if single.point in failed:
            check = failed[single.point]
            raise UserError(
                f"the point {single.point} of this subject is not what it should be: {check.name} does not hold",
                given=f"{single}, relative error {check.error:.2g}",
                allowed=f"{check.allowed:g}",
                remedy=f"inversescope doctor {subject.name}",
            )


def _inputs(subject: Subject) -> list[tuple[int, ...]]:
    """Two random inputs that differ in their last token, with all their beginnings: 2 · LENGTH at most."""
    longest = longest_of(subject.model.config) or LENGTH
    rng = torch.Generator().manual_seed(0)
    drawn = torch.randint(subject.model.config.vocab_size, (LENGTH + 1,), generator=rng).tolist()
    line = tuple([*subject.prefix, *drawn][: min(LENGTH, longest)])
    other = next(token for token in (drawn[-1], drawn[-1] - 1 if drawn[-1] else 1) if token != line[-1])
    return [line[: n + 1] for n in range(len(line))] + [(*line[:-1], other)]


def _error(left: Tensor, right: Tensor, least: Tensor | float = 0.0) -> float:
    """‖left − right‖ / ‖right‖, the largest over rows; of a row that is zero, ‖left‖.

    `least`: a shorter row counts as this long, since it is mere rounding of longer ones.
    """
    gap, size = (left - right).flatten(1).norm(dim=1), right.flatten(1).norm(dim=1)
    size = size.maximum(torch.as_tensor(least, dtype=size.dtype))
    return float((gap / size.where(size > 0, 1.0)).max())


class _Examined:
    """Base of the checks: inputs, and the points that the subject has."""

    def __init__(self, subject: Subject):
        self.subject = subject
        self.inputs = _inputs(subject)
        self.points = set(subject.points)
        self.layers = range(subject.shape.layers)
        self.allowed = EXACT if subject.dtype == torch.float32 else ROUNDED
        if subject.rounded:
            self.allowed = BATCHED

    def check(
        self, name: str, points: Sequence[str], errors: Callable[[], Iterable[float] | None]
    ) -> Iterator[SiteCheck]:
        """The check, if the subject has all these points; None in place of errors: it cannot be examined."""
        if self.points.issuperset(points):
            measured = errors()
            yield SiteCheck(name, tuple(points), None if measured is None else max(measured), self.allowed)


class _Sums(_Examined):
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
            errors.append(_error(torch.einsum("ht,htd->hd", probabilities[layer], values), z))
        return errors

    def _projected(self, layer: int) -> float:
        sites = self.subject.sites([every("result", layer)])
        parts = self.subject.capture(self.inputs, sites).activations
        parts_sum = torch.stack([parts[site] for site in sites]).sum(0)
        return _error(self._added(layer, parts_sum, "attention"), self.at[Site("attn_out", layer)])

    def _down(self, layer: int) -> float:
        architecture = architecture_of(self.subject.model)
        weight = output_weight(self._module(layer, architecture.down)).float().cpu()
        hidden = self.at[Site("mlp_act", layer)] @ weight.T * architecture.scale
        return _error(self._added(layer, hidden, "mlp"), self.at[Site("mlp_out", layer)])

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
        return _error(torch.stack(parts).sum(0), whole)

    def _joints(self) -> list[float]:
        return [
            _error(self.at[Site("resid_pre", after)], self.at[Site("resid_post", before)])
            for before, after in pairwise(self.layers)
        ]


class _Patches(_Examined):
    """Changes of the logits, and of the attention, when an activation of the middle layer is replaced."""

    def __init__(self, subject: Subject):
        super().__init__(subject)
        self.tokens, self.other = self.inputs[-2:]
        self.layer = len(self.layers) // 2
        self.logits = [logits(subject, line) for line in (self.tokens, self.other)]

    def checks(self) -> Iterator[SiteCheck]:
        # The contribution of a head and the middle of a block are no module's: the sums vouch for them.
        for point in [point for point in POINTS if point in self.points - {"result", "resid_mid"}]:
            name = f"{point} replaced by itself changes nothing"
            yield from self.check(name, (point,), partial(self._taken, point, 0))
            if point in STREAM:
                name = f"{point} replaced by another input's gives that input's logits"
                yield from self.check(name, (point,), partial(self._taken, point, 1))
            else:
                yield from self.check(f"noise at {point} changes the logits", (point,), partial(self._ignored, point))
        for point in ("q", "k"):
            name = f"one head's {point} reversed changes the attention of no other head"
            yield from self.check(name, (point,), partial(self._leaks, point))

    def _at(self, point: str) -> dict[Site, Float[Tensor, "2 d"]]:
        sites = self.subject.sites([every(point, self.layer)])
        return self.subject.capture([self.tokens, self.other], sites).activations

    def _taken(self, point: str, line: int) -> list[float]:
        """From the logits of one of the two inputs to those of the first with that one's activation."""
        patched = logits(self.subject, self.tokens, {site: rows[line] for site, rows in self._at(point).items()})
        return [_error(patched[None], self.logits[line][None])]

    def _ignored(self, point: str) -> list[float]:
        """1 where noise as large as the activation does not change the logits at all, else 0."""
        rng, noisy = torch.Generator().manual_seed(0), {}
        for site, (value, _) in self._at(point).items():
            noise = torch.randn(value.shape, generator=rng)
            noisy[site] = value + noise * (value.norm() / noise.norm() or 1)
        return [float(torch.equal(logits(self.subject, self.tokens, noisy), self.logits[0]))]

    def _leaks(self, point: str) -> list[float] | None:
        """The change of the other heads' attention over that of the head's own.

        Reversed, a head keeps its length: a norm over all heads keeps the others what they are.
        """
        shape, before = self.subject.shape, attention(self.subject, self.tokens)
        if before is None:
            return None
        errors = []
        groups = torch.arange(shape.heads).chunk(shape.heads if point == "q" else shape.key_value_heads)
        for site, (value, _) in self._at(point).items():
            after = attention(self.subject, self.tokens, {site: value.flip(0)})
            assert after is not None and site.head is not None
            moved = (after[self.layer] - before[self.layer]).abs().amax(1)
            own = moved[groups[site.head]].sum()
            errors.append(float((moved.sum() - own) / own) if own > 0 else torch.inf)
        return errors


class _Passes(_Examined):
    """The same activation, however it is computed."""

    def checks(self) -> Iterator[SiteCheck]:
        points = self.subject.points
        yield from self.check("early exit = full pass", points, self._early)
        if self.subject.dtype != torch.float32:
            self.allowed = BATCHED
        # Inputs of one beginning share it in a row where the subject allows that; unrelated ones are padded.
        for name, inputs in (("shared beginnings", self.inputs), ("padding", [line[::-1] for line in self.inputs])):
            yield from self.check(f"batched = one by one, with {name}", points, partial(self._batched, inputs))

    def _early(self) -> list[float]:
        sites = self.subject.sites([f"resid_post.{len(self.layers) // 2}"])
        early, full = (self.subject.capture(self.inputs, sites, logits=wanted) for wanted in (False, True))
        return [_error(early.activations[site], full.activations[site]) for site in sites]

    def _batched(self, inputs: Sequence[tuple[int, ...]]) -> list[float]:
        """At the last three inputs, which are among the longest."""
        sites = self.subject.sites([every(point) for point in self.points - {"result"}])
        together = self.subject.capture(inputs, sites).activations
        parts = [self.subject.capture([tokens], sites).activations for tokens in inputs[-3:]]
        alone = {site: torch.cat([batch[site] for batch in parts]) for site in sites}
        longest = torch.stack([rows.flatten(1).norm(dim=1) for rows in alone.values()]).amax(0)
        return [_error(together[site][-3:], alone[site], NEGLIGIBLE * longest) for site in sites]
