"""A Ray cluster of several nodes, all of them processes of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ray.cluster_utils import Cluster

from inversescope.cluster.address import local_cluster


@contextmanager
def fake_nodes(count: int) -> Iterator[Cluster]:
    """Connected to `count` nodes with one CPU each. Their workers find what this process can import, and do not give
    way to the other tests (Ray's own default is a niceness of 15).
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    os.environ |= {"RAY_worker_niceness": "0"}
    with local_cluster(count, 1) as cluster:
        yield cluster
