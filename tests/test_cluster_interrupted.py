"""Runs on workers of which something is killed, and training on several: the same files, byte for byte."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import ray
from cluster_fixture import hashes
from ray.cluster_utils import Cluster
from small_subject import call
from worker_processes import workers

from inversescope import files
from inversescope.cluster import Executor, Pooled
from inversescope.cluster.processes import Processes
from inversescope.progress import Progress, silent
from inversescope.run.on_cluster import open_in_worker
from inversescope.run.run import Run
from inversescope.train.checkpoint import CHECKPOINT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def untrained(cluster_config: Path) -> Path:
    """A run before its training, in four parts."""
    path = cluster_config.with_name("parts.toml")
    path.write_text(cluster_config.read_text().replace("batch = 24", "batch = 24\nparts = 4"))
    assert call("run", path, "--out", path.parent / "untrained", "--threads", "1", "--until", "reference") == 0
    return path.parent / "untrained"


def trained(untrained: Path, name: str, executor: Executor | None = None, watch: Progress = silent) -> str:
    """Hash of the generator that an executor trains."""
    folder = untrained.with_name(f"trained-{name}")
    if not folder.exists():
        shutil.copytree(untrained, folder)
    run = Run.open(folder)
    run.executor = executor or run.executor
    run.do("train", watch)
    return files.sha256(folder / "train" / "generator.safetensors")


@pytest.fixture(scope="module")
def trained_here(untrained: Path) -> str:
    return trained(untrained, "here")


def test_any_number_of_workers_trains_the_same_weights(untrained: Path, trained_here: str):
    """Two, of which none has to be started again for the four."""
    with closing(Pooled(Processes(2, 1, open_in_worker))) as pooled:
        assert trained(untrained, "two", pooled) == trained_here
        pooled.pool.size = 4
        assert trained(untrained, "four", pooled) == trained_here
        assert len(pooled.pool.free) == 4


def test_training_goes_on_when_workers_are_killed_and_without_them(
    untrained: Path, trained_here: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("inversescope.train.train.CHECKPOINT_STEPS", 5)

    def watch(done: int, total: int, note: str = "", /) -> None:
        if done == 3:
            workers()[0].kill()
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), closing(Pooled(Processes(2, 1, open_in_worker))) as pooled:
        trained(untrained, "killed", pooled, watch)
    _, alive = psutil.wait_procs(workers(), timeout=30)
    assert not [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]
    assert (untrained.with_name("trained-killed") / "train" / CHECKPOINT).exists()
    steps: list[int] = []
    assert trained(untrained, "killed", watch=lambda done, *_: steps.append(done)) == trained_here
    assert steps == list(range(11, 21))


@pytest.mark.parametrize(
    ("workers", "others"),
    [("processes", ("auto", "--workers", "2")), ("ray", ("processes:2",))],
    ids=("processes", "ray"),
)
def test_a_driver_that_was_killed_is_resumed(
    cluster_config: Path, cluster_alone: dict[str, str], nodes: Cluster, workers: str, others: tuple[str, ...]
):
    """With other workers, then without any. As long as it lives, a second driver is refused."""
    folder = cluster_config.with_name(f"killed-{workers}")
    address = {"ray": str(nodes.address)}.get(workers, "processes:2")
    resumed = ("run", cluster_config, "--out", folder, "--threads", "1", "--resume", "--until")
    command = [sys.executable, "-m", "inversescope", *map(str, resumed), "text", "--cluster", address]
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(list((folder / "collect").glob("*-*.safetensors"))) >= 2 or driver.poll() is not None)
        started = psutil.Process(driver.pid).children(recursive=True)
        assert call(*resumed, "text", "--cluster", "auto") == 2
    finally:
        driver.kill()
    assert driver.wait() == -signal.SIGKILL
    _, alive = psutil.wait_procs(started, timeout=30)  # they end with their driver
    assert not [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]
    wait_for(lambda: ray.available_resources().get("CPU") == 3)  # and so do those on the nodes
    assert call(*resumed, "reference", "--cluster", *others) == 0
    assert call(*resumed, "verify") == 0
    found = hashes(folder)
    assert found.items() <= cluster_alone.items() and any(name.startswith("verify/") for name in found)


def wait_for(true: Callable[[], bool], seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
