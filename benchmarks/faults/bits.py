"""One bit flipped in every file of a finished run: every command that reads the file has to refuse it.

Which files a command reads is seen from outside, in one life of it that is watched: every file that is opened, and
every call of the libraries that open files themselves. Files that the command itself wrote before do not count.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from faults import kills
from faults.figures import Figure, Part
from faults.world import SITE, TEXT, World, copy
from inversescope.cli.working import STEPS

Command = Callable[[World, Path], tuple[object, ...]]
FEATURE = ("--feature", "subject")
LEVELS = ("--bandwidth", "0.1", "--bandwidth", "0.5")
COMMANDS: dict[str, Command] = {
    "run --resume": lambda world, run: ("run", world.config, "--out", run, "--resume"),
    "step report, finished": lambda world, run: ("step", run, "report"),
    "invert": lambda world, run: ("invert", TEXT, *SITE, "--run", run),
    "explain": lambda world, run: ("explain", TEXT, *SITE, "--run", run, "-n", "8"),
    "compare": lambda world, run: ("compare", run, *FEATURE, "--site", "resid_post.1", *LEVELS),
    "power": lambda world, run: ("power", run, *FEATURE, *SITE),
    "propose": lambda world, run: ("propose", run, *SITE, "--yes"),
    "arena": lambda world, run: ("arena", run, "--only", "ours", "--only", "reference"),
}
TEXT_STEP = """
[text]
sites = ["resid_post.1"]
nearest = 60
proposals = 160
bits = [1.0]
samples = 8
stored = [1]
pool = 64
"""
LATER = [step for step in STEPS if step not in ("task", "collect")]
HASH = re.compile(r"\b[0-9a-f]{64}\b")


class Watched:
    """Context that writes the files that a process reads in a folder."""

    def __init__(self, folder: Path, out: Path):
        self._folder, self._out = folder.resolve(), out
        self._read: set[str] = set()
        self._written: set[str] = set()

    def __enter__(self) -> None:
        sys.addaudithook(self._note)
        for module, name in (
            *(("pyarrow.parquet", name) for name in ("read_table", "read_metadata", "read_schema", "ParquetFile")),
            *(("safetensors", "safe_open"), ("safetensors.torch", "load_file"), ("safetensors.numpy", "load_file")),
        ):
            self._watch(getattr(importlib.import_module(module), name))

    def __exit__(self, *_: object) -> None:
        self._out.write_text(json.dumps(sorted(self._read)))

    def _note(self, event: str, about: tuple[Any, ...]) -> None:
        if event == "open":
            self._see(*about[:2])
        elif event == "os.rename":  # every file is moved into its place when it is whole
            self._written.add(self._name(about[1]) or "")

    def _see(self, path: Any, mode: Any = "r") -> None:
        if not set(str(mode or "r")) & set("wax+"):
            name = self._name(path)
            if name is not None and name not in self._written and (self._folder / name).is_file():
                self._read.add(name)

    def _name(self, path: Any) -> str | None:
        """The path of a file in the folder, if it is there."""
        whole = Path(path).resolve() if isinstance(path, str | Path) else Path()
        return str(whole.relative_to(self._folder)) if whole.is_relative_to(self._folder) else None

    def _watch(self, original: Callable[..., Any]) -> None:
        def watched(path: Any, *more: Any, **how: Any) -> Any:
            self._see(path)
            return original(path, *more, **how)

        for module in list(sys.modules.values()):
            for name, value in list(vars(module).items()):
                if value is original:
                    setattr(module, name, watched)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bits", type=int, default=1, help="bits that are flipped, one after the other, in each file")
    names = [*COMMANDS, *(f"step {step}" for step in LATER)]
    parser.add_argument("--readers", nargs="+", choices=names, default=names, help="commands; default: all")


def measure(folder: Path, chosen: argparse.Namespace) -> Iterator[Figure]:
    world, rng = World(folder, TEXT_STEP), random.Random(chosen.seed)
    run = world.run("finished")
    with kills.endpoint() as environment:
        world.do(*COMMANDS["propose"](world, run), environment=environment)
        world.do(*COMMANDS["arena"](world, run))
        for name in chosen.readers:
            yield _figure(world, run, name, environment, chosen.bits, rng)


def _figure(
    world: World, run: Path, name: str, environment: Mapping[str, str], bits: int, rng: random.Random
) -> Figure:
    started = _started(run, name)
    command = COMMANDS.get(name, lambda world, run: ("step", run, name.removeprefix("step ")))
    out = world.folder / "read.json"
    watched = copy(started, "watched")
    world.do(*command(world, watched), environment=environment, within=Watched(watched, out))
    there = [path for path in json.loads(out.read_text()) if (started / path).is_file()]
    read = [path for path in there if (started / path).stat().st_size and not Path(path).name.startswith(".")]
    wrong, both = [], 0
    for path in read * bits:
        flipped = copy(started, "flipped")
        where = _flip(flipped / path, rng)
        code, output = world.call(*command(world, flipped), environment=environment)
        both += len(set(HASH.findall(output))) >= 2
        if code != 2 or "Traceback" in output or Path(path).name not in output.replace("\n", ""):
            wrong.append(f"{path}, {where}: exit {code}: {' '.join(output.split())[-200:]}")
    tried = len(read) * bits
    return Figure(f"a flipped bit, {name}", tried, tried - len(wrong), tuple(wrong), f"both hashes in {both} messages")


def _started(run: Path, name: str) -> Path:
    """The run as the command finds it: before a step, without what comes after."""
    step = name.removeprefix("step ")
    if step not in LATER:
        return run
    started = copy(run, f"before-{step}")
    for later in [*LATER[LATER.index(step) :], "arena", "propose"]:
        shutil.rmtree(started / later, ignore_errors=True)
    (started / "manifest.json").unlink()
    return started


def _flip(path: Path, rng: random.Random) -> str:
    content = bytearray(path.read_bytes())
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {place}"


PART = Part("Flip one bit of each file that a command reads: refused, with the file's name.", options, measure)
