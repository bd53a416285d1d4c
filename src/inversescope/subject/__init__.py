"""The frozen language model being read: how to load one, and its activations at the last token of each input."""

from inversescope.subject.capture import Captured
from inversescope.subject.subject import Subject

__all__ = ["Captured", "Subject"]
