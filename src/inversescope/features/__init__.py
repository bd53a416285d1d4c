"""Features: functions from a text to a label, or to "undecided" (None)."""

from inversescope.features.language import Expression, parse

__all__ = ["Expression", "parse"]
