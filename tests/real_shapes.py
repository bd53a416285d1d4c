"""The published shapes of the models that presets are for, without their weights: what `config.json` says of each.

`python tests/real_shapes.py OUT [PRESET ...]` writes a folder for each preset's model with the bundled subject's
tokenizer, and shows what `inversescope run PRESET --dry-run` says of it: how docs/presets.md was made.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoConfig

from inversescope.cli.configs import shipped


class Published(NamedTuple):
    """A model by the preset that is for it: its configuration, and how many weights its makers say it has."""

    model: str
    config: dict[str, Any]
    parameters: int


PUBLISHED = {
    "ioi-gpt2": Published(
        "openai-community/gpt2",
        {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "n_positions": 1024, "vocab_size": 50257},
        124_439_808,
    ),
    "ioi-pythia-410m": Published(
        "EleutherAI/pythia-410m",
        {
            "model_type": "gpt_neox", "num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16,
            "intermediate_size": 4096, "vocab_size": 50304, "max_position_embeddings": 2048, "rotary_pct": 0.25,
            "use_parallel_residual": True, "tie_word_embeddings": False,
        },
        405_334_016,
    ),
    "ravel-gemma-2-2b": Published(
        "google/gemma-2-2b",
        {
            "model_type": "gemma2", "num_hidden_layers": 26, "hidden_size": 2304, "num_attention_heads": 8,
            "num_key_value_heads": 4, "head_dim": 256, "intermediate_size": 9216, "vocab_size": 256_000,
            "max_position_embeddings": 8192, "sliding_window": 4096, "query_pre_attn_scalar": 256,
            "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "tie_word_embeddings": True,
        },
        2_614_341_888,
    ),
    "icl-llama-3-8b": Published(
        "meta-llama/Meta-Llama-3-8B-Instruct",
        {
            "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
            "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128_256,
            "max_position_embeddings": 8192, "tie_word_embeddings": False,
        },
        8_030_261_248,
    ),
    "chat-qwen3-4b": Published(
        "Qwen/Qwen3-4B-Instruct-2507",
        {
            "model_type": "qwen3", "num_hidden_layers": 36, "hidden_size": 2560, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 9728, "vocab_size": 151_936,
            "max_position_embeddings": 262_144, "tie_word_embeddings": True,
        },
        4_022_468_096,
    ),
}  # fmt: skip


def save_shapes(folder: Path, preset: str, tokenizer: Any) -> Path:
    """A folder with the configuration of a preset's model and this tokenizer, and no weights."""
    settings = PUBLISHED[preset].config
    AutoConfig.for_model(**settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def planned(preset: str, folder: Path) -> str:
    """The preset's config for the model in this folder, on a GPU, whether or not there is one."""
    config = shipped()[preset].replace(PUBLISHED[preset].model, str(folder))
    return config.replace('dtype = "float32"', 'device = "cuda"\ndtype = "float32"')


def _main(out: Path, presets: list[str]) -> None:
    from rich.console import Console
    from transformers import AutoTokenizer

    from inversescope.cli.tables.needs import needs_table
    from inversescope.plan.needs import needs
    from inversescope.subject import bundled

    tokenizer = AutoTokenizer.from_pretrained(bundled.folder())
    for preset in presets or PUBLISHED:
        folder = save_shapes(out / preset, preset, tokenizer)
        Console(width=120).print(needs_table(needs(planned(preset, folder), preset)))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
