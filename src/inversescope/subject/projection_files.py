"""Projections from files: directions, probes and subspaces; sparse autoencoders are read by `autoencoders`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from inversescope.errors import UserError
from inversescope.subject.autoencoders import FILES, read_autoencoder
from inversescope.subject.projections import Projection
from inversescope.subject.tensor_files import read_tensors

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
    read = read_tensors(file, "a projection", ALLOWED)
    tensors = _finite(file, {name.lower() or "direction": tensor for name, tensor in read.items()})
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


def _finite(file: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError("a projection holds a number that is not finite", given=f"{file}: {name}")
    return tensors
