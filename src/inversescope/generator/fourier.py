"""Fourier features of the bandwidth."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_FREQUENCIES = 8
FEATURES = 2 * _FREQUENCIES


def fourier(bandwidth: Float[Tensor, " batch"]) -> Float[Tensor, "batch features"]:
    """Sines and cosines of log10(h / 0.1); the lowest frequency has a period of four decades."""
    decades = (bandwidth / 0.1).log10()[:, None]
    angles = decades * (math.pi / 2) * torch.arange(1, _FREQUENCIES + 1, device=bandwidth.device)
    return torch.cat((angles.sin(), angles.cos()), dim=1)
