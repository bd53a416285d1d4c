"""Vectors of a site from elsewhere: from files, or as arrays; refused where they cannot be an activation.

A vector is in the subject's own units and as it is: neither centred, nor standardized, nor scaled to a norm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.errors import UserError
from inversescope.subject.autoencoders import FILES
from inversescope.subject.tensor_files import UNNAMED, read_tensors

ALLOWED = (
    "FILE, FILE:NAME, FILE:NAME:ROW or FILE:NAME:mean, the file a .safetensors, .npy, .npz or .pt; or the folder of a "
    "sparse autoencoder and a row of its decoder, FOLDER:ROW"
)
MEAN = "mean"
LISTED = 12  # names in a message
LARGEST = 1e12  # coordinate; the square of a larger one may overflow
_ROW = re.compile(r"-?\d{1,9}|" + MEAN)


def read_vector(address: str, named: Mapping[str, Path] = MappingProxyType({})) -> Float[Tensor, " d"]:
    """The vector at `FILE[:NAME][:ROW]`; of a matrix one row, or with `mean` the mean of all. A folder is that of a
    sparse autoencoder, whose rows are its decoder's; `named` are projections that may stand in the file's place.

    Raises:
        UserError: there is no such file, name or row, or it holds something else than vectors.
    """
    file, rest = _file(address, named)
    tensors = _decoder(file) if file.is_dir() else read_tensors(file, "a vector", ALLOWED)
    name, row = _selected(tensors, rest, address)
    tensor = tensors[name].squeeze() if tensors[name].numel() == max(tensors[name].shape, default=1) else tensors[name]
    if tensor.ndim == 1 and row is None:
        return tensor
    shape = f"{address}: {name or 'the array'} {list(tensor.shape)}"
    if tensor.ndim != 2:
        raise UserError("this is not a vector", given=shape, allowed="[width], or a row of [rows, width]")
    if row is None:
        remedy = f"a row, such as {address}:0, or the mean of all, {address}:{MEAN}"
        raise UserError("several vectors stand there", given=shape, remedy=remedy)
    if row == MEAN:
        return tensor.mean(0)
    if not -len(tensor) <= int(row) < len(tensor):
        raise UserError("there is no such row", given=shape, allowed=f"0 to {len(tensor) - 1}")
    return tensor[int(row)]


def checked(vector: Any, width: int, given: str) -> Float[Tensor, " d"]:
    """A vector in float32 that may be an activation of so many coordinates; `given` names it in messages.

    Raises:
        UserError: it has another width, is no array of numbers, is zero, or not finite or too large somewhere.
    """
    try:
        values = torch.as_tensor(vector)
        if values.is_complex() or values.dtype is torch.bool:
            raise TypeError(f"numbers of the kind {values.dtype}")
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError("this is not a vector", given=f"{given}: {error}", allowed=f"{width} numbers") from error
    values = values.detach().to("cpu", torch.float32)
    if values.shape != (width,):
        shown = f"{given}: {list(values.shape)}"
        raise UserError("the vector does not have the site's width", given=shown, allowed=f"[{width}]")
    if not values.isfinite().all():
        where = int((~values.isfinite()).nonzero()[0])
        shown = f"{given}: {float(values[where])} at coordinate {where}"
        raise UserError("the vector is not finite", given=shown, allowed="finite numbers")
    if (size := float(values.abs().max())) > LARGEST:
        shown = f"{given}: {size:g} at coordinate {int(values.abs().argmax())}"
        raise UserError("no activation is so large", given=shown, allowed=f"numbers from {-LARGEST:g} to {LARGEST:g}")
    if not values.any():
        raise UserError("the vector is zero everywhere", given=given, allowed="an activation: some number is not zero")
    return values


def _file(address: str, named: Mapping[str, Path]) -> tuple[Path, str]:
    """The file of an address, and what stands behind it: the longest beginning that exists."""
    parts = address.split(":")
    for count in range(len(parts), 0, -1):
        path = Path(":".join(parts[:count]))
        if path.name and path.exists():
            return path, ":".join(parts[count:])
    if parts[0] in named:
        return named[parts[0]], ":".join(parts[1:])
    known = f"; of projections: {', '.join(named)}" if named else ""
    raise UserError("there is no such file", given=address, allowed=f"{ALLOWED}{known}")


def _selected(tensors: Mapping[str, Tensor], rest: str, address: str) -> tuple[str, str | None]:
    """The name of a tensor, and the row of it that is named, if any."""
    if rest in tensors:
        return rest, None
    name, _, row = rest.rpartition(":")
    selected = row if _ROW.fullmatch(row) else None
    name = name if selected else rest
    if name == "" and len(tensors) == 1:
        return next(iter(tensors)), selected
    if name in tensors:
        return name, selected
    listed = ", ".join(name or "(no name)" for name in list(tensors)[:LISTED])
    more = f" and {len(tensors) - LISTED} more" if len(tensors) > LISTED else ""
    problem = "several tensors are in this file" if name == "" else "there is no tensor of this name"
    raise UserError(problem, given=address, allowed=f"{listed or 'none: it holds no tensors'}{more}")


def _decoder(folder: Path) -> dict[str, Tensor]:
    """The decoder of the sparse autoencoder in a folder, a row for each latent."""
    file = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None:
        raise UserError("this folder holds no autoencoder", given=folder, allowed=ALLOWED)
    tensors = {name.lower(): tensor for name, tensor in read_tensors(file, "a vector", ALLOWED).items()}
    if "w_dec" in tensors:
        return {UNNAMED: tensors["w_dec"]}
    if "decoder.weight" in tensors:  # a linear layer of torch: a column for each latent
        return {UNNAMED: tensors["decoder.weight"].T}
    raise UserError("the autoencoder has no decoder", given=file, allowed="w_dec, decoder.weight")
