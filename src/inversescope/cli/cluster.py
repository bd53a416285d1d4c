"""Options of the commands whose work may be done on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Self

import typer

from inversescope.cli.shared import screen

if TYPE_CHECKING:
    from inversescope.config import ClusterConfig
    from inversescope.run.run import Run

HERE = "here"
ClusterAddress = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Workers that do the steps: `auto` (a Ray cluster that runs on this machine), HOST:PORT of one, `local:N` "
        "(one of N nodes on this machine, to try it), `processes:N` (without Ray) or `here` (this process). The "
        "numbers are the same. For `run` and `step`, the section `cluster` of the config has the defaults.",
    ),
]
WorkerCount = Annotated[
    int | None, typer.Option("--workers", min=1, max=100_000, help="Number of workers; default: as many as fit.")
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, max=1024, help="Threads of each worker; default: those of this process."),
]
Gpus = Annotated[float | None, typer.Option("--gpus", min=0, max=64, help="GPUs of each worker.")]
Mixed = Annotated[
    bool, typer.Option("--mixed", help="Take nodes of different kinds too; the last bits of numbers then vary.")
]


@dataclass(frozen=True)
class Cluster:
    """Choice of the workers of a command."""

    address: str | None = None
    workers: int | None = None
    threads: int | None = None
    gpus: float = 0.0
    mixed: bool = False

    @classmethod
    def chosen(
        cls,
        section: ClusterConfig,
        address: str | None,
        workers: int | None,
        threads: int | None,
        gpus: float | None,
        mixed: bool,
    ) -> Self:
        """The options of the command; where one is not given, that of the config."""
        return cls(
            address or section.address,
            workers or section.workers,
            threads or section.threads,
            section.gpus if gpus is None else gpus,
            mixed,
        )

    @contextmanager
    def of(self, run: Run) -> Iterator[None]:
        """Have the steps of a run done there as long as it is open."""
        import torch

        from inversescope.cluster.address import Workers
        from inversescope.run.on_cluster import on_cluster

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.address in (None, HERE):
            yield
            return
        workers = Workers(self.workers, self.threads or torch.get_num_threads(), self.gpus)
        with ExitStack() as stack:
            with screen.status(f"connecting to {self.address}"):
                stack.enter_context(on_cluster(run, self.address, workers, mixed=self.mixed))
            yield
