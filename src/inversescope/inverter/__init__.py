"""One activation, inverted with a trained run."""

from inversescope.inverter.given import Given, Texts, given
from inversescope.inverter.inversion import Inversion
from inversescope.inverter.inverted_sample import InvertedSample, SourceShare
from inversescope.inverter.inverter import Inverter
from inversescope.inverter.served import served

__all__ = ["Given", "Inversion", "InvertedSample", "Inverter", "SourceShare", "Texts", "given", "served"]
