"""A Ray cluster of several nodes, all of them processes of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.cluster_utils import Cluster

from inversescope.cluster.address import STORE
from inversescope.cluster.ray_workers import connect


@contextmanager
def fake_nodes(count: int) -> Iterator[Cluster]:
    """Connected to `count` nodes with one CPU each. Their workers find what this process can import."""
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    shape = {"num_cpus": 1, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**shape, "include_dashboard": False})
    try:
        for _ in range(count - 1):
            cluster.add_node(**shape)
        connect(str(cluster.address))
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
