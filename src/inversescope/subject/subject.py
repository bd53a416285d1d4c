"""`Subject`: one frozen causal language model, its tokens and its activations."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch

from inversescope.errors import UserError
from inversescope.position import Messages
from inversescope.progress import Progress, silent
from inversescope.sites import POINTS, Site, SubjectShape, select
from inversescope.subject import adapters, bundled, loading
from inversescope.subject.architectures import architecture_of
from inversescope.subject.batches import batch_tokens
from inversescope.subject.capture import Captured, capture
from inversescope.subject.model_shape import fingerprint_of, longest_of, shape_of
from inversescope.subject.projections import Projection, require_fit
from inversescope.subject.tokenizer import Decode, Encode, Prefix, PretrainedTokenizer, Tokenizer, first_tokens

_LOG = logging.getLogger(__name__)


class Subject:
    """The language model being read: frozen, in evaluation mode, on one device. Made by `load` or `from_model`.

    Attributes:
        model: the Hugging Face model.
        name: what to call it.
        shape: the layers, heads and widths that decide which sites exist.
        prefix: the tokens that start every input.
        batch_tokens: tokens, padding included, that go through the model at once; lower it where memory is short.
        projections: through which sites may be seen, by name.
        untrained: its weights are random or missing (`shapes`): only its shapes mean something.
    """

    def __init__(self, model: Any, *, name: str, tokenizer: Tokenizer | UserError, prefix: Sequence[int]) -> None:
        self.model = model.eval().requires_grad_(False)
        self.name = name
        self.shape: SubjectShape = shape_of(model.config)
        self.prefix = tuple(prefix)
        self.batch_tokens = batch_tokens(self.device, self.shape.width)
        self.projections: dict[str, Projection] = {}
        self.untrained = False
        self._tokenizer = tokenizer

    @classmethod
    def load(
        cls,
        model: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        revision: str | None = None,
        bits: int | None = None,
        attention: str | None = None,
        prefix: Prefix = "auto",
    ) -> Self:
        """The bundled subject ("smollm2"), a model saved in a folder, or one of the Hugging Face hub.

        Args:
            model: which one.
            device: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:N", or "all" (its layers over
                every GPU; needs accelerate).
            dtype: "auto" (bfloat16 where the device computes in it fast, else float32), "float32", "bfloat16" or
                "float16".
            revision: a branch, tag or commit of the hub.
            bits: 8 or 4 for each weight, rounded as they are loaded (needs bitsandbytes); None leaves them as they are.
            attention: the kernel that computes attention, by transformers' name for it; None leaves it the choice.
            prefix: the tokens that start every input: "auto", those that the model's own tokenizer puts there; "none";
                or their ids.

        Raises:
            UserError: it cannot be loaded, is no causal language model, or its blocks cannot be found.
        """
        where = loading.choose_device(device)
        precision = loading.choose_dtype(dtype, where)
        source = str(bundled.folder()) if model == bundled.NAME else model
        spread = device == loading.ALL
        loaded, tokenizer = loading.load(
            source, revision=revision, device=where, spread=spread, dtype=precision, bits=bits, attention=attention
        )
        return cls.of(loaded, tokenizer, model, prefix)

    @classmethod
    def of(cls, model: Any, tokenizer: Any, name: str, prefix: Prefix = "auto") -> Self:
        """A model as it was loaded by this name; `prefix` as for `load`.

        Raises:
            UserError: it is no causal language model, its blocks cannot be found, or it has no such token.
        """
        first = first_tokens(tokenizer, prefix, model.get_input_embeddings().num_embeddings)
        return cls.from_model(model, tokenizer=tokenizer, prefix=first, name=name)

    @classmethod
    def from_model(
        cls,
        model: Any,
        *,
        encode: Encode | None = None,
        decode: Decode | None = None,
        tokenizer: Any = None,
        prefix: Sequence[int] = (),
        name: str | None = None,
    ) -> Self:
        """A Hugging Face causal language model already in memory, which is frozen and put in evaluation mode.

        Args:
            model: the model, head included; or a `PeftModel`, whose active adapters stay in place.
            encode: text to token ids, without the prefix. Not needed with a tokenizer, or if texts are never used.
            decode: token ids to text; needed with `encode`.
            tokenizer: a Hugging Face tokenizer in place of the pair; or the error of one that could not be read.
            prefix: the tokens that start every input.
            name: what to call it; its class if left out.

        Raises:
            UserError: it is no causal language model, or its blocks cannot be found.
        """
        model = adapters.unwrapped(model)
        if not hasattr(model, "get_output_embeddings") or model.get_output_embeddings() is None:
            raise UserError(
                "this is not a causal language model", given=type(model).__name__, allowed="one with a head"
            )
        architecture_of(model)
        name = name or type(model).__name__
        words = UserError(
            "this subject has no tokenizer: it reads token ids only", given=name,
            remedy="Subject.from_model(model, tokenizer=...) or (model, encode=..., decode=...)",
        )  # fmt: skip
        if isinstance(tokenizer, UserError):
            words = tokenizer
        elif tokenizer is not None:
            words = PretrainedTokenizer(tokenizer)
        elif encode is not None and decode is not None:
            words = Tokenizer(encode, decode)
        return cls(model, name=name, tokenizer=words, prefix=prefix)

    def __repr__(self) -> str:
        s, dtype = self.shape, str(self.dtype).removeprefix("torch.")
        return f"Subject({self.name}: {s.layers} layers, {s.heads} heads, width {s.width}, {dtype} on {self.device})"

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the model; `capture` returns float32 all the same."""
        return self.model.dtype

    @property
    def rounded(self) -> bool:
        """True if its weights have been rounded to fewer bits than it computes in."""
        return bool(getattr(self.model, "is_quantized", False))

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits: a hash of the shape and of a sample of every weight tensor.

        It is the same in float32 and in bfloat16, and on every device. Models that differ in few weights may share it.
        """
        return fingerprint_of(self.model)

    @property
    def longest(self) -> int | None:
        """Number of tokens an input may have, prefix included; None if nothing limits it."""
        return longest_of(self.model.config)

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to tokens and back.

        Raises:
            UserError: the subject has neither a tokenizer nor `encode` and `decode`.
        """
        if isinstance(self._tokenizer, UserError):
            raise self._tokenizer
        return self._tokenizer

    def encode(self, text: str) -> list[int]:
        """Token ids, prefix included; once, if the text begins with it.

        Raises:
            UserError: the subject has no tokenizer.
        """
        tokens = tuple(self.tokenizer.encode(text))
        return [*tokens] if self.prefix and self._starts(tokens) else [*self.prefix, *tokens]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text, the prefix dropped where the tokens start with it.

        Raises:
            UserError: the subject has no tokenizer.
        """
        return self.tokenizer.decode(self._body(tokens))

    def show(self, tokens: Sequence[int]) -> str:
        """The same for people: special tokens as ‹|endoftext|›, bytes that make no character as ‹0xE2›.

        Raises:
            UserError: the subject has no tokenizer.
        """
        return self.tokenizer.show(self._body(tokens))

    def converse(self, messages: Messages) -> str:
        """A conversation as the model's chat template writes it, on to where the assistant is to answer.

        Raises:
            UserError: the subject has no chat template, or it refuses the conversation.
        """
        return self.tokenizer.converse(messages)

    def token_strings(self, tokens: Sequence[int]) -> list[str]:
        """Each token decoded by itself, the prefix included.

        Raises:
            UserError: the subject has no tokenizer.
        """
        return [self.tokenizer.decode([token]) for token in tokens]

    def sites(self, addresses: Iterable[str]) -> tuple[Site, ...]:
        """The sites that the addresses name, wildcards allowed, each once, in order of depth.

        Raises:
            UserError: an address is malformed, or names a point, layer, head or projection that this subject does not
                have, or a projection of another width.
        """
        chosen = select(addresses, self.shape)
        for single in (single for site in chosen for single in site.singles):
            architecture_of(self.model).tap(single, self.shape)
            require_fit(single, self.shape, self.projections)
        return chosen

    @property
    def points(self) -> tuple[str, ...]:
        """The points that can be read, by what is known of the architecture; `site_checks` proves them."""
        architecture = architecture_of(self.model)
        return tuple(point for point in POINTS if architecture.has(point))

    def dimension(self, site: Site) -> int:
        """d_s, the number of coordinates of a site's activation."""
        return sum(
            self.projections[single.projection].dimension if single.projection else self.shape.coordinates_of(single)
            for single in site.singles
        )

    def capture(
        self,
        inputs: Sequence[Sequence[int]],
        sites: Sequence[Site],
        *,
        logits: bool = False,
        progress: Progress = silent,
    ) -> Captured:
        """Activations of the sites at the last token of each input.

        The model runs no further than the deepest site, and its head only for `logits`. Inputs are batched by length;
        where many share their beginnings, these are computed once. Neither changes the result.

        Args:
            inputs: token ids, prefix included; row i of the result belongs to input i.
            sites: from `sites`.
            logits: also return the logits of the next token.
            progress: called after each batch with the number of inputs that are read, of how many.

        Raises:
            UserError: an input is empty, too long or has an unknown token; memory ran out, though the batch was made
                smaller; a value is not finite.
        """
        rows = [tuple(map(int, tokens)) for tokens in inputs]
        return capture(
            self.model,
            rows,
            sites,
            self.projections,
            logits=logits,
            budget=self.batch_tokens,
            shrink=self._shrink,
            progress=progress,
        )

    def _shrink(self, tokens: int) -> None:
        """From now on read no more at once than this."""
        _LOG.warning("memory ran out: reading %d tokens at once from here on, not %d", tokens, self.batch_tokens)
        self.batch_tokens = tokens

    def _starts(self, tokens: Sequence[int]) -> bool:
        return tuple(tokens[: len(self.prefix)]) == self.prefix

    def _body(self, tokens: Sequence[int]) -> list[int]:
        return list(tokens[len(self.prefix) if self._starts(tokens) else 0 :])
