"""A copy of a causal language model for the generator: its first blocks, over few tokens, perhaps with adapters.

It has nothing in common with the model it was made from: training it leaves the subject as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from inversescope.errors import UserError
from inversescope.subject import bundled, loading
from inversescope.subject.architecture import Architecture
from inversescope.subject.architectures import ARCHITECTURES, architecture_of, shape_of
from inversescope.subject.subject import Subject

RANK = 8  # of the adapters


@dataclass(frozen=True)
class TrimmedCopy:
    """Trimmed copy of a model, with adapters or without.

    Attributes:
        model: a Hugging Face model in float32, without dropout; token i is the i-th of the kept ones.
        adapted: low-rank adapters (Hu and others 2021, arXiv 2106.09685) stand beside its linear maps.
    """

    model: Any
    adapted: bool

    @classmethod
    def of(
        cls,
        original: Any,
        tokens: Sequence[int],
        first: int | None = None,
        *,
        layers: int,
        longest: int = 0,
        adapted: bool = False,
    ) -> Self:
        """The first `layers` blocks of a model, over a boundary and these tokens.

        Args:
            original: the model, which stays as it is.
            tokens: its tokens that are kept.
            first: the token that the boundary is read as; if left out, the one that the model itself starts with.
            layers: how many blocks are kept.
            longest: the most embeddings that it will be given.
            adapted: whether to add adapters.

        Raises:
            UserError: its blocks are of another kind or fewer, it takes fewer embeddings, or has no token that starts
                or ends a text; or adapters are asked for and peft is missing.
        """
        _refuse_unfit(original, layers, longest)
        start, end = _boundary(original.config)
        model = _empty(_trimmed(original.config, layers, 1 + len(tokens)))
        weights, reads, writes = original.state_dict(), start if first is None else first, end
        for module, boundary in ((model.get_input_embeddings(), reads), (model.get_output_embeddings(), writes)):
            name = next(name for name, submodule in model.named_modules() if submodule is module) + ".weight"
            weights[name] = weights[name][[boundary, *tokens]]
        model.load_state_dict({name: weights[name] for name in model.state_dict()})
        return cls(_with_adapters(model) if adapted else model, adapted)

    @classmethod
    def from_description(cls, description: dict[str, Any]) -> Self:
        """As `of` made it, but for its weights."""
        model = _empty(description["config"])
        return cls(_with_adapters(model) if description["adapted"] else model, description["adapted"])

    @property
    def description(self) -> dict[str, Any]:
        """Arguments of `from_description`, as JSON can hold them."""
        return {"config": json.loads(self.model.config.to_json_string(use_diff=False)), "adapted": self.adapted}

    @property
    def parts(self) -> Architecture:
        """The places of the model's parts."""
        return architecture_of(self.model)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Width, layers, heads of the keys and values, width of a head."""
        shape = shape_of(self.model.config)
        return shape.width, shape.layers, shape.key_value_heads, shape.head_width

    @property
    def new_cache(self) -> Callable[[], Any]:
        """Makes an empty cache of keys and values."""
        from transformers import DynamicCache

        return DynamicCache


def original_model(name: str, subject: Subject, tokens: Sequence[int]) -> Any:
    """The model to copy: that of the subject, or one by name or folder with the same texts for these tokens.

    Raises:
        UserError: it cannot be loaded, or its tokens are others.
    """
    if name == "subject":
        if subject.rounded:
            raise UserError(
                "a subject of rounded weights cannot be a backbone: they do not learn",
                given="generator.backbone = 'subject'",
                allowed="scratch, or a model by its name or folder",
            )
        return subject.model
    source = str(bundled.folder()) if name == bundled.NAME else name
    model, tokenizer = loading.load(source, dtype=torch.float32)
    named = None if tokenizer is None else Subject.from_model(model, tokenizer=tokenizer)
    if (
        named is None
        or max(tokens) >= model.config.vocab_size
        or named.token_strings(tokens) != subject.token_strings(tokens)
    ):
        raise UserError(
            "the backbone's tokens are not the subject's",
            given=f"generator.backbone = {name!r}",
            allowed="a model with the subject's own tokenizer, subject, scratch",
        )
    return model


def _refuse_unfit(original: Any, layers: int, longest: int) -> None:
    if not architecture_of(original).trimmable:
        raise UserError(
            "a model of this architecture cannot be the backbone",
            given=original.config.model_type,
            allowed=", ".join(name for name, entry in ARCHITECTURES.items() if getattr(entry, "trimmable", False)),
            remedy="generator.backbone = 'scratch', or another model",
        )
    most = shape_of(original.config).layers
    if layers > most:
        raise UserError("the backbone has fewer blocks", given=f"generator.layers = {layers}", allowed=f"1 to {most}")
    most = original.config.max_position_embeddings
    if longest > most:
        raise UserError("the inputs are too long for the backbone", given=f"{longest} tokens", allowed=f"up to {most}")


def _boundary(config: Any) -> tuple[int, int]:
    """The tokens that stand before and after a text; one of them for both where the model has no other."""
    named = (config.bos_token_id, config.eos_token_id)
    tokens = [token[0] if isinstance(token, list) else token for token in named if token is not None]
    if not tokens:
        raise UserError("the backbone has no token that starts or ends a text", given=config.model_type)
    return tokens[0], tokens[-1]


def _trimmed(config: Any, layers: int, vocabulary: int) -> dict[str, Any]:
    """The configuration of the copy; token 0 is the boundary."""
    trimmed = config.to_dict() | {
        "num_hidden_layers": layers, "vocab_size": vocabulary, "tie_word_embeddings": False, "dtype": "float32",
        "pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    if trimmed.get("layer_types"):
        trimmed["layer_types"] = trimmed["layer_types"][:layers]
    # Dropout would draw random numbers of its own, and a resumed training would differ.
    return trimmed | {name: 0.0 for name in trimmed if name.endswith(("_dropout", "_pdrop"))}


def _empty(config: dict[str, Any]) -> Any:
    """A model of this configuration with random weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with loading.quiet():
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))


def _with_adapters(model: Any) -> Any:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError(
            "generator.tuning = 'lora' needs the package peft", remedy="pip install 'inversescope[lora]'"
        ) from error
    transposed = any(type(module).__name__ == "Conv1D" for module in model.modules())  # how GPT-2 keeps its matrices
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", fan_in_fan_out=transposed)
    return inject_adapter_in_model(config, model)
