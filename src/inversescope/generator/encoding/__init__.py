"""From an activation to a condition: one module for each encoder, behind one interface."""

from inversescope.generator.encoding.encoder import Encoder
from inversescope.generator.encoding.regression import RegressionEncoder
from inversescope.generator.encoding.residual import ResidualEncoder

__all__ = ["Encoder", "RegressionEncoder", "ResidualEncoder"]
