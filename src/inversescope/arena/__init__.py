"""Inversion beside what a researcher would use instead: same targets, sites, split and budget, one interface."""
