"""Two commands at once on one run: the second is refused with the first one's process, and nothing is changed by it."""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from faults import kills
from faults.figures import Figure, Part
from faults.world import SITE, World, copy, hashes
from inversescope.run.locks import WRITER

Command = Callable[[World, Path], tuple[object, ...]]


@dataclass(frozen=True)
class State:
    """A state of a run, and the commands that may be the first and the second in it.

    Attributes:
        until: the last step that is done.
        lock: the folder that they write into, in the run.
    """

    until: str
    first: dict[str, Command]
    second: dict[str, Command]
    lock: str = "."


def _step(name: str) -> Command:
    return lambda world, run: ("step", run, name)


def _resume(world: World, run: Path) -> tuple[object, ...]:
    return "run", world.config, "--out", run, "--resume", "--until", "train"


def _extend(world: World, run: Path) -> tuple[object, ...]:
    return "extend", run, world.larger


def _propose(world: World, run: Path) -> tuple[object, ...]:
    return "propose", run, *SITE, "--yes"


def _arena(world: World, run: Path) -> tuple[object, ...]:
    return "arena", run, "--only", "ours", "--only", "reference"


COLLECT, TRAIN = {"run": _resume, "collect": _step("collect")}, {"run": _resume, "train": _step("train")}
STATES = (
    State("task", COLLECT, COLLECT | {"extend": _extend}),
    State("reference", TRAIN, TRAIN),
    State("report", {"propose": _propose}, {"propose": _propose}),
    State("report", {"arena": _arena}, {"arena": _arena}, "arena"),
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=20, help="pairs of writers")


def measure(folder: Path, chosen: argparse.Namespace) -> Iterator[Figure]:
    world, rng = World(folder), random.Random(chosen.seed)
    pairs = [(state, a, b) for state in STATES for a in state.first for b in state.second]
    order = [pair for _ in range(chosen.pairs // len(pairs) + 1) for pair in rng.sample(pairs, len(pairs))]
    runs = {until: world.run(f"before-{until}", until) for until in {state.until for state in STATES}}
    wrong, undisturbed = [], {}
    with kills.endpoint() as environment:
        for number, (state, a, b) in enumerate(order[: chosen.pairs]):
            if (state.until, a) not in undisturbed:
                alone = copy(runs[state.until], "alone")
                world.do(*state.first[a](world, alone), environment=environment)
                undisturbed[state.until, a] = kills.compared(alone)
            run = copy(runs[state.until], "pair")
            fault = _pair(world, run, state, a, b, environment, undisturbed[state.until, a])
            wrong += [f"pair {number}, {a} and {b}: {fault}"] if fault else []
    yield Figure("two writers", chosen.pairs, chosen.pairs - len(wrong), tuple(wrong))


def _pair(
    world: World, run: Path, state: State, a: str, b: str, environment: Mapping[str, str], alone: Mapping[str, str]
) -> str | None:
    """Start the second command while the first is stopped in the middle of its work; the fault, if there is one."""
    first = world.start(*state.first[a](world, run), environment=environment)
    while first.is_alive() and not (run / state.lock / WRITER).exists():
        time.sleep(0.002)
    if not first.is_alive():
        return "the first had ended before the second began"
    os.kill(first.pid, signal.SIGSTOP)
    before = hashes(run)
    code, output = world.call(*state.second[b](world, run), environment=environment)
    changed = hashes(run) != before
    os.kill(first.pid, signal.SIGCONT)
    first.join()
    if code != 2 or str(first.pid) not in output or "Traceback" in output:
        return f"the second ended with exit {code}: {' '.join(output.split())[-200:]}"
    if changed:
        return "the second changed a file"
    if first.exitcode != 0:
        return f"the first ended with exit {first.exitcode}"
    return None if kills.compared(run) == alone else "the first ended with other files than alone"


PART = Part("Start a command that writes while another one does: refused, and nothing is changed.", options, measure)
