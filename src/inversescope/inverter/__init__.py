"""One activation, inverted with a trained run."""

from inversescope.inverter.inversion import Inversion
from inversescope.inverter.inverted_sample import InvertedSample, SourceShare
from inversescope.inverter.inverter import Inverter
from inversescope.inverter.served import served

__all__ = ["Inversion", "InvertedSample", "Inverter", "SourceShare", "served"]
