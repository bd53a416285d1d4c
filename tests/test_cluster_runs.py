"""Whole runs whose units are done elsewhere: the same files, byte for byte."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_fixture import done, hashes
from ray.cluster_utils import Cluster
from refusals import refuses
from small_subject import call
from test_text_step import Made

from inversescope import files
from inversescope.cluster import Pooled
from inversescope.cluster.address import Workers, executor_at
from inversescope.progress import silent
from inversescope.run import pipeline
from inversescope.run.on_cluster import on_cluster, open_in_worker
from inversescope.run.run import Run
from inversescope.run.sealed import read_provenance

pytestmark = pytest.mark.slow
STEPS = ("collect", "reference", "calibrate", "sample", "verify", "score", "mine", "causal", "text")
EARLIER = ("task", "collect", "train", "calibrate", "sample", "verify", "score", "mine", "causal")
BEFORE = dict(zip(STEPS, EARLIER, strict=True))


@pytest.mark.parametrize(
    "options", [("processes:2",), ("auto", "--workers", "1"), ("auto", "--workers", "3")], ids=" ".join
)
def test_every_file_is_the_same(
    cluster_config: Path, cluster_alone: dict[str, str], nodes: Cluster, options: tuple[str, ...]
):
    folder = cluster_config.with_name(f"{options[0][:4]}-{options[-1][-1]}")
    found = done(cluster_config, folder, "--cluster", *options)
    assert found == cluster_alone and len(found) > 40
    assert len(read_provenance(folder)["nodes"]) == (3 if options[0] == "auto" else 0)


@pytest.fixture(scope="module")
def corpus(cluster_config: Path) -> tuple[Path, dict[str, str]]:
    """A config of natural text, of documents and without a generator, and the hashes of its run without workers."""
    made = Made(cluster_config.parent)
    return made.config, hashes(made.run)


def test_every_file_of_a_run_of_documents_is_the_same(corpus: tuple[Path, dict[str, str]], nodes: Cluster):
    """On one worker, then on two, then on three, which stay from one run to the next."""
    config, alone = corpus
    assert len([name for name in alone if name.startswith("text/")]) > 3
    with executor_at("auto", Workers(), open_in_worker, config.parent) as (executor, _):
        assert isinstance(executor, Pooled)
        for workers in (1, 2, 3):
            executor.pool.size = workers
            folder = config.with_name(f"documents-{workers}")
            run = Run.create(folder, config.read_text(), str(config), config.parent)
            run.executor = executor
            for step in itertools.takewhile(lambda step: step != "report", pipeline.STEPS):
                run.do(step, silent)
            assert hashes(folder) == alone
            assert len(executor.pool.free) == workers


def test_a_run_in_shares_is_the_same(cluster_config: Path, cluster_alone: dict[str, str]):
    """As a job array does it: two processes with a share each, then one that finishes the step."""
    folder = cluster_config.with_name("shares")
    run = ("run", cluster_config, "--out", folder, "--threads", "1", "--resume", "--until")
    for step in STEPS:
        assert call(*run, BEFORE[step]) == 0
        command = [sys.executable, "-m", "inversescope", "step", str(folder), step, "--threads", "1", "--units"]
        started = [subprocess.Popen([*command, f"{i}/2"]) for i in range(2 if step == "collect" else 0)]
        assert [process.wait() for process in started] in ([], [0, 0])
        if not started:  # one after the other: starting a process costs more than the step
            assert [call("step", folder, step, "--threads", "1", "--units", f"{i}/2") for i in range(2)] == [0, 0]
        assert not files.finished(folder / step)
    assert call(*run, "text") == 0
    assert hashes(folder) == cluster_alone


def test_steps_without_units_and_wrong_shares_are_refused(cluster_config: Path):
    folder = cluster_config.with_name("refused")
    assert call("run", cluster_config, "--out", folder, "--until", "task") == 0
    assert call("step", folder, "train", "--units", "0/2") == 2
    assert call("step", folder, "collect", "--units", "2/2") == 2
    assert call("step", folder, "collect", "--units", "0/2", "--cluster", "processes:2") == 2


def test_the_config_may_name_the_workers(cluster_config: Path, tmp_path: Path):
    """In its section `cluster`, over which the options stand, and which may change while a run is unfinished."""
    section = f'\n[cluster]\naddress = "local:0"\nstorage = "{tmp_path}"\n'
    path = cluster_config.with_name("section.toml")
    path.write_text(cluster_config.read_text() + section)
    assert call("run", path, "--until", "task") == 2  # there are no such workers
    assert call("run", path, "--until", "task", "--cluster", "here") == 0
    resolved = (tmp_path / "section" / "resolved.json").read_text()
    assert '"cluster"' not in resolved
    path.write_text(cluster_config.read_text() + section.replace("local:0", "processes:1"))
    assert call("run", path, "--until", "task", "--resume") == 0
    path.write_text(cluster_config.read_text() + section + "threads = 2\n")
    assert call("run", path, "--until", "task", "--resume", "--cluster", "here") == 2


def test_addresses_without_workers_are_refused(cluster_config: Path, tmp_path: Path):
    assert (
        call("run", cluster_config, "--out", tmp_path / "run", "--until", "task", "--cluster", "processes:1000000") == 2
    )
    run = Run.open(tmp_path / "run")
    for address in ("local:0", "local:x", "localhost:1"):
        with refuses(given=address), on_cluster(run, address, Workers()):
            pass


def test_an_address_is_not_replaced_by_the_cluster_that_is_connected(
    cluster_config: Path, tmp_path: Path, nodes: Cluster
):
    assert call("run", cluster_config, "--out", tmp_path / "run", "--until", "task") == 0
    run = Run.open(tmp_path / "run")
    for address in (str(nodes.address), "auto"):
        with on_cluster(run, address, Workers()):
            pass
    with refuses(given="localhost:1", allowed=str(nodes.address)), on_cluster(run, "localhost:1", Workers()):
        pytest.fail("connected to nothing")


def test_doctor_compares_the_nodes(nodes: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("doctor", "--cluster", "auto", "--storage", tmp_path) == 0
    assert "the folder" in capsys.readouterr().out
    assert call("doctor", "--cluster", "auto", "--storage", tmp_path / "missing") == 2
