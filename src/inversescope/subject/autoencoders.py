"""Encoders of sparse autoencoders, as SAELens, Gemma Scope, sparsify and dictionary_learning save them.

Each layout is read by the defaults of the library that wrote it. A setting that is not known is refused by its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.errors import UserError
from inversescope.subject.projections import Projection

_GEMMA_SCOPE = ("params.safetensors", "params.npz")
_SPARSIFY, _DICTIONARY_LEARNING = "sae.safetensors", "ae.pt"
FILES = ("sae_weights.safetensors", *_GEMMA_SCOPE, _SPARSIFY, _DICTIONARY_LEARNING)

# By the end of a hook's name in TransformerLens, or of a module's in transformers: the points that show it.
_POINTS = {
    "hook_z": ("z",),
    "o_proj.input": ("z",),
    "hook_attn_out": ("attn_out",),
    "hook_mlp_out": ("mlp_out",),
    "mlp.hook_post": ("mlp_act",),
    "hook_resid_pre": ("resid_pre", "resid_mid", "resid_post"),
    "hook_resid_mid": ("resid_pre", "resid_mid", "resid_post"),
    "hook_resid_post": ("resid_pre", "resid_mid", "resid_post"),
}
_PLAIN = (None, False, "none")

Tensors = Mapping[str, Tensor]
Settings = Mapping[str, Any]


def read_autoencoder(file: Path, tensors: Tensors) -> Projection:
    """The encoder in these tensors (by lower-case names), by the settings beside the file.

    Raises:
        UserError: a tensor or the settings are missing, of another shape, or ask for what is not known.
    """
    return _Encoder(file, tensors).read()


class _Encoder:
    """One file, its tensors and its settings."""

    def __init__(self, file: Path, tensors: Tensors):
        self.file, self.tensors = file, tensors

    def read(self) -> Projection:
        if self.file.name == _DICTIONARY_LEARNING:
            return self._dictionary_learning(self._settings("config.json"))
        if self.file.name == _SPARSIFY:
            return self._sparsify(self._settings("cfg.json"))
        if self.file.name in _GEMMA_SCOPE and not self.file.with_name("cfg.json").exists():
            settings = self._settings("config.json", needed=False)
            weight, bias = self._affine()
            return self._made(weight, bias, self._of("threshold", len(bias)), hook=settings.get("hf_hook_point_in"))
        return self._saelens(self._settings("cfg.json"))

    def _saelens(self, settings: Settings) -> Projection:
        """Settings of version 6, and of those before it, whose defaults SAELens itself fills in like this."""
        kind = self._known("architecture", settings.get("architecture", "standard"), _SAELENS)
        self._plain(settings, "normalize_activations", "rescale_acts_by_decoder_norm")
        written = next((settings[key] for key in ("activation_fn_str", "activation_fn") if key in settings), "relu")
        activation = self._known("activation_fn", written, ("relu", "topk"))
        most = settings.get("k", (settings.get("activation_fn_kwargs") or {}).get("k"))
        if "topk" in (kind, activation) and most is None:
            raise self._lacks("k", "cfg.json")
        weight = self._of("w_enc", None, None)
        shift = self._of("b_dec", len(weight)) if settings.get("apply_b_dec_to_input", True) else None
        more = settings.get("metadata") or {}
        hook = settings.get("hook_name", settings.get("hook_point", more.get("hook_name")))
        hook = "hook_z" if "hook_z" in (settings.get("reshape_activations"), more.get("reshape_activations")) else hook
        if kind == "gated":
            return self._gated(weight, shift, ("r_mag", "b_gate", "b_mag"), hook)
        bias = self._of("b_enc", weight.shape[1])
        threshold = self._of("threshold", len(bias)) if kind == "jumprelu" else None
        return self._made(weight, bias, threshold, most if "topk" in (kind, activation) else None, shift, hook)

    def _sparsify(self, settings: Settings) -> Projection:
        self._known("activation", settings.get("activation", "topk"), ("topk",))
        self._plain(settings, "signed")
        weight = self._of("encoder.weight", None, None).T
        shift = None if settings.get("transcode") else self._of("b_dec", len(weight))
        if "k" not in settings:
            raise self._lacks("k", "cfg.json")
        return self._made(weight, self._of("encoder.bias", weight.shape[1]), None, settings["k"], shift)

    def _dictionary_learning(self, settings: Settings) -> Projection:
        trainer = settings.get("trainer") or {}
        kind = self._known("trainer.dict_class", trainer.get("dict_class"), _DICTIONARIES)
        hook = {"resid": "hook_resid_post", "mlp_o": "hook_mlp_out", "atten": "hook_attn_out"}.get(
            str(trainer.get("submodule_name"))[:5]
        )
        if kind in ("JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE"):
            weight, bias = self._affine()
        else:
            weight = self._of("encoder.weight", None, None).T
            bias = self._of("encoder.bias", weight.shape[1]) if kind != "GatedAutoEncoder" else torch.zeros(0)
        if kind == "GatedAutoEncoder":
            shift = self._of("decoder_bias", len(weight))
            return self._gated(weight, shift, ("r_mag", "gate_bias", "mag_bias"), hook)
        name = _DICTIONARIES[kind]
        shift = None if name is None else self._of(name, len(weight))
        threshold = most = None
        if kind == "JumpReluAutoEncoder":
            threshold = self._of("threshold", len(bias))
        elif "BatchTopK" in kind:
            threshold = self._of("threshold").expand(len(bias))
            if float(threshold.min()) < 0:
                raise self._refused("threshold", float(threshold.min()), "0 or more: training has not set it yet")
        elif kind == "AutoEncoderTopK":
            most = trainer.get("k", int(self.tensors["k"]) if "k" in self.tensors else None)
            if most is None:
                raise self._lacks("k", "config.json")
        return self._made(weight, bias, threshold, most, shift, hook)

    def _gated(self, weight: Tensor, shift: Tensor | None, names: tuple[str, str, str], hook: Any) -> Projection:
        """A gate that is open where x W + b_gate > 0 is a threshold on the magnitude x W eʳ + b_mag."""
        scale, gate, magnitude = (self._of(name, weight.shape[1]) for name in names)
        scale, offset = scale.exp(), torch.zeros_like(gate) if shift is None else shift @ weight
        bias = magnitude - scale * offset
        return self._made(weight * scale, bias, magnitude - scale * gate, hook=hook)

    def _made(
        self,
        weight: Float[Tensor, "width latents"],
        bias: Float[Tensor, " latents"],
        threshold: Float[Tensor, " latents"] | None = None,
        most: Any = None,
        shift: Float[Tensor, " width"] | None = None,
        hook: Any = None,
    ) -> Projection:
        """The latents of x − shift; none is negative."""
        if most is not None and not (type(most) is int and 0 < most <= len(bias)):
            raise self._refused("k", most, f"a whole number from 1 to the number of latents, {len(bias)}")
        if shift is not None:
            bias = bias - shift @ weight
        threshold = torch.zeros_like(bias) if threshold is None else threshold.clamp_min(0)
        points = next((points for end, points in _POINTS.items() if str(hook).endswith(end)), ())
        return Projection(weight.contiguous(), bias, threshold.contiguous(), most, points)

    def _affine(self) -> tuple[Tensor, Tensor]:
        weight = self._of("w_enc", None, None)
        return weight, self._of("b_enc", weight.shape[1])

    def _of(self, name: str, *shape: int | None) -> Tensor:
        """The tensor of this name, of this shape; None stands for any number."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise self._lacks(name, ", ".join(self.tensors) or "no tensors")
        fits = tensor.ndim == len(shape) and all(a in (None, b) for a, b in zip(shape, tensor.shape, strict=True))
        if not fits:
            wanted = ["any" if size is None else size for size in shape]
            given = f"{self.file}: {name} {list(tensor.shape)}"
            raise UserError("a tensor of this autoencoder has another shape", given=given, allowed=wanted)
        return tensor

    def _settings(self, name: str, *, needed: bool = True) -> Settings:
        path = self.file.with_name(name)
        if not path.exists() and not needed:
            return {}
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                "the settings of an autoencoder cannot be read", given=f"{path}: {error}",
                remedy=f"keep its {name} beside its weights: what its encoder does cannot be guessed",
            ) from error  # fmt: skip
        if not isinstance(settings, dict):
            raise UserError("the settings of an autoencoder are no object", given=path, allowed="{...}")
        return settings

    def _known(self, key: str, value: Any, allowed: Any) -> str:
        if value not in allowed:
            raise self._refused(key, value, ", ".join(allowed))
        return value

    def _plain(self, settings: Settings, *keys: str) -> None:
        for key in keys:
            if not any(settings.get(key) is plain or settings.get(key) == plain for plain in _PLAIN):
                raise self._refused(key, settings[key], "none", "fold it into the weights (SAELens can)")

    def _refused(self, key: str, value: Any, allowed: str, remedy: str | None = None) -> UserError:
        given = f"{self.file}: {key} = {value!r}"
        return UserError(
            "an autoencoder has a setting that is not known here", given=given, allowed=allowed, remedy=remedy
        )

    def _lacks(self, name: str, found: str) -> UserError:
        return UserError(f"this autoencoder lacks {name}", given=f"{self.file}: {found}")


_SAELENS = ("standard", "jumprelu", "topk", "gated")
# By its class, the tensor that is subtracted from the activation before it is encoded; None: none is.
_DICTIONARIES = {
    "AutoEncoder": "bias",
    "AutoEncoderNew": None,
    "AutoEncoderTopK": "b_dec",
    "BatchTopKSAE": "b_dec",
    "MatryoshkaBatchTopKSAE": "b_dec",
    "JumpReluAutoEncoder": None,
    "GatedAutoEncoder": "decoder_bias",
}
