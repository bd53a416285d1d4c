"""From an activation to a condition: one module a way, all behind `Encoder`."""

from inversescope.generator.encoding.encoder import Encoder
from inversescope.generator.encoding.identity import IdentityEncoder
from inversescope.generator.encoding.regression import EstimatesEncoder
from inversescope.generator.encoding.residual import ResidualEncoder

__all__ = ["Encoder", "EstimatesEncoder", "IdentityEncoder", "ResidualEncoder"]
