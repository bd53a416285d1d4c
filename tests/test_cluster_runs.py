"""Whole runs whose units are done elsewhere: the same files, byte for byte."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from refusals import refuses
from small_subject import call, config_text, save_subject
from test_text_step import Made

from inversescope import files
from inversescope.cluster import Executor, Pooled
from inversescope.cluster.address import Workers
from inversescope.cluster.processes import Processes
from inversescope.progress import Progress, silent
from inversescope.run.on_cluster import on_cluster, open_in_worker
from inversescope.run.run import Run
from inversescope.run.sealed import read_provenance
from inversescope.train.checkpoint import CHECKPOINT

pytestmark = pytest.mark.slow
VARYING = {"provenance.json", "manifest.json"}  # times; hashes of files with times
STEPS = ("collect", "reference", "calibrate", "sample", "verify", "score", "mine", "causal", "text")
EARLIER = ("task", "collect", "train", "calibrate", "sample", "verify", "score", "mine", "causal")
BEFORE = dict(zip(STEPS, EARLIER, strict=True))
TEXT = """
[text]
sites = ["resid_post.1"]
nearest = 40
best = 20
proposals = 40
bits = [2]
samples = 8
stored = [1]
pool = 16
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, cluster_cache: Path) -> Iterator[Path]:
    """A small run with every step, natural text too."""
    folder = tmp_path_factory.mktemp("cluster")
    path = folder / "small.toml"
    path.write_text(config_text(save_subject(folder / "model"), steps=20) + TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVERSESCOPE_CACHE", str(cluster_cache))
        yield path


@pytest.fixture(scope="module")
def alone(config: Path) -> dict[str, str]:
    return run(config, "alone")


def run(config: Path, name: str, *options: str) -> dict[str, str]:
    """Hashes of all files of a run."""
    folder = config.parent / name
    assert call("run", config, "--out", folder, "--threads", "1", "--until", "text", *options) == 0
    return hashes(folder)


def hashes(folder: Path) -> dict[str, str]:
    """Of every file but those that hold times, and what is made of these."""
    return {
        str(path.relative_to(folder)): files.sha256(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in VARYING and path.parent.name != "report"
    }


def test_addresses_without_workers_are_refused(config: Path, tmp_path: Path):
    assert call("run", config, "--out", tmp_path / "run", "--until", "task", "--cluster", "processes:1000000") == 2
    run = Run.open(tmp_path / "run")
    for address in ("local:0", "local:x", "localhost:1"):
        with refuses(given=address), on_cluster(run, address, Workers()):
            pass


def test_an_address_is_not_replaced_by_the_cluster_that_is_connected(config: Path, tmp_path: Path, nodes: Cluster):
    assert call("run", config, "--out", tmp_path / "run", "--until", "task") == 0
    run = Run.open(tmp_path / "run")
    for address in (str(nodes.address), "auto"):
        with on_cluster(run, address, Workers()):
            pass
    with refuses(given="localhost:1", allowed=str(nodes.address)), on_cluster(run, "localhost:1", Workers()):
        pytest.fail("connected to nothing")


@pytest.mark.parametrize(
    "options", [("processes:2",), ("auto", "--workers", "1"), ("auto", "--workers", "3")], ids=" ".join
)
def test_every_file_is_the_same(config: Path, alone: dict[str, str], nodes: Cluster, options: tuple[str, ...]):
    name = f"{options[0][:4]}-{options[-1][-1]}"
    found = run(config, name, "--cluster", *options)
    assert found == alone and len(alone) > 40
    recorded = read_provenance(config.parent / name)["nodes"]
    assert len(recorded) == (3 if options[0] == "auto" else 0)


@pytest.fixture(scope="module")
def corpus(config: Path) -> tuple[Path, dict[str, str]]:
    """A config of natural text, of documents and without a generator, and the hashes of its run without workers."""
    made = Made(config.parent)
    return made.config, hashes(made.run)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_file_of_a_run_of_documents_is_the_same(
    corpus: tuple[Path, dict[str, str]], nodes: Cluster, workers: int
):
    config, alone = corpus
    assert run(config, f"documents-{workers}", "--cluster", "auto", "--workers", str(workers)) == alone
    assert len([name for name in alone if name.startswith("text/")]) > 3


@pytest.fixture(scope="module")
def untrained(config: Path) -> Path:
    """A run before its training, in four parts."""
    path = config.with_name("parts.toml")
    path.write_text(config.read_text().replace("batch = 24", "batch = 24\nparts = 4"))
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


def workers() -> list[psutil.Process]:
    """Worker processes of this one that have not ended."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it has ended meanwhile
            if child.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.mark.parametrize("workers", ["processes", "ray"])
def test_a_driver_that_was_killed_is_resumed(config: Path, alone: dict[str, str], nodes: Cluster, workers: str):
    """With other workers, then without any. As long as it lives, a second driver is refused."""
    folder, address = config.parent / f"killed-{workers}", {"ray": str(nodes.address)}.get(workers, "processes:2")
    resumed = ("run", config, "--out", folder, "--threads", "1", "--resume", "--until", "text")
    command = [sys.executable, "-m", "inversescope", *map(str, resumed), "--cluster", address]
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(list((folder / "collect").glob("*-*.safetensors"))) >= 2 or driver.poll() is not None)
        started = psutil.Process(driver.pid).children(recursive=True)
        assert call(*resumed, "--cluster", "auto") == 2
    finally:
        driver.kill()
    assert driver.wait() == -signal.SIGKILL
    _, alive = psutil.wait_procs(started, timeout=30)  # they end with their driver
    assert not [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]
    wait_for(lambda: ray.available_resources().get("CPU") == 3)  # and so do those on the nodes
    assert call(*resumed[:-1], "verify", "--cluster", "auto", "--workers", "2") == 0
    assert call(*resumed) == 0
    assert hashes(folder) == alone


def wait_for(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_run_in_shares_is_the_same(config: Path, alone: dict[str, str]):
    """As a job array does it: two processes with a share each, then one that finishes the step."""
    folder = config.parent / "shares"
    for step in STEPS:
        assert call("run", config, "--out", folder, "--threads", "1", "--resume", "--until", BEFORE[step]) == 0
        command = [sys.executable, "-m", "inversescope", "step", str(folder), step, "--threads", "1", "--units"]
        started = [subprocess.Popen([*command, f"{i}/2"]) for i in range(2 if step == "collect" else 0)]
        assert [process.wait() for process in started] in ([], [0, 0])
        if not started:  # one after the other: starting a process costs more than the step
            assert [call("step", folder, step, "--threads", "1", "--units", f"{i}/2") for i in range(2)] == [0, 0]
        assert not files.finished(folder / step)
    assert call("run", config, "--out", folder, "--threads", "1", "--resume", "--until", "text") == 0
    assert hashes(folder) == alone


def test_steps_without_units_and_wrong_shares_are_refused(config: Path, alone: dict[str, str]):
    folder = config.parent / "refused"
    assert call("run", config, "--out", folder, "--until", "task") == 0
    assert call("step", folder, "train", "--units", "0/2") == 2
    assert call("step", folder, "collect", "--units", "2/2") == 2
    assert call("step", folder, "collect", "--units", "0/2", "--cluster", "processes:2") == 2


def test_the_config_may_name_the_workers(config: Path, tmp_path: Path):
    """In its section `cluster`, over which the options stand, and which may change while a run is unfinished."""
    section = f'\n[cluster]\naddress = "local:0"\nstorage = "{tmp_path}"\n'
    path = config.with_name("section.toml")
    path.write_text(config.read_text() + section)
    assert call("run", path, "--until", "task") == 2  # there are no such workers
    assert call("run", path, "--until", "task", "--cluster", "here") == 0
    resolved = (tmp_path / "section" / "resolved.json").read_text()
    assert '"cluster"' not in resolved
    path.write_text(config.read_text() + section.replace("local:0", "processes:1"))
    assert call("run", path, "--until", "task", "--resume") == 0
    path.write_text(config.read_text() + section + "threads = 2\n")
    assert call("run", path, "--until", "task", "--resume", "--cluster", "here") == 2


def test_doctor_compares_the_nodes(nodes: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("doctor", "--cluster", "auto", "--storage", tmp_path) == 0
    assert "the folder" in capsys.readouterr().out
    assert call("doctor", "--cluster", "auto", "--storage", tmp_path / "missing") == 2
