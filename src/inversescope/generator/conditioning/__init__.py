"""How a condition reaches a backbone: one module a way, all behind `Conditioning`."""

from inversescope.generator.conditioning.adaln import AdaptiveLayerNorm
from inversescope.generator.conditioning.conditioning import Conditioning, Prepared, Shape
from inversescope.generator.conditioning.control import Control
from inversescope.generator.conditioning.prefix import Prefix
from inversescope.generator.conditioning.slot import Slot

# By the name in a config.
CONDITIONINGS = {"adaln": AdaptiveLayerNorm, "control": Control, "slot": Slot, "prefix": Prefix}

__all__ = ["CONDITIONINGS", "Conditioning", "Prepared", "Shape"]
