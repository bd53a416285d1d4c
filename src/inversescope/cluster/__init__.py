"""Work units of a step, and the executors that do them: in this process, in several processes, on a Ray cluster.

A step that can be cut is a list of units. A unit decides its own batches and random numbers, so its file has the same
bytes wherever, in whatever order and however often it is made.
"""

from __future__ import annotations

from inversescope.cluster.executor import Do, Executor, Here, Pooled, Run, by, here
from inversescope.cluster.units import Done, MakeWorker, Unit, Worker

__all__ = ["Do", "Done", "Executor", "Here", "MakeWorker", "Pooled", "Run", "Unit", "Worker", "by", "here"]
