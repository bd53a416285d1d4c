"""Workers on a Ray cluster: one actor each.

Ray's actors take units one at a time, and this package's own schedule gives them out (see `executor`). Ray Data would
give out batches of rows: its pools repeat a unit that ends its process for ever, and do not keep an order, so that its
retries and its sinks would have to be switched off, and nothing of it be left.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from inversescope.cluster.executor import LostError
from inversescope.cluster.processes import set_threads
from inversescope.cluster.units import Done, Unit, do
from inversescope.errors import UserError
from inversescope.extras import install
from inversescope.files import RunFolder

SECONDS = 10  # given to an address to answer
PATIENCE = 120  # seconds that a pool waits for its first worker


class RayPool:
    """A pool of Ray actors.

    Args:
        size: number of actors.
        threads: of each; it takes as many of the cluster's CPUs.
        gpus: of each.
        open_run: opens a run directory; a function of a module.
    """

    def __init__(self, size: int, threads: int, gpus: float, open_run: Callable[[Path], Any]):
        self.size = size
        self.threads = threads
        self.gpus = gpus
        self.open_run = open_run
        self.free: list[Any] = []
        self._ready = False

    def start(self, make_worker: Callable[[Any], Any], run: RunFolder) -> tuple[Any, Any]:
        """See `Pool`."""
        actor = self.free.pop() if self.free else self._new()
        return actor, actor.begin.remote(self.open_run, run.folder.resolve(), make_worker, self.threads)

    def _new(self) -> Any:
        import ray

        options = {"num_cpus": self.threads, "num_gpus": self.gpus, "max_restarts": 0, "max_task_retries": 0}
        environment = {"env_vars": {"OMP_NUM_THREADS": str(self.threads)}}
        remote: Any = ray.remote(_Actor)
        return remote.options(**options, runtime_env=environment).remote()

    def submit(self, worker: Any, unit: Unit) -> Any:
        """See `Pool`."""
        return worker.do.remote(unit)

    def call(self, worker: Any, argument: Any) -> Any:
        """See `Pool`."""
        return worker.call.remote(argument)

    def wait(self, futures: Sequence[Any]) -> list[Any]:
        """See `Pool`.

        Raises:
            UserError: no worker has started.
        """
        import ray

        done, _ = ray.wait(list(futures), num_returns=1, timeout=None if self._ready else PATIENCE)
        if not done:
            raise UserError(
                "the cluster gave no worker a place",
                given=f"{self.threads} CPUs and {self.gpus:g} GPUs for each of {self.size}, {PATIENCE} s",
                allowed=f"free: {ray.available_resources()}",
                remedy="fewer threads or GPUs for each worker, or wait for other work on the cluster",
            )
        self._ready = True
        return done

    def result(self, future: Any) -> Any:
        """See `Pool`."""
        import ray
        from ray import exceptions

        try:
            return ray.get(future)
        except exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except (exceptions.RayActorError, exceptions.WorkerCrashedError, exceptions.NodeDiedError) as error:
            raise LostError(str(error).splitlines()[0]) from error

    def stop(self, worker: Any) -> None:
        """See `Pool`."""
        import ray

        ray.kill(worker, no_restart=True)


class _Actor:
    """A worker in Ray's process."""

    def begin(
        self, open_run: Callable[[Path], Any], folder: Path, make_worker: Callable[[Any], Any], threads: int
    ) -> None:
        """Open the run.

        Raises:
            UserError: this node does not see its folder.
        """
        if not folder.exists():
            raise UserError(
                "a node of the cluster does not see the folder of the run",
                given=f"{folder} on {os.uname().nodename}",
                allowed="a folder in storage that all nodes share, under the same path",
                remedy="`inversescope doctor --cluster ADDRESS` checks every node",
            )
        set_threads(threads)
        self.worker: Any = None  # of the step before: its memory is free for this one's
        self.worker = make_worker(open_run(folder))

    def do(self, unit: Unit) -> Done:
        """Do a unit."""
        return do(self.worker, unit)

    def call(self, argument: Any) -> Any:
        """Call the worker."""
        return self.worker(argument)


def connect(address: str) -> bool:
    """Connect to a Ray cluster: `auto`, or HOST:PORT. False if this process is connected to one already, which stays.

    Raises:
        UserError: Ray is not installed, there is no such cluster, or another is connected.
    """
    require_ray()
    import ray

    if ray.is_initialized():
        connected = ray.get_runtime_context().gcs_address
        if address not in ("auto", connected):
            raise UserError(
                "this process is connected to another Ray cluster", given=address, allowed=f"auto, {connected}"
            )
        return False
    try:
        if ":" in address:  # Ray itself would try for minutes
            host, port = address.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            "there is no Ray cluster at this address",
            given=address,
            allowed="auto (a cluster that runs on this machine), HOST:PORT, or local:N",
            remedy="ray start --head on the first node; `ray status` shows the cluster",
        ) from error
    return True


def require_ray() -> None:
    """Refuse to go on without Ray.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError("Ray is not installed", remedy=install("cluster"))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would send statistics of its use
