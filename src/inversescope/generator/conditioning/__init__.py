"""Conditionings: ways of a condition into the decoder, one module for each, behind one interface."""

from inversescope.generator.conditioning.adaln import AdaLN
from inversescope.generator.conditioning.conditioning import Conditioning, Prepared, Shape
from inversescope.generator.conditioning.slot import Slot

# By the name in a config.
CONDITIONINGS = {"adaln": AdaLN, "slot": Slot}

__all__ = ["CONDITIONINGS", "Conditioning", "Prepared", "Shape"]
