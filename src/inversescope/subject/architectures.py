"""Table of architectures and the places of their parts: one entry each, and nothing of this kind elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inversescope.errors import UserError
from inversescope.sites import SubjectShape
from inversescope.subject.architecture import Architecture

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
    entry = ARCHITECTURES.get(model.config.model_type)
    listed = entry(model.config) if callable(entry) else entry
    return listed or _found(model)


def _found(model: Any) -> Architecture:
    """The residual stream between the blocks, the embeddings, and `z` and the final norm under well-known names."""
    base, layers = model.base_model, model.config.num_hidden_layers
    lists = [
        name for name, module in base.named_modules() if isinstance(module, nn.ModuleList) and len(module) == layers
    ]
    outermost = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    if len(outermost) != 1:
        raise UserError(
            "this architecture is not known, and its blocks cannot be found",
            given=model.config.model_type,
            allowed=", ".join(ARCHITECTURES),
            remedy="add an entry to inversescope/subject/architectures.py",
        )
    (blocks,) = outermost
    embedding = [name for name, module in base.named_modules() if module is model.get_input_embeddings()]
    prefix = blocks.rpartition(".")[0]
    beside = dict(base.get_submodule(prefix).named_children())
    norms = [name for name in ("norm", "ln_f", "final_layer_norm", "final_layernorm") if name in beside]
    shape = shape_of(model.config)
    projections = [
        name
        for name, module in base.get_submodule(f"{blocks}.0").named_modules()
        if name.rpartition(".")[2] in ("o_proj", "out_proj", "c_proj")
        and "attn" in name + type(module).__name__.lower()
        and module.weight.shape == (shape.width, shape.heads * shape.head_width)
    ]
    return Architecture(
        blocks=blocks,
        embedding="".join(embedding[:1]),
        last_norm=f"{prefix}.{norms[0]}".lstrip(".") if len(norms) == 1 else "",
        projection=projections[0] if len(projections) == 1 else "",
    )


def output_weight(module: nn.Module) -> Float[Tensor, "outputs inputs"]:
    """The matrix of a linear map; GPT-2 keeps its the other way round, and a rounded one is found by what it does."""
    weight = module.get_parameter("weight")
    if not weight.is_floating_point():
        assert isinstance(module, nn.Linear)
        units = torch.eye(module.in_features, device=weight.device)
        with torch.inference_mode():
            return (module(units) - module(torch.zeros_like(units))).float().T
    return weight.T if type(module).__name__ == "Conv1D" else weight


def shape_of(config: Any) -> SubjectShape:
    """Layers, heads and widths from a Hugging Face configuration."""
    heads, width = config.num_attention_heads, config.hidden_size
    hidden = (getattr(config, name, None) for name in ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"))
    return SubjectShape(
        layers=config.num_hidden_layers,
        heads=heads,
        key_value_heads=_key_value_heads(config),
        width=width,
        head_width=getattr(config, "head_dim", None) or width // heads,
        mlp_width=next((size for size in hidden if size), 4 * width),
    )


def _key_value_heads(config: Any) -> int:
    if config.model_type == "falcon":
        shared = config.multi_query and not config.new_decoder_architecture
        return 1 if shared else config.num_kv_heads
    return getattr(config, "num_key_value_heads", None) or config.num_attention_heads


def longest_of(config: Any) -> int | None:
    """Number of tokens the model can read; None if nothing limits it (ALiBi)."""
    return getattr(config, "max_position_embeddings", None)


def may_pack(model: Any, longest: int) -> bool:
    """True if inputs of up to `longest` tokens may share prefixes in one row of this model.

    Not with attention kernels that take no boolean mask, nor when a sliding window hides part of an input's past.
    """
    window = getattr(model.config, "sliding_window", None)
    sees_everything = window is None or longest <= window
    return architecture_of(model).packs and model.config._attn_implementation == "sdpa" and sees_everything
