"""Inputs read on from beginnings whose keys and values are kept: only the new tokens are computed.

Dimensions: `n` rows, `t` new tokens, `d` coordinates of a site, `w` width of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.sites import Site
from inversescope.subject.capture import Place, SiteReader, enough_memory
from inversescope.subject.hooks import hook
from inversescope.subject.subject import Subject

# Rows of a batch: enough to be limited by arithmetic, few enough that copied keys and values stay small.
_ROWS = {"cpu": 256, "cuda": 4096}


@dataclass(frozen=True)
class KeyValues:
    """Keys and values of beginnings: of each layer two tensors, [rows, heads, tokens, head width]."""

    layers: tuple[tuple[Tensor, Tensor], ...]

    def __len__(self) -> int:
        return len(self.layers[0][0])

    @property
    def tokens(self) -> int:
        """Number of tokens of each beginning, the prefix included."""
        return self.layers[0][0].shape[2]

    def rows(self, places: Int[Tensor, " n"], tokens: int, layers: int | None = None) -> Self:
        """The first `tokens` tokens of some beginnings, in the first `layers` layers (None: in all)."""
        at = places.to(self.layers[0][0].device)
        return type(self)(
            tuple((keys[at, :, :tokens], values[at, :, :tokens]) for keys, values in self.layers[:layers])
        )

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        return type(self)(tuple((keys.to(device), values.to(device)) for keys, values in self.layers))

    def expanded(self, n: int) -> Self:
        """One beginning for n rows."""
        return type(self)(tuple((k.expand(n, -1, -1, -1), v.expand(n, -1, -1, -1)) for k, v in self.layers))

    @classmethod
    def joined(cls, parts: Sequence[KeyValues], dim: int = 0) -> Self:
        """Several, one below the other (`dim` 0) or one behind the other (`dim` 2)."""
        depth = range(len(parts[0].layers))
        return cls(
            tuple(
                (torch.cat([p.layers[i][0] for p in parts], dim), torch.cat([p.layers[i][1] for p in parts], dim))
                for i in depth
            )
        )


class Continued(NamedTuple):
    """One pass over new tokens.

    Attributes:
        activations: of each site at every new token, float32 on the CPU.
        hidden: what the head reads at every new token, on the subject's device; None where the pass stopped at the
            deepest site.
        key_values: of the beginning and the new tokens, on the subject's device, in the layers that were computed.
    """

    activations: dict[Site, Float[Tensor, "n t d"]]
    hidden: Float[Tensor, "n t w"] | None
    key_values: KeyValues


class _DeepEnough(Exception):  # noqa: N818 - a signal from the deepest hook, not an error
    """Nothing beyond this point is needed."""


class Continuing:
    """Reads sites of a subject at new tokens behind kept beginnings.

    Attributes:
        rows: number of inputs that are read at once.
    """

    def __init__(self, subject: Subject, sites: Sequence[Site]):
        self.subject = subject
        self.sites = tuple(sites)
        self.rows = _ROWS.get(subject.device.type, _ROWS["cpu"])
        self.tokens_read = 0.0  # in units of a token at full depth
        self._readers: dict[Place, list[SiteReader]] = {}
        for single in dict.fromkeys(single for site in sites for single in site.singles):
            reader = SiteReader(subject.model, single, subject.projections)
            self._readers.setdefault(reader.place, []).append(reader)
        deepest = max((site.depth[0] for site in sites), default=-1)
        self.layers = min(deepest + 1, subject.shape.layers)  # that the sites need

    @torch.inference_mode()
    def read(
        self, tokens: Int[Tensor, "n t"], past: KeyValues | None = None, *, whole: bool = False, last: bool = False
    ) -> Continued:
        """One batch of new tokens behind `past`, whose rows are theirs.

        Args:
            tokens: the new tokens of each row.
            past: what stands before them, on the subject's device; None: nothing.
            whole: to the end of the model, for P and for keys and values; otherwise to the deepest site.
            last: activations at the last token only.
        """
        n, t = tokens.shape
        seen: dict[Place, Tensor] = {}

        def keep(place: Place, hidden: Tensor) -> None:
            shown = hidden.reshape(n, t, -1)
            seen[place] = shown[:, -1:] if last else shown
            if not whole and len(seen) == len(self._readers):
                raise _DeepEnough

        base = self.subject.model.base_model
        handles = [
            hook(base.get_submodule(place[0]), place[1], lambda hidden, place=place: keep(place, hidden))
            for place in self._readers
        ]
        self.tokens_read += n * t * (1.0 if whole else self.layers / self.subject.shape.layers)
        cache = _cache(past)
        try:
            with enough_memory(
                "reading the subject", f"{tokens.numel()} tokens at once", "a smaller Subject.batch_tokens"
            ):
                output = base(input_ids=tokens.to(self.subject.device), cache=cache, use_cache=True)
        except _DeepEnough:
            return Continued(self._activations(seen, n), None, _computed(cache, past, t))
        finally:
            for handle in handles:
                handle.remove()
        return Continued(self._activations(seen, n), output.last_hidden_state, _computed(cache, past, t))

    def _activations(self, seen: dict[Place, Tensor], n: int) -> dict[Site, Float[Tensor, "n t d"]]:
        single: dict[Site, Tensor] = {}
        for place, readers in self._readers.items():
            flat = seen[place].reshape(-1, seen[place].shape[-1])
            copy = flat.float().cpu()
            for reader in readers:
                single[reader.site] = reader(flat, copy).reshape(n, -1, reader.dimension)
        return {site: torch.cat([single[part] for part in site.singles], -1) for site in self.sites}


def _cache(past: KeyValues | None) -> Any:
    from transformers import DynamicCache

    cache = DynamicCache()
    for number, (keys, values) in enumerate(past.layers if past is not None else ()):
        cache.update(keys, values, number)
    return cache


def _computed(cache: Any, past: KeyValues | None, new: int) -> KeyValues:
    """Keys and values of the layers that have the new tokens: a pass may have stopped before the last of them."""
    tokens = new + (0 if past is None else past.tokens)
    layers = takewhile(lambda layer: layer.get_seq_length() == tokens, cache.layers)
    return KeyValues(tuple((layer.keys, layer.values) for layer in layers))
