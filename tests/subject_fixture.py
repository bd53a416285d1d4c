"""Tiny models of every known architecture, with weights in which nothing is zero and no two layers are alike."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 41
LAYERS = 3
HEADS = 4
LONGEST = 32


# What a configuration needs beyond the common sizes; heads whose widths do not add up to the model's tell whoever takes
# one for the other.
GROUPED = {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
OPTIONS: dict[str, dict[str, Any]] = {
    "gpt_neox": {"intermediate_size": 48},
    "gptj": {"rotary_dim": 4},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "falcon": {"ffn_hidden_size": 48},
    "llama": GROUPED,
    "mistral": GROUPED,
    "ministral3": GROUPED,
    "mixtral": GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2": GROUPED,
    "qwen3": GROUPED | {"head_dim": 6},
    "gemma2": GROUPED | {"head_dim": 6},
    "gemma3_text": GROUPED | {"head_dim": 6},
    "phi3": {"intermediate_size": 48, "num_key_value_heads": 2},
    "olmo2": GROUPED,
    "smollm3": GROUPED,
    "granite": GROUPED | {
        "residual_multiplier": 0.7, "embedding_multiplier": 3.0, "logits_scaling": 2.0, "attention_multiplier": 0.3,
    },
    "cohere": GROUPED | {"logit_scale": 0.5, "use_qk_norm": True},
    "stablelm": GROUPED,
    "gpt_neo": {"num_layers": LAYERS, "attention_types": [[["global"], LAYERS]], "intermediate_size": 48},
}  # fmt: skip
# Variants of an architecture: its model type, and what else their configurations say.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neox, serial": ("gpt_neox", {"use_parallel_residual": False}),
    "falcon, serial, ALiBi, a key for every head": (
        "falcon", {"parallel_attn": False, "multi_query": False, "alibi": True},
    ),
    "falcon, new": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "gemma2, sliding": ("gemma2", {"sliding_window": 4}),
}  # fmt: skip


def tiny_model(kind: str, seed: int = 0, **options: Any) -> Any:
    """A random causal language model: 3 layers, width 32, 4 heads; with grouped attention 2 key/value heads.

    `kind` is a model type or one of `VARIANTS`.
    """
    model_type, variant = VARIANTS.get(kind, (kind, {}))
    sizes: dict[str, Any] = {
        "hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "vocab_size": VOCABULARY,
        "max_position_embeddings": LONGEST, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    config = AutoConfig.for_model(model_type, **(sizes | OPTIONS.get(model_type, {}) | variant | options))
    wanted = {"attn_implementation": options["attn_implementation"]} if "attn_implementation" in options else {}
    model = AutoModelForCausalLM.from_config(config, **wanted).eval()
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        noise = torch.randn(weight.shape, generator=generator)
        weight.data = 0.2 * noise + (1.0 if weight.ndim == 1 else 0.0)
    return model
