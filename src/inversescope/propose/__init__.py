"""Hypotheses in words, proposed by a language model, judged blind, and scored like every other."""

from inversescope.propose.proposing import Limits, Outcome, Plan, propose
from inversescope.propose.records import cost, replies, require_same, write
from inversescope.propose.split import Material, read_material

__all__ = [
    "Limits",
    "Material",
    "Outcome",
    "Plan",
    "cost",
    "propose",
    "read_material",
    "replies",
    "require_same",
    "write",
]
