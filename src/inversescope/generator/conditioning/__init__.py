"""Conditionings: ways of a condition into a backbone, one module for each, behind one interface."""

from inversescope.generator.conditioning.adaln import AdaLN
from inversescope.generator.conditioning.conditioning import Conditioning, Prepared, Shape
from inversescope.generator.conditioning.control import Control
from inversescope.generator.conditioning.prefix import Prefix
from inversescope.generator.conditioning.slot import Slot

# By the name in a config.
CONDITIONINGS = {"adaln": AdaLN, "control": Control, "slot": Slot, "prefix": Prefix}

__all__ = ["CONDITIONINGS", "Conditioning", "Prepared", "Shape"]
