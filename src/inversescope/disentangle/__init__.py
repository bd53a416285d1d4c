"""RAVEL's own causal metric: Cause, Isolate and Disentangle by interchange intervention (docs/statistics.md)."""
