"""Tensors in files of other programs: .safetensors, .npy, .npz, .pt. Nothing in a file runs."""

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

UNNAMED = ""  # name of the tensor of a file that holds one alone
_NUMPY, _TORCH = (".npz", ".npy"), (".pt", ".pth", ".bin")


def read_tensors(file: Path, thing: str, allowed: str) -> dict[str, Tensor]:
    """The tensors of a file in float32, by name; `thing` and `allowed` are for messages.

    Raises:
        UserError: it cannot be read, is damaged, or holds something else, such as code.
    """
    try:
        return {name: _float(value) for name, value in _arrays(file).items()}
    except Exception as error:  # a damaged archive or pickle fails in any way
        reason, remedy = f"{type(error).__name__}: {error}", None
        if isinstance(error, pickle.UnpicklingError) or "allow_pickle" in str(error):
            reason, remedy = "it holds more than tensors and numbers", "save the tensors alone, as .safetensors"
        elif files.is_lfs_pointer(file):
            reason, remedy = "it is a Git LFS pointer, not the file itself", "git lfs pull"
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        raise UserError(f"{thing} cannot be read", given=f"{file}: {reason}", allowed=allowed, remedy=remedy) from error


def _arrays(file: Path) -> Mapping[str, Any]:
    if file.suffix not in (*_NUMPY, *_TORCH):
        return load_file(file)
    with file.open("rb") as opened:  # libraries leave a damaged file open
        if file.suffix in _NUMPY:
            loaded = np.load(opened, allow_pickle=False)
        else:
            loaded = torch.load(opened, map_location="cpu", weights_only=True)
        return dict(loaded) if isinstance(loaded, Mapping) else {UNNAMED: loaded}


def _float(value: Any) -> Tensor:
    if not isinstance(value, Tensor | np.ndarray | Number):
        raise ValueError(f"it holds a {type(value).__name__} where a tensor should be")
    tensor = torch.as_tensor(value)
    if tensor.is_complex():
        raise ValueError("complex numbers")
    return tensor.detach().float()
