"""Other activations in place of the subject's own, at one token of one input, and what becomes of it."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.sites import Site
from inversescope.subject.architecture import Side, Tap
from inversescope.subject.architectures import architecture_of
from inversescope.subject.hooks import hook
from inversescope.subject.model_shape import rope_boundary
from inversescope.subject.projections import Projection
from inversescope.subject.subject import Subject

# What sites are set to. Of several sites of one module, the later ones have the last word.
Patches = Mapping[Site, Float[Tensor, " _"]]

ROWS = 64  # run at once: enough to fill the arithmetic units
# Relative errors of the logits up to which a beginning that was computed once is taken for the whole pass: in float32,
# and in half precision, where rounding differs with the shape of a batch.
EXACT, ROUNDED = 1e-4, 0.1

_UNSETTABLE = {
    "result": "a head's contribution is no module's output; set z instead",
    "resid_mid": "the block has kept its own copy of the stream by then",
}


def logits(subject: Subject, tokens: Sequence[int], patches: Patches | None = None) -> Float[Tensor, " vocabulary"]:
    """The logits of the next token, with these sites set to these values at the last token."""
    return _run(subject, tokens, patches or {}).logits[0, -1].float().cpu()


def attention(
    subject: Subject, tokens: Sequence[int], patches: Patches | None = None
) -> tuple[Float[Tensor, "heads tokens"], ...] | None:
    """The attention probabilities of each layer at the last token; None if the model does not return them.

    Computed with plain attention, the only kind that knows them.
    """
    with plain_attention(subject):
        given = getattr(_run(subject, tokens, patches or {}, output_attentions=True), "attentions", None)
    if not given or any(layer is None for layer in given):
        return None
    return tuple(layer[0, :, -1].float().cpu() for layer in given)


@contextmanager
def plain_attention(subject: Subject) -> Iterator[None]:
    """In a `with` block, the subject computes its attention step by step instead of in one kernel."""
    config = subject.model.config
    before = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = before


def unsettable(subject: Subject, site: Site) -> str | None:
    """Reason why a site cannot be set to a value; None if it can. Several sites as one must all be settable."""
    for single in site.singles:
        if single.point in _UNSETTABLE:
            return f"{single} cannot be set: {_UNSETTABLE[single.point]}"
        projection = subject.projections[single.projection] if single.projection else None
        if projection is not None and not projection.linear:
            return f"{single} cannot be set: many activations have the same latents"
        if projection is not None and torch.linalg.matrix_rank(projection.weight) < projection.dimension:
            return f"{single} cannot be set: its directions depend on each other"
    return None


class Source:
    """One input, run again and again with other activations at one of its tokens: the last, or that at `place`.

    The tokens before it do not depend on it, and are computed once where the model can go on from its keys and values.
    That it can is tried: the input itself must give the logits of a pass over all of it.
    """

    def __init__(self, subject: Subject, tokens: Sequence[int], position: int = -1):
        self._subject, self._tokens = subject, tuple(tokens)
        self._place = range(len(self._tokens))[position]
        self._past = _beginning(subject, self._tokens[: self._place])
        allowed = EXACT if subject.dtype == torch.float32 else ROUNDED
        if self.once and _error(self._pass([{}], [()])[0], logits(subject, tokens)) > allowed:
            self._past = None

    @property
    def once(self) -> bool:
        """True if its beginning is computed once; else every pass is over the whole input."""
        return self._past is not None

    def logits(
        self, rows: Sequence[Patches], written: Sequence[Sequence[int]] | None = None
    ) -> Float[Tensor, "rows vocabulary"]:
        """The logits of the next token, with the sites of each row set to its values; none for an empty row. Behind
        the input stands what is `written` in each row, equally many tokens in all of them.
        """
        # The keys and values of a beginning take far less memory than a pass over it.
        tokens = (8 if self.once else 1) * self._subject.batch_tokens
        size = max(1, min(ROWS, tokens // len(self._tokens)))
        written = [()] * len(rows) if written is None else written
        starts = range(0, len(rows), size)
        return torch.cat([self._pass(rows[i : i + size], written[i : i + size]) for i in starts])

    @torch.inference_mode()
    def _pass(self, rows: Sequence[Patches], written: Sequence[Sequence[int]]) -> Float[Tensor, "rows vocabulary"]:
        """The rows at once, behind their common beginning or as whole inputs."""
        model, behind, position = self._subject.model, {"use_cache": False}, self._place
        tokens = torch.tensor([[*self._tokens, *more] for more in written], device=self._subject.device)
        if self._past is not None:
            past = deepcopy(self._past)  # it grows by the tokens from the place on
            past.batch_repeat_interleave(len(rows))
            tokens, behind, position = tokens[:, position:], {"cache": past, "use_cache": True}, 0
        with _patched(self._subject, rows, position):
            output = model(input_ids=tokens, **behind)
        return output.logits[:, -1].float().cpu()


@torch.inference_mode()
def _beginning(subject: Subject, tokens: Sequence[int]) -> Any:
    """The keys and values of these tokens; None where there are none, or the model cannot go on from them."""
    from transformers import DynamicCache

    model = subject.model
    goes_on = "cache" in inspect.signature(model.forward).parameters and not model._is_stateful
    goes_on = goes_on and rope_boundary(model.config) is None  # what is written behind may change its positions
    if not tokens or not goes_on:
        return None
    past = DynamicCache(config=model.config)
    model.base_model(input_ids=torch.tensor([list(tokens)], device=subject.device), cache=past, use_cache=True)
    return past


def _error(left: Float[Tensor, " d"], right: Float[Tensor, " d"]) -> float:
    return float((left - right).norm() / right.norm())


def _run(subject: Subject, tokens: Sequence[int], patches: Patches, **options: bool) -> Any:
    """The model's output for one whole input."""
    with _patched(subject, [patches]), torch.inference_mode():
        return subject.model(input_ids=torch.tensor([list(tokens)], device=subject.device), use_cache=False, **options)


