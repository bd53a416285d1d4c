"""Folders of models as they are published, made tiny from their configurations, with a real tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from small_subject import tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMultimodalLM, AutoModelForSeq2SeqLM

from inversescope.subject.loading import quiet

WORDS = tokenizer()
IDS = {"vocab_size": len(WORDS), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SMALL = IDS | {"hidden_size": 32, "num_hidden_layers": 4}
TEXT = SMALL | {
    "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "max_position_embeddings": 64,
}  # fmt: skip
GPT = IDS | {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 64}
SLIDING = {"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 8}
LINEAR = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4, "layer_types": ["linear_attention", "full_attention"] * 2,
}  # fmt: skip
LAYERWISE = {"vocab_size_per_layer_input": len(WORDS), "hidden_size_per_layer_input": 8, "num_kv_shared_layers": 0}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
SSM = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 4}
EYES = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16,
    "patch_size": 8,
}  # fmt: skip
QWEN_EYES = {
    "depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32, "patch_size": 8,
}  # fmt: skip


def _rope(*sections: int) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": list(sections)}}


# By model type. A text model inside another one:
INSIDE: dict[str, dict[str, Any]] = {
    "gemma3": {"text_config": TEXT | SLIDING, "vision_config": EYES, "mm_tokens_per_image": 4},
    "gemma4": {
        "text_config": TEXT | LAYERWISE | SLIDING | {"global_head_dim": 16}, "vision_config": None,
        "audio_config": None,
    },
    "qwen3_5": {"text_config": TEXT | LINEAR, "vision_config": QWEN_EYES},
    "mistral3": {
        "text_config": {"model_type": "mistral"} | TEXT, "vision_config": {"model_type": "pixtral"} | EYES,
    },
    "qwen2_5_vl": {"text_config": TEXT | _rope(1, 1, 2), "vision_config": QWEN_EYES},
    "qwen3_vl": {
        "text_config": TEXT | _rope(2, 1, 1), "vision_config": QWEN_EYES | {"deepstack_visual_indexes": [0]},
    },
    "llava": {
        "text_config": {"model_type": "llama"} | TEXT, "vision_config": {"model_type": "clip_vision_model"} | EYES,
    },
    # Not llama4: in transformers 5.24 its own forward of the whole fails on a text without an image.
}  # fmt: skip
# State-space models, and those that mix such layers with attention:
STATES: dict[str, dict[str, Any]] = {
    "mamba": SMALL | {"state_size": 8},
    "mamba2": SMALL | {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 4},
    "falcon_mamba": SMALL | {"state_size": 8},
    "rwkv": SMALL | {"attention_hidden_size": 32, "context_length": 64},
    "xlstm": SMALL | {"num_heads": 4, "num_blocks": 4},
    "qwen3_5_text": TEXT | LINEAR,
    "qwen3_next": TEXT | LINEAR | EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 16},
    "minimax": TEXT | {
        "layer_types": ["linear_attention", "full_attention"] * 2, "num_local_experts": 2, "num_experts_per_tok": 1,
        "block_size": 8,
    },
    "jamba": TEXT | {
        "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2, "num_experts_per_tok": 1, "mamba_d_state": 4,
        "mamba_dt_rank": 4,
    },
    "bamba": TEXT | SSM | {"attn_layer_indices": [1, 3]},
    "falcon_h1": TEXT | SSM | {"mamba_d_ssm": 64},
    "recurrent_gemma": TEXT | {
        "lru_width": 32, "block_types": ["recurrent", "attention"], "attention_window_size": 8,
    },
    "lfm2": TEXT | {"layer_types": ["conv", "full_attention"] * 2, "conv_L_cache": 3},
}  # fmt: skip
# Others that are not in the table of architectures:
OTHERS: dict[str, dict[str, Any]] = {
    "openai-gpt": GPT,
    "gpt_bigcode": GPT,
    "ctrl": GPT | {"dff": 48},
    "mpt": IDS | {"d_model": 32, "n_heads": 4, "n_layers": 4, "max_seq_len": 64, "expansion_ratio": 2},
    "xglm": IDS | {
        "d_model": 32, "ffn_dim": 48, "num_layers": 4, "attention_heads": 4, "max_position_embeddings": 64,
    },
    "gpt_oss": TEXT | SLIDING | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "deepseek_v3": {key: value for key, value in TEXT.items() if key != "head_dim"} | EXPERTS | {
        "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8,
        "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": 4,
    },
    "gemma4_text": TEXT | LAYERWISE | SLIDING | {"global_head_dim": 16},
}  # fmt: skip
REFUSED: dict[str, dict[str, Any]] = {
    "t5": IDS | {"d_model": 32, "d_ff": 48, "num_layers": 2, "num_heads": 4, "d_kv": 8},
    "gemma3n_text": TEXT | LAYERWISE | SLIDING | {
        "intermediate_size": [48] * 4, "laurel_rank": 4, "activation_sparsity_pattern": [0.0] * 4,
    },
}  # fmt: skip
LONGROPE = TEXT | {
    "original_max_position_embeddings": 16,
    "rope_parameters": {
        "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4,
        "long_factor": [1.0, 4.0, 8.0, 16.0], "original_max_position_embeddings": 16,
    },
}  # fmt: skip


def save(folder: Path, kind: str, settings: dict[str, Any]) -> Any:
    """Save a random model and the tokenizer; the model."""
    config = AutoConfig.for_model(kind, **settings)
    own = {"t5": AutoModelForSeq2SeqLM} | dict.fromkeys(INSIDE, AutoModelForMultimodalLM)
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        model = own.get(kind, AutoModelForCausalLM).from_config(config).eval()
        draws = torch.Generator().manual_seed(0)
        for name, weight in model.named_parameters():
            if "A_log" not in name and "dt_bias" not in name:  # rates, which must stay what they are
                weight.data = 0.2 * torch.randn(weight.shape, generator=draws) + (weight.ndim == 1)
        model.save_pretrained(folder)
        WORDS.save_pretrained(folder)
    return model
