"""Table of architectures and the places of their parts: one entry each, and nothing of this kind elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.errors import UserError
from inversescope.subject.architecture import Architecture
from inversescope.subject.model_shape import composite, rope_boundary, text_config
from inversescope.subject.unlisted import embedding_path, found

_PARALLEL = "attention and MLP read the same residual stream side by side: there is nothing between them"
_EXPERTS = "the MLP is a mixture of experts, and which of them are active differs from token to token"

_LLAMA = Architecture(
    blocks="layers",
    embedding="embed_tokens",
    last_norm="norm",
    attention="self_attn",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    projection="self_attn.o_proj",
    mlp="mlp",
    down="mlp.down_proj",
    middle="post_attention_layernorm",
    packs=True,
)
_GPT2 = Architecture(
    blocks="h",
    embedding="wte",
    last_norm="ln_f",
    attention="attn",
    qkv=("attn.c_attn",),
    fused="stacked",
    projection="attn.c_proj",
    mlp="mlp",
    down="mlp.c_proj",
    middle="ln_2",
    packs=True,
)
_GPTJ = replace(
    _GPT2,
    qkv=("attn.q_proj", "attn.k_proj", "attn.v_proj"),
    fused=None,
    projection="attn.out_proj",
    down="mlp.fc_out",
    middle="",
    refused={"resid_mid": _PARALLEL},
    packs=False,  # its attention adds the mask to the scores, and a mask of packed rows is true or false
)
_NEOX = Architecture(
    blocks="layers",
    embedding="embed_in",
    last_norm="final_layer_norm",
    attention="attention",
    qkv=("attention.query_key_value",),
    fused="grouped",
    projection="attention.dense",
    mlp="mlp",
    down="mlp.dense_4h_to_h",
    middle="post_attention_layernorm",
    packs=True,
)
_OPT = Architecture(
    blocks="decoder.layers",
    embedding="decoder.embed_tokens",
    last_norm="decoder.final_layer_norm",
    attention="self_attn",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    projection="self_attn.out_proj",
    mlp="fc2",
    down="fc2",
    middle="final_layer_norm",
    packs=True,
)
# Attention and MLP return what they were given with their outputs added; ALiBi counts columns, not positions.
_BLOOM = Architecture(
    blocks="h",
    embedding="word_embeddings",
    last_norm="ln_f",
    attention="self_attention",
    qkv=("self_attention.query_key_value",),
    fused="grouped",
    projection="self_attention.dense",
    mlp="mlp",
    down="mlp.dense_4h_to_h",
    added_attention="self_attention.dense",
    added_mlp="mlp.dense_4h_to_h",
    middle="post_attention_layernorm",
)
_GEMMA = replace(
    _LLAMA,
    added_attention="post_attention_layernorm",
    added_mlp="post_feedforward_layernorm",
    middle="pre_feedforward_layernorm",
)


def _neox(config: Any) -> Architecture:
    return replace(_NEOX, middle="", refused={"resid_mid": _PARALLEL}) if config.use_parallel_residual else _NEOX


def _falcon(config: Any) -> Architecture:
    falcon = replace(_BLOOM, added_attention="", added_mlp="", packs=not config.alibi)
    if config.parallel_attn or config.new_decoder_architecture:
        return replace(falcon, middle="", refused={"resid_mid": _PARALLEL})
    return falcon


def _opt(config: Any) -> Architecture | None:
    """None for the variant with norms on the residual stream itself, and with narrower embeddings (OPT-350m)."""
    return _OPT if config.do_layer_norm_before and config.word_embed_proj_dim == config.hidden_size else None


def _bloom(config: Any) -> Architecture | None:
    """None for the variant whose residual stream is normalised (no published model)."""
    return None if config.apply_residual_connection_post_layernorm else _BLOOM


def _granite(config: Any) -> Architecture:
    return replace(_LLAMA, scale=config.residual_multiplier, embedding_scale=config.embedding_multiplier)


# By the `model_type` of the model's configuration; where there are variants, by the configuration.
ARCHITECTURES: dict[str, Architecture | Callable[[Any], Architecture | None]] = {
    "gpt2": _GPT2,
    "gpt_neox": _neox,  # Pythia
    "gptj": _GPTJ,
    "opt": _opt,
    "bloom": _bloom,
    "falcon": _falcon,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "ministral3": _LLAMA,
    "mixtral": replace(_LLAMA, down="", refused={"mlp_act": _EXPERTS}),
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "phi3": replace(_LLAMA, qkv=("self_attn.qkv_proj",), fused="stacked"),
    "olmo2": replace(_GEMMA, middle="mlp"),
    "smollm3": _LLAMA,
    "granite": _granite,
    "cohere": replace(_LLAMA, middle="", refused={"resid_mid": _PARALLEL}),
}


def architecture_of(model: Any) -> Architecture:
    """The entry for a Hugging Face model; for one that has none, what can be found safely.

    Raises:
        UserError: there is none, and its blocks cannot be found.
    """
    config = text_config(model.config)
    entry = ARCHITECTURES.get(config.model_type)
    listed = entry(config) if callable(entry) else entry
    if listed is not None and composite(model):
        listed = _within(listed, embedding_path(model))
    architecture = listed or found(model)
    if architecture is None:
        raise UserError(
            "this architecture is not known, and its blocks cannot be found",
            given=config.model_type,
            allowed=", ".join(ARCHITECTURES),
            remedy="add an entry to inversescope/subject/architectures.py",
        )
    return architecture


def _within(entry: Architecture, embedding: str) -> Architecture | None:
    """The entry for a text model inside another, which its embeddings show; None: it is of another form."""
    if not embedding.endswith(entry.embedding):
        return None
    prefix = embedding.removesuffix(entry.embedding)
    paths = {name: prefix + getattr(entry, name) for name in ("blocks", "embedding", "last_norm")}
    return replace(entry, **paths, packs=False)


def output_weight(module: nn.Module) -> Float[Tensor, "outputs inputs"]:
    """The matrix of a linear map. GPT-2 stores it transposed; that of a rounded map, or of one with an adapter, is
    computed from its outputs.
    """
    weight = module.get_parameter("weight")
    if not weight.is_floating_point() or hasattr(module, "base_layer"):
        assert isinstance(module.in_features, int)
        kind = weight.dtype if weight.is_floating_point() else torch.get_default_dtype()
        units = torch.eye(module.in_features, device=weight.device, dtype=kind)
        with torch.inference_mode():
            return (module(units) - module(torch.zeros_like(units))).float().T
    return weight.T if type(module).__name__ == "Conv1D" else weight


def may_pack(model: Any, longest: int) -> bool:
    """True if inputs of up to `longest` tokens may share prefixes in one row of this model.

    Not with attention kernels that take no boolean mask, nor when a sliding window hides part of an input's past, nor
    where positions depend on the longest input.
    """
    limits = (getattr(text_config(model.config), "sliding_window", None), rope_boundary(model.config))
    short = all(limit is None or longest <= limit for limit in limits)
    return architecture_of(model).packs and model.config._attn_implementation == "sdpa" and short
