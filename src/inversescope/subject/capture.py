"""Activations at the last token of each input, by hooks on a model that runs no further than the deepest site."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.errors import UserError
from inversescope.sites import Site
from inversescope.subject.architectures import architecture_of, may_pack, shape_of
from inversescope.subject.batches import Batch, batches

# The module of one layer that a hook sits on; the heads of a layer share theirs.
Place = tuple[int, str]


@dataclass(frozen=True)
class Captured:
    """What was read: row i belongs to input i, at its last token; float32, on the CPU, whatever the subject runs in.

    `logits` are those of the next token, None unless asked for.
    """

    activations: dict[Site, Float[Tensor, "n d"]]
    logits: Float[Tensor, "n vocabulary"] | None


_READING = "reading the subject"
_SMALLER = "a smaller batch (Subject.batch_tokens), fewer inputs (collect.shard) or sites at a time, or shorter inputs"


class _DeepEnough(Exception):  # noqa: N818 - a signal from the deepest hook, not an error
    """Nothing beyond this point was asked for."""


class _TooLargeError(UserError):
    """Memory ran out."""


class _NotFiniteError(UserError):
    """NaN or infinity was read."""


class _Taps:
    """Hooks at the places asked for, for the length of a `with` block."""

    def __init__(self, model: Any, places: Sequence[Place], *, logits: bool):
        self._model = model
        self._places = places
        self._deepest = None if logits or not places else places[-1]
        self._logits = logits
        self._seen: dict[Place, Tensor] = {}
        self._batch: Batch | None = None

    def __enter__(self) -> Self:
        architecture = architecture_of(self._model.config)
        blocks = self._model.base_model.get_submodule(architecture.blocks)
        self._handles = []
        for place in self._places:
            layer, point = place
            path, side = architecture.tap(point)
            module, keep = blocks[layer].get_submodule(path), partial(self._keep, place)
            if side == "input":
                self._handles.append(module.register_forward_pre_hook(lambda _, args, keep=keep: keep(args[0])))
            else:
                self._handles.append(module.register_forward_hook(lambda _, args, output, keep=keep: keep(output)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    @torch.inference_mode()
    def read(self, batch: Batch) -> tuple[dict[Place, Tensor], Tensor | None]:
        """What the batch's inputs show at each place [reads, width], and their logits [reads, vocabulary] if wanted."""
        device = self._model.device
        self._batch, self._seen = batch, {}
        positions = {} if batch.positions is None else {"position_ids": batch.positions.to(device)}
        tokens, mask = batch.tokens.to(device), batch.mask.to(device)
        try:
            output = self._model.base_model(input_ids=tokens, attention_mask=mask, use_cache=False, **positions)
        except _DeepEnough:
            return self._seen, None
        last = output.last_hidden_state[batch.rows, batch.columns]
        return self._seen, self._model.get_output_embeddings()(last) if self._logits else None

    def _keep(self, place: Place, value: Tensor | tuple[Any, ...]) -> None:
        assert self._batch is not None
        hidden = value[0] if isinstance(value, tuple) else value
        self._seen[place] = hidden[self._batch.rows, self._batch.columns]
        if place == self._deepest:
            raise _DeepEnough