@dataclass(frozen=True)
class _Change:
    """Replacement of a site in some rows."""

    tap: Tap
    rows: Tensor
    values: Float[Tensor, "rows d"]
    projection: Projection | None

    def __call__(self, shown: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """The module's new output. Through a projection, what it does not see stays as it is."""
        if self.projection is None:
            return (self.values / self.tap.scale).to(shown)
        before = shown.float() * self.tap.scale
        projection = self.projection.to(shown.device)
        gap = self.values.to(before) - projection(before)
        return ((before + gap @ torch.linalg.pinv(projection.weight)) / self.tap.scale).to(shown)


@contextmanager
def _patched(subject: Subject, rows: Sequence[Patches], at: int = -1) -> Iterator[None]:
    """In a `with` block, row i of what goes through the model has the values of `rows[i]` at its token `at`."""
    with ExitStack() as stack:
        for (module, side), changes in _changes(subject, rows).items():
            submodule = subject.model.base_model.get_submodule(module)
            stack.callback(hook(submodule, side, partial(_replaced, len(rows), at, changes)).remove)
        yield


def _changes(subject: Subject, rows: Sequence[Patches]) -> dict[tuple[str, Side], list[_Change]]:
    """The changes at each module and side."""
    given: defaultdict[Site, list[tuple[int, Tensor]]] = defaultdict(list)
    for row, patches in enumerate(rows):
        for site, value in patches.items():
            for single, own in zip(site.singles, value.split([*map(subject.dimension, site.singles)]), strict=True):
                given[single].append((row, own))
    by_module: defaultdict[tuple[str, Side], list[_Change]] = defaultdict(list)
    for single, values in given.items():
        assert unsettable(subject, single) is None
        tap = architecture_of(subject.model).tap(single, subject.shape)
        places, replaced = zip(*values, strict=True)
        projection = subject.projections[single.projection] if single.projection else None
        change = _Change(tap, torch.tensor(places), torch.stack(replaced), projection)
        by_module[tap.module, tap.side].append(change)
    return by_module


def _replaced(rows: int, at: int, changes: Sequence[_Change], hidden: Tensor) -> Tensor:
    changed = hidden.clone(memory_format=torch.contiguous_format)
    shown = changed.view(rows, -1, changed.shape[-1])[:, at]  # some models put the tokens of all rows in one line
    for change in changes:
        cells = (change.rows.to(hidden.device), change.tap.columns)
        shown[cells] = change(shown[cells])
    return changed
