"""Hypotheses in words, proposed by a language model, judged blind, and scored like every other feature."""

from inversescope.propose.proposing import Limits, Outcome, Plan, propose
from inversescope.propose.records import cost, replies, require_same, write
from inversescope.propose.split import Split, read_split

__all__ = [
    "Limits",
    "Outcome",
    "Plan",
    "Split",
    "cost",
    "propose",
    "read_split",
    "replies",
    "require_same",
    "write",
]