class _Results:
    """The rows that are in so far: one buffer per place [sites, n, d], and one for the logits."""

    def __init__(self, config: Any, n: int, sites: Sequence[Site], *, logits: bool):
        shape = shape_of(config)
        self.places: dict[Place, list[Site]] = {}
        for site in sorted(dict.fromkeys(sites), key=lambda site: site.depth):
            self.places.setdefault((site.layer, site.point), []).append(site)
        self._rows = {
            place: torch.empty(len(group), n, group[0].dimension(shape)) for place, group in self.places.items()
        }
        self._logits = torch.empty(n, config.vocab_size) if logits else None

    def write(self, inputs: Tensor, seen: dict[Place, Tensor], logits: Tensor | None) -> None:
        """Keep what these inputs showed; values that are not finite are refused."""
        for place, group in self.places.items():
            rows = self._rows[place]
            parts = seen[place].float().cpu().unflatten(-1, (-1, rows.shape[-1]))  # one part, or one per head
            for buffer, site in zip(rows, group, strict=True):
                buffer[inputs] = _finite(parts[:, site.head or 0], str(site), inputs)
        if self._logits is not None:
            assert logits is not None
            self._logits[inputs] = _finite(logits.float().cpu(), "the logits", inputs)

    def captured(self, sites: Sequence[Site]) -> Captured:
        """Everything, in the order in which the sites were asked for."""
        groups = ((group, self._rows[place]) for place, group in self.places.items())
        rows = {site: buffer for group, buffers in groups for site, buffer in zip(group, buffers, strict=True)}
        return Captured({site: rows[site] for site in sites}, self._logits)


def capture(
    model: Any,
    inputs: Sequence[tuple[int, ...]],
    sites: Sequence[Site],
    *,
    logits: bool,
    budget: int,
    progress: Callable[[int], None] | None,
) -> Captured:
    """Read the sites at the last token of each input, about `budget` tokens at a time; see `Subject.capture`."""
    _check(inputs, model.config)
    longest = max(map(len, inputs), default=0)
    share = may_pack(model.config, longest)
    with enough_memory(_READING, f"{len(sites)} sites of {len(inputs)} inputs", _SMALLER):
        results = _Results(model.config, len(inputs), sites, logits=logits)
    waiting = torch.arange(len(inputs))
    with _Taps(model, list(results.places), logits=logits) as taps:
        while len(waiting):
            done = torch.zeros(len(waiting), dtype=torch.bool)
            for batch in batches([inputs[i] for i in waiting.tolist()], budget, share=share):
                try:
                    with enough_memory(_READING, f"{batch.tokens.numel()} tokens at once", _SMALLER):
                        seen, values = taps.read(batch)
                    results.write(waiting[batch.inputs], seen, values)
                except _TooLargeError:  # what is left to read is batched again, in smaller pieces
                    budget = batch.tokens.numel() // 2
                    if budget < longest:
                        raise
                    break
                except _NotFiniteError:  # in a shared row, NaN spreads to inputs that are well: 0 times NaN is NaN
                    if not share:
                        raise
                    share = False
                    break
                done[batch.inputs] = True
                if progress is not None:
                    progress(len(batch.inputs))
            waiting = waiting[~done]
    return results.captured(sites)


def _check(inputs: Sequence[tuple[int, ...]], config: Any) -> None:
    for i, tokens in enumerate(inputs):
        if not 1 <= len(tokens) <= config.max_position_embeddings:
            raise UserError(
                "an input has a length that the subject cannot read",
                given=f"input {i} has {len(tokens)} tokens",
                allowed=f"1 to {config.max_position_embeddings} tokens",
            )
        if min(tokens) < 0 or max(tokens) >= config.vocab_size:
            raise UserError(
                "an input has a token that the subject does not have",
                given=f"input {i}: {list(tokens)}",
                allowed=f"token ids 0 to {config.vocab_size - 1}",
            )


def _finite(values: Float[Tensor, "reads d"], name: str, inputs: Tensor) -> Float[Tensor, "reads d"]:
    bad = ~values.isfinite().all(dim=-1)
    if bad.any():
        raise _NotFiniteError(
            "the subject computed a value that is not a finite number",
            given=f"{name} of input {inputs[bad].min()}",
            remedy="load the subject with dtype='float32', or check its weights",
        )
    return values


@contextmanager
def enough_memory(doing: str, given: str, remedy: str) -> Iterator[None]:
    """Tells the user, instead of torch's allocator, when memory runs out within."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = any(phrase in str(error) for phrase in ("not enough memory", "can't allocate memory"))
        if not said and not isinstance(error, torch.OutOfMemoryError | MemoryError):
            raise
        raise _TooLargeError(f"memory ran out while {doing}", given=given, remedy=remedy) from error
