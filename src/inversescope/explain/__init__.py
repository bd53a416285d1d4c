"""Explanation of one activation: a ranked list of hypotheses, each confirmed, tested and shown with samples."""

from inversescope.explain.explain import explain
from inversescope.explain.explanation import Explanation, Finding, SiteExplained

__all__ = ["Explanation", "Finding", "SiteExplained", "explain"]
