"""Another activation in place of the subject's own, at the last token of one input, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.sites import Site
from inversescope.subject.architecture import Tap
from inversescope.subject.architectures import architecture_of
from inversescope.subject.hooks import hook
from inversescope.subject.subject import Subject


def logits(
    subject: Subject, tokens: Sequence[int], patches: Mapping[Site, Float[Tensor, " d"]] | None = None
) -> Float[Tensor, " vocabulary"]:
    """The logits of the next token, with these sites set to these values at the last token."""
    return _run(subject, tokens, patches or {}).logits[0, -1].float().cpu()


def attention(
    subject: Subject, tokens: Sequence[int], patches: Mapping[Site, Float[Tensor, " d"]] | None = None
) -> tuple[Float[Tensor, "heads tokens"], ...] | None:
    """The attention probabilities of each layer at the last token; None where the model does not tell them.

    Computed with plain attention, the only kind that knows them.
    """
    with plain_attention(subject):
        given = getattr(_run(subject, tokens, patches or {}, output_attentions=True), "attentions", None)
    if not given or any(layer is None for layer in given):
        return None
    return tuple(layer[0, :, -1].float().cpu() for layer in given)


@contextmanager
def plain_attention(subject: Subject) -> Iterator[None]:
    """Within, the subject computes its attention step by step instead of in one kernel."""
    config = subject.model.config
    before = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = before


def _run(subject: Subject, tokens: Sequence[int], patches: Mapping[Site, Tensor], **options: bool) -> Any:
    """The model's output. What is added in a block's middle cannot be set: the block has kept its own copy by then."""
    architecture = architecture_of(subject.model)
    with ExitStack() as stack, torch.inference_mode():
        for site, value in patches.items():
            assert site.point not in ("result", "resid_mid") and site.projection is None and not site.parts
            tap = architecture.tap(site, subject.shape)
            module = subject.model.base_model.get_submodule(tap.module)
            stack.callback(hook(module, tap.side, partial(_replaced, tap, value)).remove)
        return subject.model(input_ids=torch.tensor([list(tokens)], device=subject.device), use_cache=False, **options)


def _replaced(tap: Tap, value: Tensor, hidden: Tensor) -> Tensor:
    changed = hidden.clone()
    changed.view(-1, changed.shape[-1])[-1, tap.columns] = (value / tap.scale).to(changed)
    return changed
