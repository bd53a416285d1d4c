"""Tiny models of every known architecture, with weights in which nothing is zero and no two layers are alike."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 41
LAYERS = 3
HEADS = 4
LONGEST = 32


def tiny_model(model_type: str, seed: int = 0, **options: Any) -> Any:
    """A random causal language model: 3 layers, width 32, 4 heads; Llama-like ones have 2 key/value heads."""
    sizes: dict[str, Any] = {
        "hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "vocab_size": VOCABULARY,
        "max_position_embeddings": LONGEST, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    if model_type != "gpt2":
        # Heads whose widths do not add up to the model's tell whoever takes one for the other.
        sizes |= {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 6 if model_type == "qwen3" else 8}
    config = AutoConfig.for_model(model_type, **(sizes | options))
    attention = options.get("attn_implementation", "sdpa")
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        noise = torch.randn(weight.shape, generator=generator)
        weight.data = 0.2 * noise + (1.0 if weight.ndim == 1 else 0.0)
    return model
