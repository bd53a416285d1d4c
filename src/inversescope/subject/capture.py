"""Activations at the last token of each input, by hooks on a model that runs no further than the deepest site."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.errors import UserError
from inversescope.progress import Progress
from inversescope.sites import Site
from inversescope.subject.architecture import Side
from inversescope.subject.architectures import architecture_of, may_pack, output_weight
from inversescope.subject.batches import Batch, batches
from inversescope.subject.hooks import hook
from inversescope.subject.model_shape import longest_of, rope_boundary, shape_of, vocabulary_of
from inversescope.subject.projections import Projection

# A module of the base model and the side of it that a hook sits on; sites that it shows together share theirs.
Place = tuple[str, Side]


@dataclass(frozen=True)
class Captured:
    """Activations: row i belongs to input i, at its last token; float32, on the CPU, whatever the subject runs in.

    `logits` are those of the next token, None unless wanted.
    """

    activations: dict[Site, Float[Tensor, "n d"]]
    logits: Float[Tensor, "n vocabulary"] | None


_READING = "reading the subject"
_SMALLER = "a smaller batch (Subject.batch_tokens), fewer inputs (collect.shard) or sites at a time, or shorter inputs"


class _DeepEnough(Exception):  # noqa: N818 - a signal from the deepest hook, not an error
    """Nothing beyond this point is needed."""


class _TooLargeError(UserError):
    """Memory ran out."""


class _NotFiniteError(UserError):
    """NaN or infinity was read."""


class _Taps:
    """Hooks at the places to read, for the length of a `with` block."""

    def __init__(self, model: Any, places: Collection[Place], *, logits: bool):
        self._model = model
        self._places = places
        self._logits = logits
        self._seen: dict[Place, Tensor] = {}
        self._batch: Batch | None = None

    def __enter__(self) -> Self:
        base = self._model.base_model
        self._handles = [
            hook(base.get_submodule(module), side, partial(self._keep, (module, side))) for module, side in self._places
        ]
        if self._logits:
            self._handles.append(hook(self._model.get_output_embeddings(), "input", self._last_tokens))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    @torch.inference_mode()
    def read(self, batch: Batch) -> tuple[dict[Place, Tensor], Tensor | None]:
        """Activations of the batch at each place [reads, width], and logits [reads, vocabulary] if wanted."""
        device = self._model.device
        self._batch, self._seen = batch, {}
        positions = {} if batch.positions is None else {"position_ids": batch.positions.to(device)}
        run = self._model if self._logits else self._model.base_model
        try:
            output = run(
                input_ids=batch.tokens.to(device), attention_mask=batch.mask.to(device), use_cache=False, **positions
            )
        except _DeepEnough:
            return self._seen, None
        return self._seen, output.logits[:, 0] if self._logits else None

    def _keep(self, location: Place, hidden: Tensor) -> None:
        batch = self._batch
        assert batch is not None
        if hidden.numel() != batch.tokens.numel() * hidden.shape[-1]:
            raise UserError(
                "this model's hidden state is more than one vector for each token",
                given=f"{location[0]}: {[*hidden.shape]}",
                allowed="a model whose blocks pass on one hidden state",
                remedy="a model of another family: Gemma 3 in place of Gemma 3n",
            )
        # Some models put the tokens of all rows in one line.
        self._seen[location] = hidden.reshape(*batch.tokens.shape, -1)[batch.rows, batch.columns]
        if not self._logits and len(self._seen) == len(self._places):
            raise _DeepEnough

    def _last_tokens(self, hidden: Tensor) -> Tensor:
        """Only the last tokens go through the head, as rows of one token each; what becomes of its logits stays the
        model's own business.
        """
        assert self._batch is not None
        return hidden[self._batch.rows, self._batch.columns][:, None]


class SiteReader:
    """Makes the activation of one site from what its place showed."""

    def __init__(self, model: Any, site: Site, projections: Mapping[str, Projection]):
        architecture, shape = architecture_of(model), shape_of(model.config)
        tap = architecture.tap(site, shape)
        self.site = site
        self.place: Place = (tap.module, tap.side)
        self._tap = tap
        self._projection = projections[site.projection].to(model.device) if site.projection else None
        self._output = None
        if site.point == "result":
            self._output = output_weight(model.base_model.get_submodule(tap.module))[:, tap.columns].float()
        width = shape.coordinates_of(site)
        self.dimension = self._projection.dimension if self._projection else width

    def __call__(self, shown: Float[Tensor, "reads _"], copy: Float[Tensor, "reads _"]) -> Float[Tensor, "reads d"]:
        """The activations; `copy` is what was shown in float32 on the CPU, where most sites need no more than a part
        of it, and `shown` what it was copied from.
        """
        columns, scale = self._tap.columns, self._tap.scale
        if self._output is None and self._projection is None:
            selected = copy[:, columns]
            return selected if scale == 1 else selected * scale
        value = shown[:, columns].float() * scale
        if self._output is not None:
            value = value @ self._output.T
        if self._projection is not None:  # the site may lie on another device than the model's first layers
            value = self._projection(value.to(self._projection.weight.device))
        return value.cpu()


class _Results:
    """The rows that are in so far: one buffer per site that is one [n, d], and one for the logits."""

    def __init__(
        self, model: Any, n: int, sites: Sequence[Site], projections: Mapping[str, Projection], *, logits: bool
    ):
        self.places: dict[Place, list[SiteReader]] = {}
        for single in dict.fromkeys(single for site in sites for single in site.singles):
            reader = SiteReader(model, single, projections)
            self.places.setdefault(reader.place, []).append(reader)
        readers = [reader for group in self.places.values() for reader in group]
        self._rows = {reader.site: torch.empty(n, reader.dimension) for reader in readers}
        self._logits = torch.empty(n, vocabulary_of(model.config)) if logits else None

    def write(self, inputs: Tensor, seen: dict[Place, Tensor], logits: Tensor | None) -> None:
        """Keep what these inputs showed; values that are not finite are refused."""
        for location, readers in self.places.items():
            copy = seen[location].float().cpu()
            for reader in readers:
                self._rows[reader.site][inputs] = _finite(reader(seen[location], copy), str(reader.site), inputs)
        if self._logits is not None:
            assert logits is not None
            self._logits[inputs] = _finite(logits.float().cpu(), "the logits", inputs)

    def captured(self, sites: Sequence[Site]) -> Captured:
        """Everything, in the order of the sites."""
        rows = self._rows
        return Captured(
            {
                site: torch.cat([rows[single] for single in site.parts], 1) if site.parts else rows[site]
                for site in sites
            },
            self._logits,
        )


def capture(
    model: Any,
    inputs: Sequence[tuple[int, ...]],
    sites: Sequence[Site],
    projections: Mapping[str, Projection],
    *,
    logits: bool,
    budget: int,
    shrink: Callable[[int], None],
    progress: Progress,
) -> Captured:
    """Read the sites at the last token of each input, about `budget` tokens at a time; see `Subject.capture`.

    If memory runs out, with half as many, and `shrink` gets the number.
    """
    _check(inputs, model.config)
    longest = max(map(len, inputs), default=0)
    share, boundary = may_pack(model, longest), rope_boundary(model.config)
    with enough_memory(_READING, f"{len(sites)} sites of {len(inputs)} inputs", _SMALLER):
        results = _Results(model, len(inputs), sites, projections, logits=logits)
    waiting = torch.arange(len(inputs))
    with _Taps(model, results.places, logits=logits) as taps:
        while len(waiting):
            done = torch.zeros(len(waiting), dtype=torch.bool)
            for batch in batches([inputs[i] for i in waiting.tolist()], budget, share=share, boundary=boundary):
                try:
                    with enough_memory(_READING, f"{batch.tokens.numel()} tokens at once", _SMALLER):
                        seen, values = taps.read(batch)
                    results.write(waiting[batch.inputs], seen, values)
                except _TooLargeError:  # what is left to read is batched again, in smaller pieces
                    budget = batch.tokens.numel() // 2
                    if budget < longest:
                        raise
                    shrink(budget)
                    break
                except _NotFiniteError:  # in a shared row, NaN spreads to inputs that are well: 0 times NaN is NaN
                    if not share:
                        raise
                    share = False
                    break
                done[batch.inputs] = True
                progress(len(inputs) - len(waiting) + int(done.sum()), len(inputs))
            waiting = waiting[~done]
    return results.captured(sites)


def _check(inputs: Sequence[tuple[int, ...]], config: Any) -> None:
    longest, vocabulary = longest_of(config), vocabulary_of(config)
    for i, tokens in enumerate(inputs):
        if not tokens or (longest is not None and len(tokens) > longest):
            raise UserError(
                "an input has a length that the subject cannot read",
                given=f"input {i} has {len(tokens)} tokens",
                allowed="at least 1 token" if longest is None else f"1 to {longest} tokens",
            )
        if min(tokens) < 0 or max(tokens) >= vocabulary:
            raise UserError(
                "an input has a token that the subject does not have",
                given=f"input {i}: {list(tokens)}",
                allowed=f"token ids 0 to {vocabulary - 1}",
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
    """Raise an error with a remedy, instead of that of torch's allocator, if memory runs out in the block."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        reported = any(phrase in str(error) for phrase in ("not enough memory", "can't allocate memory"))
        if not reported and not isinstance(error, torch.OutOfMemoryError | MemoryError):
            raise
        raise _TooLargeError(f"memory ran out while {doing}", given=given, remedy=remedy) from error
