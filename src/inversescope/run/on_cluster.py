"""A run whose units are done by workers at an address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from inversescope import files
from inversescope.cluster.address import Workers, executor_at
from inversescope.run.run import Run
from inversescope.run.sealed import PROVENANCE, read_provenance


@contextmanager
def on_cluster(run: Run, address: str | None, workers: Workers, *, mixed: bool = False) -> Iterator[None]:
    """Have the units of the run done at an address (see `executor_at`) as long as it is open. Provenance lists the
    nodes. Code that the config names runs in the workers as it does here.

    Raises:
        UserError: there is no cluster, or its nodes differ or do not see the folder of the run.
    """
    before = run.executor
    with executor_at(address, workers, open_in_worker, run.folder, mixed=mixed) as (executor, nodes):
        if nodes:
            made_by = read_provenance(run.folder)
            files.write_sealed(run.folder / PROVENANCE, made_by | {"nodes": [asdict(node) for node in nodes]})
        run.executor = executor
        try:
            yield
        finally:
            run.executor = before


_opened: list[Run] = []  # the last one in this process, where it is a worker's


def open_in_worker(folder: Path) -> Run:
    """The run in another process, for one step; the subject is that of the step before, if it was loaded for it. Code
    of the run is allowed: else the run were not open where the work was given out.
    """
    run = Run.open(folder, allow_code=True)
    before = _opened.pop() if _opened else None
    if before is not None and before.folder == folder and "subject" in vars(before):
        run.subject = before.subject
    _opened.append(run)
    return run
