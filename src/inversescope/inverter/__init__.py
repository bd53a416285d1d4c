"""One activation, inverted with a trained run."""

from inversescope.inverter.inversion import Inversion, InvertedSample, SourceShare
from inversescope.inverter.inverter import Inverter

__all__ = ["Inversion", "InvertedSample", "Inverter", "SourceShare"]
