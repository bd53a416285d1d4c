"""Inversion on natural text: the prior is the subject's own text, and nothing is trained."""

from inversescope.natural_text.answer import Answer, Draw
from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.prior import Prior

__all__ = ["Answer", "Draw", "NaturalText", "Prior"]
