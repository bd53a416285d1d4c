"""Layers, heads, widths and lengths of a model, from its Hugging Face configuration; a hash of its weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import torch

from inversescope.errors import UserError
from inversescope.sites import SubjectShape

_SAMPLED_WEIGHTS = 64


def text_config(config: Any) -> Any:
    """The configuration of the text model: itself, or the part of it where the model reads images or sound, too."""
    return config.get_text_config(decoder=True)


def composite(model: Any) -> bool:
    """True if the text model is only a part of it."""
    return text_config(model.config) is not model.config


def shape_of(config: Any) -> SubjectShape:
    """Layers, heads and widths. A model without attention has no heads.

    Raises:
        UserError: a number that must be there is missing, or is none.
    """
    config = text_config(config)
    width, layers = _count(config, "hidden_size"), _count(config, "num_hidden_layers")
    heads = 0 if _of(config, "num_attention_heads") is None else _count(config, "num_attention_heads")
    hidden = (_of(config, name) for name in ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"))
    return SubjectShape(
        layers=layers,
        heads=heads,
        key_value_heads=_key_value_heads(config, heads),
        width=width,
        head_width=(_of(config, "head_dim") or width // heads) if heads else 0,
        mlp_width=next((size for size in hidden if isinstance(size, int) and size), 4 * width),
    )


def longest_of(config: Any) -> int | None:
    """Number of tokens the model can read; None if nothing limits it (ALiBi, state-space models)."""
    return _of(text_config(config), "max_position_embeddings")


def vocabulary_of(config: Any) -> int:
    """Number of tokens the model knows."""
    return text_config(config).vocab_size


def rope_boundary(config: Any) -> int | None:
    """Number of tokens beyond which a token's position depends on the longest input of a batch (LongRoPE, dynamic NTK);
    None: it never does.
    """
    config = text_config(config)
    parameters = getattr(config, "rope_parameters", None) or {}
    kinds = [parameters] if "rope_type" in parameters else [kind for kind in parameters.values() if kind]
    lengths = [
        kind.get("original_max_position_embeddings") or config.max_position_embeddings
        for kind in kinds
        if kind.get("rope_type") == "longrope" or "dynamic" in kind.get("rope_type", "")
    ]
    return min(lengths, default=None)


def token_enters_blocks(config: Any) -> bool:
    """True if a token enters every block beside the residual stream, by embeddings of its own (Gemma 4)."""
    return bool(getattr(text_config(config), "hidden_size_per_layer_input", None))


def fingerprint_of(model: Any) -> str:
    """64 hexadecimal digits: a hash of the shape and of a sample of every weight tensor."""
    digest = hashlib.sha256(json.dumps([model.config.model_type, asdict(shape_of(model.config))]).encode())
    for name, weight in model.named_parameters():
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        stride = max(1, weight.numel() // _SAMPLED_WEIGHTS)
        sample = weight.detach().flatten()[::stride].to("cpu", torch.bfloat16)
        digest.update(sample.float().numpy().tobytes())
    return digest.hexdigest()


def _key_value_heads(config: Any, heads: int) -> int:
    if config.model_type == "falcon":
        shared = config.multi_query and not config.new_decoder_architecture
        return 1 if shared else config.num_kv_heads
    return _of(config, "num_key_value_heads") or heads


def _of(config: Any, name: str) -> Any:
    """The value of this name, of the first layer where it differs between layers; None if there is none."""
    try:
        return getattr(config, name, None)
    except RuntimeError:  # transformers' refusal of a value that differs between layers
        return getattr(config.per_layer_config[0], name, None)


def _count(config: Any, name: str) -> int:
    value = _of(config, name)
    if not isinstance(value, int) or value < 1:
        given = f"{config.model_type}: {name} = {value!r}"
        raise UserError("this configuration cannot be used", given=given, allowed="a whole number from 1")
    return value
