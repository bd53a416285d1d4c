"""Autoencoders of other libraries: latents as each library computes them; what is not known is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from refusals import refuses
from safetensors.torch import save_file
from torch import Tensor

from inversescope.subject.projection_files import load_projection

WIDTH, LATENTS = 6, 9
DRAWS = torch.Generator().manual_seed(0)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=DRAWS)


X = 2 * drawn(50, WIDTH)
W, W_DEC, B, C = drawn(WIDTH, LATENTS), drawn(LATENTS, WIDTH), drawn(LATENTS), drawn(WIDTH)
GATE, MAGNITUDE, SCALE, THRESHOLD = drawn(LATENTS), drawn(LATENTS), drawn(LATENTS), drawn(LATENTS)
PLAIN = {"W_enc": W, "W_dec": W_DEC, "b_enc": B, "b_dec": C}
LINEAR = {"encoder.weight": W.T.contiguous(), "encoder.bias": B, "decoder.weight": W_DEC.T.contiguous()}


def relu(x: Tensor) -> Tensor:
    return x.clamp_min(0)


def largest(x: Tensor, k: int) -> Tensor:
    value, index = x.topk(k, dim=1)
    return torch.zeros_like(x).scatter(1, index, relu(value))


def jump(x: Tensor, threshold: Tensor | float) -> Tensor:
    return relu(x) * (x > threshold)


def gated(x: Tensor) -> Tensor:
    return (x @ W + GATE > 0) * relu(SCALE.exp() * (x @ W) + MAGNITUDE)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def saelens(folder: Path, settings: dict[str, Any], tensors: dict[str, Tensor] = PLAIN) -> Path:
    save_file(tensors, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(settings))
    return folder


def dictionary(folder: Path, tensors: dict[str, Any], **trainer: Any) -> Path:
    torch.save(tensors, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {}}))
    return folder


OLD = {"hook_point": "blocks.8.hook_resid_pre", "d_in": WIDTH, "activation_fn": "relu"}
GATED = {"W_enc": W, "b_dec": C, "b_gate": GATE, "b_mag": MAGNITUDE, "r_mag": SCALE}
SAELENS = {
    "before version 6": (OLD, PLAIN, relu((X - C) @ W + B)),
    "normalization off": (OLD | {"normalize_activations": False}, PLAIN, relu((X - C) @ W + B)),
    "version 6": ({"architecture": "standard", "apply_b_dec_to_input": False}, PLAIN, relu(X @ W + B)),
    "topk": ({"architecture": "topk", "k": 3}, PLAIN, largest((X - C) @ W + B, 3)),
    "topk before version 6": (
        {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}}, PLAIN, largest((X - C) @ W + B, 2)
    ),
    "jumprelu": (
        {"architecture": "jumprelu", "apply_b_dec_to_input": True}, PLAIN | {"threshold": THRESHOLD},
        jump((X - C) @ W + B, THRESHOLD),
    ),
    "gated": ({"architecture": "gated"}, GATED, gated(X - C)),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAELENS)
def test_saelens(kind: str, tmp_path: Path):
    settings, tensors, latents = SAELENS[kind]
    torch.testing.assert_close(load_projection(saelens(tmp_path, settings, tensors))(X), latents)


@pytest.mark.parametrize("file", ["params.npz", "params.safetensors"])
def test_gemma_scope(file: str, tmp_path: Path):
    tensors = {"w_enc": W, "w_dec": W_DEC, "b_enc": B, "b_dec": C, "threshold": THRESHOLD}
    if file.endswith("npz"):
        np.savez(tmp_path / file, **{name: tensor.numpy() for name, tensor in tensors.items()})
    else:
        save_file(tensors, tmp_path / file)
    torch.testing.assert_close(load_projection(tmp_path)(X), jump(X @ W + B, THRESHOLD))


def test_sparsify(tmp_path: Path):
    tensors = {"encoder.weight": W.T.contiguous(), "encoder.bias": B, "b_dec": C, "W_dec": W_DEC}
    save_file(tensors, tmp_path / "sae.safetensors")
    settings = tmp_path / "cfg.json"
    settings.write_text(json.dumps({"k": 3, "d_in": WIDTH, "activation": "topk"}))
    torch.testing.assert_close(load_projection(tmp_path)(X), largest((X - C) @ W + B, 3))
    settings.write_text(json.dumps({"k": 3, "transcode": True}))
    torch.testing.assert_close(load_projection(tmp_path)(X), largest(X @ W + B, 3))
    settings.write_text(json.dumps({"k": 3, "activation": "groupmax"}))
    with refuses(given=("activation", "groupmax"), allowed="topk"):
        load_projection(tmp_path)


DICTIONARIES = {
    "AutoEncoder": (LINEAR | {"bias": C}, relu((X - C) @ W + B)),
    "AutoEncoderNew": (LINEAR | {"decoder.bias": C}, relu(X @ W + B)),
    "AutoEncoderTopK": (
        LINEAR | {"b_dec": C, "k": torch.tensor(3), "threshold": torch.tensor(-1.0)}, largest((X - C) @ W + B, 3)
    ),
    "BatchTopKSAE": (
        LINEAR | {"b_dec": C, "k": torch.tensor(3), "threshold": torch.tensor(1.5)}, jump((X - C) @ W + B, 1.5)
    ),
    "MatryoshkaBatchTopKSAE": (PLAIN | {"threshold": torch.tensor(1.5)}, jump((X - C) @ W + B, 1.5)),
    "JumpReluAutoEncoder": (PLAIN | {"threshold": THRESHOLD}, jump(X @ W + B, THRESHOLD)),
    "GatedAutoEncoder": (
        LINEAR | {"decoder_bias": C, "r_mag": SCALE, "gate_bias": GATE, "mag_bias": MAGNITUDE},
        gated(X - C),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DICTIONARIES)
def test_dictionary_learning(kind: str, tmp_path: Path):
    tensors, latents = DICTIONARIES[kind]
    torch.testing.assert_close(load_projection(dictionary(tmp_path, tensors, dict_class=kind))(X), latents)


def test_an_autoencoder_stays_at_its_point(tmp_path: Path):
    v6 = {"architecture": "standard", "metadata": {"hook_name": "blocks.8.attn.hook_z"}}
    assert load_projection(saelens(tmp_path, v6)).points == ("z",)
    assert load_projection(saelens(tmp_path, {"reshape_activations": "hook_z"})).points == ("z",)
    assert "resid_post" in load_projection(saelens(tmp_path, OLD)).points
    assert load_projection(saelens(tmp_path, {})).points == ()


# What is changed in an autoencoder of SAELens, and what the refusal names.
REFUSED: dict[str, tuple[dict[str, Any], set[str], tuple[str, ...]]] = {
    "an activation": ({"activation_fn_str": "tanh-relu"}, set(), ("activation_fn", "tanh-relu")),
    "an architecture": ({"architecture": "crosscoder"}, set(), ("architecture", "crosscoder")),
    "a normalization": ({"normalize_activations": "layer_norm"}, set(), ("normalize_activations", "layer_norm")),
    "normalization by its old name": ({"normalize_activations": True}, set(), ("normalize_activations", "True")),
    "more than there are": ({"architecture": "topk", "k": LATENTS + 1}, set(), ("k", str(LATENTS + 1))),
    "a number as text": ({"architecture": "topk", "k": "3"}, set(), ("k", "'3'")),
    "no encoder's bias": ({}, {"b_enc"}, ("b_dec",)),
    "no decoder's bias": ({}, {"b_dec"}, ("b_enc",)),
    "no threshold": ({"architecture": "jumprelu"}, set(), ("b_enc",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_known_is_refused_by_its_name(case: str, tmp_path: Path):
    settings, missing, named = REFUSED[case]
    tensors = {name: tensor for name, tensor in PLAIN.items() if name not in missing}
    with refuses(given=("sae_weights.safetensors", *named)):
        load_projection(saelens(tmp_path, settings, tensors))


def test_settings_that_are_missing_or_broken(tmp_path: Path):
    saelens(tmp_path, {})
    for text in ("{", "[]"):
        (tmp_path / "cfg.json").write_text(text)
        with refuses(given="cfg.json"):
            load_projection(tmp_path)
    (tmp_path / "cfg.json").unlink()
    with refuses(given="cfg.json", remedy="cfg.json"):
        load_projection(tmp_path)
    with refuses(given=("trainer.dict_class", "None"), allowed="AutoEncoderTopK"):
        load_projection(dictionary(_new(tmp_path / "other"), LINEAR))
