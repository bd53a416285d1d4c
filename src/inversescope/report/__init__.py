"""The report: one self-contained HTML file made from a run's records. Reads files, runs no model."""

from inversescope.report.page import write_report

__all__ = ["write_report"]
