"""A run that was killed ends with the numbers of an undisturbed one, and what it leaves on disk can always be read.

Every process is forked from a server that has imported everything, so that a life of a run is spent on the run.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import runpy
import signal
import sys
import time
import tomllib
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from small_subject import config_text, save_subject

from inversescope import files
from inversescope.cli.working import STEPS
from inversescope.run import locks

pytestmark = pytest.mark.slow
KILLS = 10
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        "inversescope.run.pipeline",
        "inversescope.cli.tables.runs",
        "inversescope.cli",
        "transformers.models.llama.modeling_llama",
    ]
)


def live(arguments: list[str], log: Path, writes: int | None) -> None:
    """One life of the command line; it ends in the middle of the write after `writes` ones, if that many are given."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    with log.open("w") as sys.stdout:
        sys.stderr = sys.stdout
        torch.set_num_threads(1)
        if writes is not None:
            die_after(writes)
        from inversescope.cli import main
        from inversescope.train import train

        train.CHECKPOINT_STEPS = 5  # of 60: some lives end between two checkpoints
        main(arguments)


def die_after(writes: int) -> None:
    replace = os.replace

    def counted(source: Path, target: Path) -> None:
        nonlocal writes
        if writes == 0:
            os.truncate(source, os.path.getsize(source) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        writes -= 1
        replace(source, target)

    os.replace = counted


class World:
    """A subject with a config, and an undisturbed run of it with its duration in seconds."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.config = folder / "run.toml"
        self.config.write_text(config_text(save_subject(folder / "model")))
        self.log = folder / "log.txt"
        server = FORKED.Process(target=time.sleep, args=(0,))  # starts now, and is not measured
        server.start()
        server.join()
        self.undisturbed = folder / "undisturbed"
        started = time.monotonic()
        self.finish(self.undisturbed)
        self.seconds = time.monotonic() - started

    def start(self, run: Path, *, writes: int | None = None) -> BaseProcess:
        arguments = ["run", str(self.config), "--out", str(run), "--resume"]
        process = FORKED.Process(target=live, args=(arguments, self.log, writes))
        process.start()
        return process

    def finish(self, run: Path) -> None:
        process = self.start(run)
        process.join()
        assert process.exitcode == 0, self.log.read_text()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("resume"))


READERS = {
    ".json": lambda path: json.loads(path.read_bytes()),
    ".toml": lambda path: tomllib.loads(path.read_text()),
    ".parquet": pq.read_table,
    ".safetensors": load_file,
    ".pt": lambda path: torch.load(path, weights_only=True),
    ".html": lambda path: path.read_text().rindex("</html>"),
}


def read_everything(run: Path) -> None:
    """Parse every file under its final name, and compare the manifests with what they list."""
    for path in run.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            READERS[path.suffix](path)
            if path.name == files.MANIFEST:
                files.check(path.parent)


COMPARE = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "same_numbers.py"))


def assert_same_numbers(run: Path, undisturbed: Path) -> None:
    assert list(COMPARE["differences"](run, undisturbed, COMPARE["Renamed"]({}))) == []
    weights = "train/generator.safetensors"
    assert (run / weights).read_bytes() == (undisturbed / weights).read_bytes()
    read_everything(run)
    assert {path.name for path in run.iterdir() if path.is_dir()} == set(STEPS)
    assert {path.name for path in run.rglob("*") if path.name.startswith(".")} <= {locks.LOCK}


def test_the_undisturbed_run_has_numbers_to_compare(world: World):
    scores = files.read_json(world.undisturbed / "score" / "results.json")["scores"]
    assert any(row["method"] == "generator" and row["fcr"] is not None for row in scores)
    assert any(pq.read_table(world.undisturbed / "verify" / "samples.parquet")["verified"].to_pylist())
    read_everything(world.undisturbed)


def test_killed_at_ten_random_moments(world: World):
    """Each run is killed twice: somewhere in its own fifth of the duration, and somewhere in what was left then."""
    rng, kills, runs = random.Random(0), 0, 0
    while kills < KILLS:
        run, first = world.folder / f"killed-{runs}", (runs % 5 + rng.random()) / 5
        for moment in (first, rng.random() * (1 - first)):
            process = world.start(run)
            process.join(moment * world.seconds)
            if process.is_alive():  # else it was faster than the undisturbed one
                process.kill()
                process.join()
                kills += 1
            read_everything(run)
        world.finish(run)
        runs += 1
        assert_same_numbers(run, world.undisturbed)


def test_killed_in_the_middle_of_writes(world: World):
    """The first life ends in its first write, the next in its second, and so on, until one is long enough."""
    run, exits = world.folder / "torn", [-signal.SIGKILL]
    while exits[-1] == -signal.SIGKILL:
        process = world.start(run, writes=len(exits) - 1)
        process.join()
        exits.append(process.exitcode)
        read_everything(run)
    assert exits[-1] == 0, world.log.read_text()
    assert len(exits) > 6
    assert_same_numbers(run, world.undisturbed)


def test_interrupted_it_says_how_to_go_on(world: World):
    run = world.folder / "interrupted"
    process = world.start(run)
    while not (run / "train" / "checkpoint.pt").exists():
        assert process.is_alive(), world.log.read_text()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 130
    said = world.log.read_text()
    assert "--resume" in said and str(run) in said and "Traceback" not in said
    read_everything(run)
    world.finish(run)
    assert_same_numbers(run, world.undisturbed)
