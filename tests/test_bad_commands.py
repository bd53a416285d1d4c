"""A small part of the fuzzed inputs and bad commands of benchmarks/reliability.py, and faults that they must notice."""

from __future__ import annotations

import ast
import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from refusals import refuses
from small_subject import World

from inversescope.errors import UserError
from inversescope.run.sealed import require_free

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from faults import commands, figures, fuzz

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SEED, TRIALS, COMMANDS = 16, 40, 12
KINDS_OF_COMMANDS = ("run", "invert", "compare", "sites", "step", "propose", "tasks", "config")  # they load little


@pytest.fixture(scope="module")
def fuzzed(world: World) -> fuzz.Fuzz:
    return fuzz.Fuzz(world.model)


@pytest.fixture
def bad(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> commands.World:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return commands.World(tmp_path, world)


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_what_is_fuzzed_is_used_or_refused(kind: str, fuzzed: fuzz.Fuzz):
    ends = [fuzz.trial(fuzzed, kind, f"{SEED} {kind} {number}") for number in range(TRIALS)]
    assert set(ends) <= {fuzz.USED, fuzz.REFUSED}


@pytest.mark.parametrize(
    ("end", "wanted"),
    [(None, "used"), (UserError("refused"), "refused"), (KeyError("a"), "KeyError"), (RecursionError(), "Recursion")],
)
def test_a_fault_of_a_trial_is_noticed(
    end: Exception | None, wanted: str, fuzzed: fuzz.Fuzz, monkeypatch: pytest.MonkeyPatch
):
    def ends(*_: Any) -> None:
        if end is not None:
            raise end

    monkeypatch.setitem(fuzz.KINDS, "sites", ends)
    assert wanted in fuzz.trial(fuzzed, "sites", "0")


def test_a_bad_command_ends_with_2_and_one_message(bad: commands.World):
    every = [command for command in commands.commands(bad) if command[0] in KINDS_OF_COMMANDS]
    for command in random.Random(SEED).sample(every, COMMANDS):
        assert commands.fault(command, *commands.here(command)) is None


def test_good_commands_are_none(bad: commands.World):
    for command in [command for command in commands.good(bad) if command[0] in ("invert", "compare", "sites", "tasks")]:
        code, *rest = commands.here(command)
        assert code == 0 and commands.fault(command, code, *rest)


@pytest.mark.parametrize(
    ("code", "said", "seconds", "mb", "wrong"),
    [
        (2, "error: no such file", 1, 500, False),
        (2, "error: one\nerror: two", 1, 500, True),
        (2, "", 1, 500, True),
        (1, "error: no such file", 1, 500, True),
        (2, "Traceback (most recent call last)\nerror: x", 1, 500, True),
        (2, "error: no such file", 10_000, 500, True),
        (2, "error: no such file", 1, 10_000, True),
    ],
)
def test_a_wrong_end_is_noticed(code: int, said: str, seconds: float, mb: int, wrong: bool):
    assert (commands.fault(("step",), code, said, seconds, mb) is not None) == wrong


def test_the_memory_of_one_trial_is_noticed_and_forgotten(fuzzed: fuzz.Fuzz, monkeypatch: pytest.MonkeyPatch):
    def takes(*_: Any) -> int:
        return len(bytearray(b"x") * (300 << 20))

    before = figures.peak()
    monkeypatch.setattr(fuzz, "LARGEST", before + 200)
    assert fuzz.trial(fuzzed, "sites", "0") in (fuzz.USED, fuzz.REFUSED)
    with monkeypatch.context() as one:
        one.setitem(fuzz.KINDS, "sites", takes)
        assert fuzz.trial(fuzzed, "sites", "0").endswith("MB")
    assert fuzz.trial(fuzzed, "sites", "0") in (fuzz.USED, fuzz.REFUSED)


def test_a_command_in_a_process_of_its_own_is_measured(bad: commands.World):
    code, said, seconds, mb = commands.alone(("tasks", "nothing"))
    assert commands.fault(("tasks",), code, said, seconds, mb) is None
    assert 0.1 < seconds < 60 and 20 < mb < 1000


def test_a_traceback_is_noticed(bad: commands.World, monkeypatch: pytest.MonkeyPatch):
    def fails(arguments: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("inversescope.cli.app", fails)
    code, said = commands.call(("tasks",))
    assert code == 1 and "KeyError" in said and commands.fault(("tasks",), code, said, 0, 0)


@pytest.mark.parametrize("kind", ["file", "link to nothing"])
def test_a_run_is_not_made_where_something_else_stands(kind: str, tmp_path: Path):
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    else:
        out.symlink_to(tmp_path / "nothing")
    with refuses(given=(str(out), kind), allowed=True):
        require_free(out, "")
    assert out.read_text() == "mine" if kind == "file" else out.is_symlink()


def test_benchmarks_import_names_that_are_there():
    """Most of them are run by hand, long after a name has moved."""
    missing = []
    for path in sorted(BENCHMARKS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            home = getattr(node, "module", None) or ""
            if isinstance(node, ast.ImportFrom) and home.partition(".")[0] == "inversescope":
                names = [f"{home}.{alias.name}" for alias in node.names]
                missing += [f"{path.name}: {name}" for name in names if not _leads_somewhere(name)]
    assert missing == []


def _leads_somewhere(name: str) -> bool:
    home, _, last = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(home), last) or importlib.util.find_spec(name) is not None
    except ImportError:
        return False
