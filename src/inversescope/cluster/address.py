"""From an address to an executor: this process, processes of this machine, or a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inversescope.cluster.executor import ATTEMPTS, Executor, Here, Pooled
from inversescope.cluster.nodes import Compared, Node, compare, nodes_of_cluster
from inversescope.cluster.processes import Processes
from inversescope.cluster.ray_workers import RayPool, connect, require_ray
from inversescope.errors import UserError

ALLOWED = "auto, HOST:PORT, local:N (N nodes of a cluster on this machine, to try it) or processes:N (without Ray)"
STORE = 80 * 2**20  # bytes of the object store of a node on this machine: nothing large goes through it


@dataclass(frozen=True)
class Workers:
    """Number of workers, and the threads and GPUs of each; None: as many as the cluster has room for."""

    count: int | None = None
    threads: int = 1
    gpus: float = 0.0


@contextmanager
def executor_at(
    address: str | None, workers: Workers, open_run: Callable[[Path], Any], storage: Path, *, mixed: bool = False
) -> Iterator[tuple[Executor, list[Node]]]:
    """The executor at an address, and the nodes of its cluster (none without Ray).

    Args:
        open_run: opens a run directory in a worker; a function of a module.
        storage: folder of the run, which every node must see.
        mixed: take nodes that differ from each other, too; the last bits of numbers then depend on who computed them.

    Raises:
        UserError: there is no cluster, or its nodes differ or do not see the folder.
    """
    if address is None:
        yield Here(), []
    elif address.startswith("processes:"):
        with closing(Pooled(Processes(_count(address), workers.threads, open_run))) as pooled:
            yield pooled, []
    else:
        with connected(address, workers.threads):
            nodes = nodes_of_cluster(storage)
            _require_alike(compare(nodes), mixed)
            count = workers.count or _room(workers)
            with closing(Pooled(RayPool(count, workers.threads, workers.gpus, open_run))) as pooled:
                yield pooled, nodes


@contextmanager
def connected(address: str, threads: int) -> Iterator[None]:
    """Connected to a Ray cluster; one on this machine is ended afterwards.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """
    if not address.startswith("local:"):
        new = connect(address)
        try:
            yield
        finally:
            if new:
                _disconnect()
        return
    with local_cluster(_count(address), threads):
        yield


@contextmanager
def local_cluster(count: int, threads: int) -> Iterator[Any]:
    """Connected to a Ray cluster of some nodes on this machine, each with as many CPUs; ended afterwards.

    Raises:
        UserError: Ray is not installed, or the nodes do not start.
    """
    require_ray()
    import ray

    if ray.is_initialized():
        raise UserError("this process is connected to a Ray cluster already", remedy="auto, to use that one")
    cluster = _started(count, {"num_cpus": threads, "object_store_memory": STORE})
    try:
        connect(str(cluster.address))
        yield cluster
    finally:
        _disconnect()
        cluster.shutdown()


def _started(count: int, shape: dict[str, Any]) -> Any:
    """Nodes on this machine. Ray gives each 30 s to start, which is too little where the machine is busy."""
    from ray.cluster_utils import Cluster

    for attempt in range(1, ATTEMPTS + 1):
        cluster = Cluster()
        try:
            cluster.add_node(**shape, include_dashboard=False)
            for _ in range(count - 1):
                cluster.add_node(**shape)
        except Exception as error:  # Ray raises no narrower one
            cluster.shutdown()
            if attempt == ATTEMPTS:
                raise UserError(
                    "nodes of a Ray cluster do not start on this machine",
                    given=f"{count} nodes, {ATTEMPTS} attempts; the last: {error}",
                    remedy="fewer nodes, or processes:N",
                ) from error
        else:
            return cluster
    raise AssertionError


def _disconnect() -> None:
    import ray

    ray.shutdown()


def _count(address: str) -> int:
    number = address.split(":", 1)[1]
    most = 4 * (os.cpu_count() or 1)
    if not number.isdecimal() or not 1 <= int(number[:9]) <= most:
        raise UserError(
            "the address of workers on this machine ends with their number",
            given=address,
            allowed=f"a number from 1 to {most}",
            remedy=ALLOWED,
        )
    return int(number)


def _room(workers: Workers) -> int:
    """Number of workers that the cluster has room for."""
    import ray

    total = ray.cluster_resources()
    room = total.get("CPU", 0) // workers.threads
    return max(1, int(min(room, total.get("GPU", 0) // workers.gpus) if workers.gpus else room))


def _require_alike(compared: list[Compared], mixed: bool) -> None:
    for fact in compared:
        if not fact.ok and (fact.name == "the folder" or not mixed):
            raise UserError(
                f"the nodes of the cluster differ: {fact.name}",
                given="; ".join(f"{', '.join(names)}: {value}" for value, names in fact.values.items()),
                allowed="the same on every node" if fact.name == "the folder" else "the same on every node, or --mixed",
                remedy="inversescope doctor --cluster ADDRESS",
            )
