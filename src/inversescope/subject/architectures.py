"""Where each architecture keeps its parts: one entry per architecture, and nothing of this kind anywhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from inversescope.errors import UserError
from inversescope.sites import SubjectShape


@dataclass(frozen=True)
class Architecture:
    """The dotted module paths of a pre-norm decoder: `blocks` and `last_norm` within the base model, the others within
    one block.

    `packs` says that a token's activation depends on nothing but its ancestors and the `position_ids` it is given, so
    that inputs may share their prefixes in one row (`packing`).
    """

    blocks: str
    last_norm: str
    attention_norm: str
    attention: str
    projection: str
    mlp_norm: str
    mlp: str
    packs: bool

    def tap(self, point: str) -> tuple[str, Literal["input", "output"]]:
        """The module of a block, as a path within it, whose input or output is the activation at this point.

        `z` is the input of the attention's output projection, all heads side by side.
        """
        taps: dict[str, tuple[str, Literal["input", "output"]]] = {
            "resid_pre": ("", "input"),
            "z": (self.projection, "input"),
            "attn_out": (self.attention, "output"),
            "resid_mid": (self.mlp_norm, "input"),
            "mlp_out": (self.mlp, "output"),
            "resid_post": ("", "output"),
        }
        return taps[point]


_LLAMA = Architecture(
    blocks="layers",
    last_norm="norm",
    attention_norm="input_layernorm",
    attention="self_attn",
    projection="self_attn.o_proj",
    mlp_norm="post_attention_layernorm",
    mlp="mlp",
    packs=True,
)
_GPT2 = Architecture(
    blocks="h",
    last_norm="ln_f",
    attention_norm="ln_1",
    attention="attn",
    projection="attn.c_proj",
    mlp_norm="ln_2",
    mlp="mlp",
    packs=True,
)

# By the `model_type` of the model's configuration.
ARCHITECTURES = {"gpt2": _GPT2, "llama": _LLAMA, "mistral": _LLAMA, "qwen2": _LLAMA, "qwen3": _LLAMA}


def architecture_of(config: Any) -> Architecture:
    """The entry for a Hugging Face configuration.

    Raises:
        UserError: there is none.
    """
    if config.model_type not in ARCHITECTURES:
        raise UserError(
            "this architecture is not known",
            given=config.model_type,
            allowed=", ".join(ARCHITECTURES),
            remedy="add an entry to inversescope/subject/architectures.py",
        )
    return ARCHITECTURES[config.model_type]


def shape_of(config: Any) -> SubjectShape:
    """Layers, heads and widths from a Hugging Face configuration."""
    heads, width = config.num_attention_heads, config.hidden_size
    head_width = getattr(config, "head_dim", None) or width // heads
    return SubjectShape(layers=config.num_hidden_layers, heads=heads, width=width, head_width=head_width)


def may_pack(config: Any, longest: int) -> bool:
    """Whether inputs of up to `longest` tokens may share prefixes in one row of this model.

    Not with attention kernels that take no boolean mask, nor when a sliding window hides part of an input's past.
    """
    window = getattr(config, "sliding_window", None)
    sees_everything = window is None or longest <= window
    return architecture_of(config).packs and config._attn_implementation == "sdpa" and sees_everything
