"""Parts of a model whose architecture is not in the table: what can be found safely, under well-known names."""

from __future__ import annotations

from typing import Any

from torch import nn

from inversescope.subject.architecture import Architecture
from inversescope.subject.model_shape import shape_of

_NORMS = (
    "norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f", "ln_out", "final_norm", "layer_norm", "layernorm",
    "out_norm", "embedding_norm",
)  # fmt: skip
_PROJECTIONS = ("o_proj", "out_proj", "c_proj")


def found(model: Any) -> Architecture | None:
    """The residual stream between the blocks, the embeddings, and `z` and the final norm under well-known names; None:
    the blocks cannot be found.
    """
    embedding = embedding_path(model)
    blocks = _blocks(model, embedding)
    if blocks is None:
        return None
    prefix = blocks.rpartition(".")[0]
    beside = dict(model.base_model.get_submodule(prefix).named_children())
    norms = [name for name in _NORMS if name in beside]
    return Architecture(
        blocks=blocks,
        embedding=embedding,
        last_norm=f"{prefix}.{norms[0]}".lstrip(".") if len(norms) == 1 else "",
        projection=_projection(model, model.base_model.get_submodule(blocks)),
    )


def embedding_path(model: Any) -> str:
    """The embeddings within the base model; empty: they are not in it."""
    embeddings = model.get_input_embeddings()
    return next((name for name, module in model.base_model.named_modules() if module is embeddings), "")


def _blocks(model: Any, embedding: str) -> str | None:
    """The outermost list of as many modules as there are layers: beside the embeddings, or the only one."""
    layers = shape_of(model.config).layers
    lists = [
        name
        for name, module in model.base_model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == layers
    ]
    outermost = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    beside = [name for name in outermost if embedding and name.rpartition(".")[0] == embedding.rpartition(".")[0]]
    candidates = beside or outermost
    return candidates[0] if len(candidates) == 1 else None


def _projection(model: Any, blocks: Any) -> str:
    """The output projection of attention, where every block has the same one; empty: not known."""
    shape = shape_of(model.config)
    wanted = (shape.width, shape.heads * shape.head_width)
    common = set.intersection(*({*_projections(block, wanted)} for block in blocks)) if shape.heads else set()
    return common.pop() if len(common) == 1 else ""


def _projections(block: nn.Module, wanted: tuple[int, int]) -> list[str]:
    return [
        name
        for name, module in block.named_modules()
        if name.rpartition(".")[2] in _PROJECTIONS
        and "attn" in name + type(module).__name__.lower()
        and getattr(getattr(module, "weight", None), "shape", None) == wanted
    ]
