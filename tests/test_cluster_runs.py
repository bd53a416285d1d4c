"""Whole runs whose units are done elsewhere: the same files, byte for byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from small_subject import call, config_text, save_subject

from inversescope import files
from inversescope.run.sealed import read_provenance

pytestmark = pytest.mark.slow
VARYING = {"provenance.json", "manifest.json"}  # times; hashes of files with times
STEPS = ("collect", "reference", "calibrate", "sample", "verify", "mine", "causal")
BEFORE = dict(zip(STEPS, ("task", "collect", "train", "calibrate", "sample", "score", "mine"), strict=True))
ADDRESSES = ("processes:2", "local:1", "local:3")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    path = folder / "small.toml"
    path.write_text(config_text(save_subject(folder / "model"), steps=20))
    return path


@pytest.fixture(scope="module")
def alone(config: Path) -> dict[str, str]:
    return run(config, "alone")


def run(config: Path, name: str, *options: str) -> dict[str, str]:
    """Hashes of all files of a run."""
    folder = config.parent / name
    assert call("run", config, "--out", folder, "--threads", "1", *options) == 0
    return hashes(folder)


def hashes(folder: Path) -> dict[str, str]:
    """Of every file but those that hold times, and what is made of these."""
    return {
        str(path.relative_to(folder)): files.sha256(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in VARYING and path.parent.name != "report"
    }


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_file_is_the_same(config: Path, alone: dict[str, str], address: str):
    found = run(config, address.replace(":", ""), "--cluster", address)
    assert found == alone and len(alone) > 40
    nodes = read_provenance(config.parent / address.replace(":", ""))["nodes"]
    assert len(nodes) == (int(address[-1]) if address.startswith("local") else 0)


def test_a_driver_that_was_killed_is_resumed_without_the_cluster(config: Path, alone: dict[str, str]):
    folder = config.parent / "killed"
    command = [sys.executable, "-m", "inversescope", "run", str(config), "--out", str(folder), "--threads", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    driver = subprocess.Popen([*command, "--cluster", "processes:2"], env=environment, stderr=subprocess.DEVNULL)
    workers: list[psutil.Process] = []
    while len(list((folder / "collect").glob("*-*.safetensors"))) < 2 and driver.poll() is None:
        time.sleep(0.02)
        workers = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]  # they end with their driver
    assert call("run", config, "--out", folder, "--threads", "1", "--resume") == 0
    assert hashes(folder) == alone


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
    assert call("run", config, "--out", folder, "--threads", "1", "--resume") == 0
    assert hashes(folder) == alone


def test_steps_without_units_and_wrong_shares_are_refused(config: Path, alone: dict[str, str]):
    folder = config.parent / "refused"
    assert call("run", config, "--out", folder, "--until", "task") == 0
    assert call("step", folder, "train", "--units", "0/2") == 2
    assert call("step", folder, "collect", "--units", "2/2") == 2
    assert call("step", folder, "collect", "--units", "0/2", "--cluster", "processes:2") == 2


def test_doctor_compares_the_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("doctor", "--cluster", "local:2", "--storage", tmp_path) == 0
    assert "the folder" in capsys.readouterr().out
    assert call("doctor", "--cluster", "local:2", "--storage", tmp_path / "missing") == 2


@pytest.mark.parametrize("address", ["local:0", "local:x", "processes:1000000", "localhost:1"])
def test_addresses_without_workers_are_refused(config: Path, tmp_path: Path, address: str):
    assert call("run", config, "--out", tmp_path / "run", "--until", "task", "--cluster", address) == 2
