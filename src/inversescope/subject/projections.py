"""A user's own view of a site: a probe's direction, a subspace, or the encoder of a sparse autoencoder.

Dimensions: `n` inputs, `width` coordinates of the site, `dimension` coordinates of the view.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from inversescope import files
from inversescope.errors import UserError

# Of a sparse autoencoder as SAELens, Gemma Scope 2 and Gemma Scope save it.
_WEIGHTS = ("sae_weights.safetensors", "params.safetensors", "params.npz")
_ALLOWED = (
    "a safetensors file with one tensor (a direction [width], or a subspace [dimension, width]), or a sparse "
    f"autoencoder of SAELens or Gemma Scope: its folder, or its {', '.join(_WEIGHTS)}"
)


@dataclass(frozen=True)
class Projection:
    """x ↦ x W + b; of an autoencoder's latents those are kept that exceed their threshold, and of these the `most`
    largest.
    """

    weight: Float[Tensor, "width dimension"]
    bias: Float[Tensor, " dimension"]
    threshold: Float[Tensor, " dimension"] | None = None
    most: int | None = None

    def __call__(self, activations: Float[Tensor, "n width"]) -> Float[Tensor, "n dimension"]:
        """The view of these activations, in float32."""
        value = activations @ self.weight + self.bias
        if self.most is not None:
            largest, index = value.topk(self.most, dim=1)
            value = torch.zeros_like(value).scatter(1, index, largest)
        return value if self.threshold is None else value.where(value > self.threshold, 0.0)

    @property
    def width(self) -> int:
        """Number of coordinates that a site must have."""
        return len(self.weight)

    @property
    def dimension(self) -> int:
        """Number of coordinates of the view."""
        return len(self.bias)

    @property
    def linear(self) -> bool:
        """True if it is x W + b and nothing else, so that an activation with any given view can be found."""
        return self.threshold is None and self.most is None

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits: a hash of its numbers."""
        digest = hashlib.sha256(str(self.most).encode())
        for tensor in (self.weight, self.bias, self.threshold):
            digest.update(b"none" if tensor is None else tensor.cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        threshold = None if self.threshold is None else self.threshold.to(device)
        return replace(self, weight=self.weight.to(device), bias=self.bias.to(device), threshold=threshold)


def load_projection(path: Path) -> Projection:
    """The projection in a file, or in the folder of a sparse autoencoder.

    Raises:
        UserError: there is none, it is of an unknown layout, or an autoencoder's encoder does more than this can.
    """
    file = next((path / name for name in _WEIGHTS if (path / name).exists()), path)
    tensors = _read(file)
    if "w_enc" in tensors:
        config = file.with_name("cfg.json")
        return _encoder(file, tensors, files.read_json(config) if config.exists() else {})
    if len(tensors) != 1 or (matrix := next(iter(tensors.values()))).ndim not in (1, 2):
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
        raise UserError("this file is no projection", given=f"{file}: {shapes or 'no tensors'}", allowed=_ALLOWED)
    matrix = matrix.reshape(-1, matrix.shape[-1])
    return Projection(matrix.T.contiguous(), torch.zeros(len(matrix)))


def _read(file: Path) -> dict[str, Tensor]:
    """The tensors in float32, by lower-case name."""
    try:
        arrays: Mapping[str, Any] = np.load(file) if file.suffix == ".npz" else load_file(file)
        return {name.lower(): torch.as_tensor(arrays[name]).float() for name in arrays}
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError("a projection cannot be read", given=f"{file}: {error}", allowed=_ALLOWED) from error


def _encoder(file: Path, tensors: dict[str, Tensor], config: dict[str, Any]) -> Projection:
    """The encoder of an autoencoder; without a `cfg.json`, that of Gemma Scope."""
    kind = config.get("architecture", "jumprelu" if "threshold" in tensors else "standard")
    most = config.get("k", (config.get("activation_fn_kwargs") or {}).get("k"))
    if kind not in ("standard", "jumprelu", "topk"):
        raise UserError(
            "an autoencoder of this kind is not known", given=f"{file}: {kind}", allowed="standard, jumprelu, topk"
        )
    for name, plain in (("normalize_activations", "none"), ("rescale_acts_by_decoder_norm", False)):
        if config.get(name, plain) not in (plain, None):
            raise UserError(
                "this autoencoder does more than encode", given=f"{file}: {name} = {config[name]!r}",
                allowed=f"{name} = {plain!r}", remedy="fold it into the weights (SAELens can)",
            )  # fmt: skip
    weight, bias = tensors["w_enc"], tensors["b_enc"]
    if config.get("apply_b_dec_to_input", False):
        bias = bias - tensors["b_dec"] @ weight
    threshold = tensors["threshold"].clamp_min(0) if kind == "jumprelu" else torch.zeros_like(bias)
    return Projection(weight, bias, threshold, most)
