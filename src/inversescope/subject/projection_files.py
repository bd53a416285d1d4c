"""Projections from files: directions, probes and subspaces; sparse autoencoders are read by `autoencoders`."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from inversescope import files
from inversescope.errors import UserError
from inversescope.subject.autoencoders import FILES, read_autoencoder
from inversescope.subject.projections import Projection

ALLOWED = (
    "a .safetensors, .npy, .npz or .pt file that holds a direction [width] or a subspace [dimension, width], and a "
    f"probe's bias beside it or not; or the folder of a sparse autoencoder, which holds one of {', '.join(FILES)}"
)
_BIASES = ("bias", "b", "intercept", "intercept_")


def load_projection(path: Path) -> Projection:
    """The projection in a file, or in the folder of a sparse autoencoder.

    Raises:
        UserError: there is none, it is of an unknown layout, or an autoencoder's encoder does more than this can.
    """
    file = path
    if path.is_dir():
        file = next((path / name for name in FILES if (path / name).is_file()), path)
        if file == path:
            raise UserError("this folder holds no autoencoder", given=path, allowed=ALLOWED)
    tensors = _finite(file, _read(file))
    if {"w_enc", "encoder.weight"} & tensors.keys() or file.name in FILES:
        return read_autoencoder(file, tensors)
    return _linear(file, tensors)


def _linear(file: Path, tensors: Mapping[str, Tensor]) -> Projection:
    """A direction or a subspace; with a bias, a probe."""
    biases = {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[2] in _BIASES}
    others = [tensor for name, tensor in tensors.items() if name not in biases]
    if len(others) != 1 or len(biases) > 1 or others[0].ndim not in (1, 2) or not others[0].numel():
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
        raise UserError("this file is no projection", given=f"{file}: {shapes or 'no tensors'}", allowed=ALLOWED)
    matrix = others[0].reshape(-1, others[0].shape[-1])
    bias = torch.zeros(len(matrix))
    for name, tensor in biases.items():
        if tensor.numel() != len(matrix):
            given, allowed = f"{file}: {name} {list(tensor.shape)}", f"{len(matrix)} numbers, one for each direction"
            raise UserError("a probe's bias does not fit its directions", given=given, allowed=allowed)
        bias = tensor.reshape(-1)
    if zero := (matrix == 0).all(1).nonzero().flatten().tolist():
        given = f"{file}: all of direction {zero[0]}"
        raise UserError("a direction is zero: through it, all activations are the same", given=given)
    return Projection(matrix.T.contiguous(), bias)


def _read(file: Path) -> dict[str, Tensor]:
    """The tensors in float32, by lower-case name."""
    try:
        return {name.lower(): _float(value) for name, value in _arrays(file).items()}
    except Exception as error:  # a damaged archive or pickle fails in any way
        reason, remedy = f"{type(error).__name__}: {error}", None
        if isinstance(error, pickle.UnpicklingError):
            reason, remedy = "it holds more than tensors and numbers", "save the tensors alone, as .safetensors"
        elif files.is_lfs_pointer(file):
            reason, remedy = "it is a Git LFS pointer, not the file itself", "git lfs pull"
        given = f"{file}: {reason}"
        raise UserError("a projection cannot be read", given=given, allowed=ALLOWED, remedy=remedy) from error


def _arrays(file: Path) -> Mapping[str, Any]:
    if file.suffix in (".npz", ".npy", ".pt", ".pth", ".bin"):
        with file.open("rb") as opened:  # libraries leave a damaged file open
            if file.suffix in (".npz", ".npy"):
                loaded = np.load(opened)
            else:
                loaded = torch.load(opened, map_location="cpu", weights_only=True)  # nothing in it runs
            return dict(loaded) if isinstance(loaded, Mapping) else {"direction": loaded}
    return load_file(file)


def _float(value: Any) -> Tensor:
    if not isinstance(value, Tensor | np.ndarray | Number):
        raise ValueError(f"it holds a {type(value).__name__} where a tensor should be")
    tensor = torch.as_tensor(value)
    if tensor.is_complex():
        raise ValueError("complex numbers")
    return tensor.detach().float()


def _finite(file: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError("a projection holds a number that is not finite", given=f"{file}: {name}")
    return tensors
