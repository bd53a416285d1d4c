"""SIGKILL at random moments of every command that writes; after its second life, every hash is that of one life."""

from __future__ import annotations

import argparse
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from fnmatch import fnmatch
from multiprocessing.process import BaseProcess
from pathlib import Path

from faults.figures import Figure, Part
from faults.world import SITE, World, copy, hashes, helper, said

# Files that hold seconds or memory, and the manifests over them.
MEASURED = (
    "provenance.json", "manifest.json", "report/report.html", "report/manifest.json", "propose/usage.json",
    "arena/manifest.json", "arena/methods.json", "arena/arena.html", "arena/arena.tex", "arena/*/manifest.json",
)  # fmt: skip
TICK = 0.005  # seconds between two looks at a process
METHODS = ("ours", "ours weighted", "reference", "nearest", "linear probe", "logit lens")  # trained by no clock


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Attributes:
        before: the last step of the run that it starts from; None: there is none yet.
        commands: what is done after it, of a run's folder: each is called again where it was killed.
        serve: a context that gives its environment.
    """

    before: str | None
    commands: Callable[[World, Path], list[tuple[object, ...]]]
    serve: Callable[[], AbstractContextManager[Mapping[str, str]]] = field(default=lambda: nullcontext({}))


def _step(name: str) -> Callable[[World, Path], list[tuple[object, ...]]]:
    return lambda world, run: [("step", run, name)]


@contextmanager
def endpoint() -> Iterator[Mapping[str, str]]:
    """The environment of a language model on this machine, whose replies never change."""
    fake = helper("fake_endpoint")
    first = {"words": "the first name", "expression": r'extract("^Then, (\w+)")'}
    asked = {"words": "Michael comes first", "question": "Is Michael named first?"}
    with fake.serving(fake.Model([first, asked], {asked["question"]: lambda text: "no"})) as server:
        yield server.environment()


CASES: dict[str, Case] = {
    "run": Case(None, lambda world, run: [("run", world.config, "--out", run, "--resume")]),
    "collect": Case("task", _step("collect")),
    "train": Case("reference", _step("train")),
    "extend": Case("collect", lambda world, run: [("extend", run, world.larger), ("step", run, "collect")]),
    "propose": Case("report", lambda world, run: [("propose", run, *SITE, "--yes")], endpoint),
    "arena": Case(
        "report", lambda world, run: [("arena", run, *(word for name in METHODS for word in ("--only", name)))]
    ),
}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=50, help="moments of each command")
    parser.add_argument("--killed", nargs="+", choices=CASES, default=list(CASES), help="commands; default: all")


def measure(folder: Path, chosen: argparse.Namespace) -> Iterator[Figure]:
    world, rng = World(folder), random.Random(chosen.seed)
    for name in chosen.killed:
        case = CASES[name]
        before = world.run(f"before-{name}", case.before) if case.before else folder / f"before-{name}"
        with case.serve() as environment:
            yield _figure(world, name, case, before, environment, chosen.kills, rng)


def _figure(
    world: World, name: str, case: Case, before: Path, environment: Mapping[str, str], kills: int, rng: random.Random
) -> Figure:
    once = _start(before, "once")
    lives = [_alone(world, command, environment) for command in case.commands(world, once)]
    seconds = [life[0] for life in lives]
    wanted, wrong, killed = compared(once), [], 0
    for number in range(kills):
        run = _start(before, "again")
        moment = (number + rng.random()) / kills * sum(seconds)
        for command, of_command in zip(case.commands(world, run), seconds, strict=True):
            if 0 < moment < of_command:
                killed += _killed(world, command, environment, moment)
            moment -= of_command
            code, output = world.call(*command, environment=environment)
            if code:
                wrong.append(f"kill {number}: exit {code}: {' '.join(output.split())[-300:]}")
        found = compared(run)
        other = [path for path in found.keys() | wanted.keys() if found.get(path) != wanted.get(path)]
        if other:
            wrong.append(f"kill {number}: other hashes of {', '.join(sorted(other)[:5])}")
    of_each = len({line.split(":")[0] for line in wrong})
    note = f"{killed} were killed before they ended; {sum(seconds):.1f} processor seconds undisturbed"
    return Figure(f"SIGKILL, {name}", kills, kills - of_each, tuple(wrong), note, max(life[1] for life in lives))


def _start(before: Path, name: str) -> Path:
    if before.exists():
        return copy(before, f"{before.name}-{name}")
    shutil.rmtree(target := before.with_name(f"{before.name}-{name}"), ignore_errors=True)
    return target


def _alone(world: World, command: tuple[object, ...], environment: Mapping[str, str]) -> tuple[float, int]:
    """Processor seconds of a command that is left alone, which depend less on what else the machine does, and its
    largest resident memory in MB.
    """
    process = world.start(*command, environment=environment)
    seconds, largest = 0.0, 0
    while process.is_alive():
        seconds, largest = max(seconds, _used(process)), max(largest, _resident(process))
        process.join(TICK)
    assert process.exitcode == 0, f"{' '.join(map(str, command))}: exit {process.exitcode}\n{said(process)}"
    return seconds, largest


def _killed(world: World, command: tuple[object, ...], environment: Mapping[str, str], moment: float) -> bool:
    """Kill a command after so many processor seconds; false if it had ended."""
    process = world.start(*command, environment=environment)
    while process.is_alive() and _used(process) < moment:
        process.join(TICK)
    alive = process.is_alive()
    if alive:
        process.kill()
        process.join()
    return alive


def _used(process: BaseProcess) -> float:
    """Processor seconds of a process so far; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(process: BaseProcess) -> int:
    """Largest resident memory of a process so far, in MB; 0 if it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
    return int(peak) // 1024


def compared(run: Path) -> dict[str, str]:
    """The hash of every file that has to come out the same."""
    return {path: h for path, h in hashes(run).items() if not any(fnmatch(path, pattern) for pattern in MEASURED)}


PART = Part(
    "Kill run, collect, train, extend, propose and arena at random moments, and start each again: every hash is that "
    "of one undisturbed life.",
    options,
    measure,
)
