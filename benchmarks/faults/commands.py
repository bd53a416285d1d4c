"""Whole commands with bad input: each ends with exit code 2 and one message, in bounded time and memory."""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from faults.figures import Figure, Part, forget_peak, megabytes, peak
from faults.world import helper

LONGEST, LARGEST = 60.0, 2 << 10  # of one command: seconds of processor time, resident MB at the peak
VIRTUAL = 4 << 30  # bytes of address space of a command in a process of its own, as by `ulimit -v`
ENDLESS = 300  # seconds after which a command is stopped
Command = tuple[str, ...]
How = Callable[[Command], tuple[int, str, float, int]]
DIGITS = "9" * 5000

SITES = (
    "", " ", "resid_post", "resid_post.2", "resid_post.-1", "resid_post.1.1", f"resid_post.{DIGITS}", "z.1", "z.0.9",
    "..", "nothing.1", "resid_post.x", "probe@resid_post.1", "+", "resid_post.1+", "\udcff", "[bold]", "@",
    "RESID_POST.1", "resid_post.1,", "mlp_out.1", "resid_post.*.*", "resid_post.½",
)  # fmt: skip
POSITIONS = ("999", "-999", DIGITS, "nowhere at all", "", "user:0", "user:-1", f"user:{DIGITS}", "last:1", "\0")
COUNTS = ("0", "-1", "1000000000", DIGITS, "x", "1.5", "nan", "", "0x10", "1e3")
RADII = ("0", "-1", "nan", "inf", "-inf", DIGITS, "x", "1e-300", "1e300", "")
MESSAGES = (
    "5", "true", "null", '"text"', "{}", "[]", "[5]", '[{"role": "user"}]', '[{"role": 5, "content": "x"}]', "", "[",
    "[" * 100_000, DIGITS, '[{"role": "user", "content": null}]',
    '[{"role": "user", "content": [{"type": "image"}]}]', "\x00", "[[]]", '[{"role": "user", "content": "\\ud83d"}]',
    '[{"role": "nobody", "content": ""}]',
)  # fmt: skip
CONFIGS = (
    "x", "[", "seed = -1", f"seed = {DIGITS}", "seed = 1e400", "[collect]\ntargets = 10**30",
    f"[collect]\ntargets = {10**30}", "[collect]\ntrain = 0", '[collect]\nsites = []',
    '[collect]\nsites = ["nothing.1"]', '[collect]\nsites = [""]', '[collect]\npool = "some"',
    "[generator]\nwidth = 7", f"[generator]\nwidth = {10**30}", "[generator]\nwidth = 16384\nlayers = 256",
    "[train]\nsteps = 0", "[train]\nlearning_rate = nan", "[train]\nbandwidths = [1, 0.1]",
    "[sample]\nresolutions = [1]", "[sample]\nbandwidths = [-1]", "[sample]\nsamples = true", "[nothing]\nx = 1",
    '[task]\nname = "nothing"', "[task]\nfile = 3", '[task]\nname = "x"\nfile = "no/such.py"',
    '[task]\nname = "texts"', '[task]\nname = "texts"\npath = "no/such.txt"',
    '[task]\nname = "texts"\npath = "/dev/zero"', '[task]\nnames = 1', '[task]\nnames = 9999',
    '[features]\nx = { regex = "a{100000000}" }', '[features]\nx = { regex = "(" }',
    '[features]\nx = { function = "os:system" }', '[features]\nx = { function = "no.py:f" }',
    '[features]\nx = { expression = "__import__(1)" }', '[features]\nx = { column = "nothing" }',
    '[features]\nx = {}', '[subject]\nmodel = "no/such/model/at/all"', '[subject]\ndevice = "warp"',
    '[subject]\nbits = 3', '[subject]\nprefix = [99999999]',
    '[subject]\nprojections = { probe = "no/such.safetensors" }', '[neighbourhood]\ndistance = "far"',
    '[causal]\nresolution = 7', '[causal]\ncontinuation = -1', '[calibrate]\ntargets = 1', '\x00',
    "a = " + "[" * 100_000, "x = \"\ud800\"".encode("utf-8", "replace").decode(),
)  # fmt: skip
MODEL_CONFIGS = (
    "", "{}", "[", "5", '{"model_type": "nothing"}', '{"model_type": 5}', '{"num_attention_heads": 0}',
    '{"num_hidden_layers": "two"}', '{"hidden_act": "nothing"}', '{"hidden_size": -1}', '{"vocab_size": 1}',
    '{"architectures": ["BertModel"]}', '{"architectures": 5}', '{"hidden_size": 100000000}',
    '{"auto_map": {"AutoConfig": "mine.Mine"}, "model_type": "mine"}', "[" * 100_000,
)  # fmt: skip
TOKENIZERS = ("", "{}", "[", "5", '{"model": {}}', '{"version": "9", "model": {"type": "New"}}')


class World:
    """A model, a finished run of it, and files to be misused."""

    def __init__(self, folder: Path, made: Any):
        self.folder, self.model, self.run, self.base = folder, made.model, made.run, made.config.read_text()
        (folder / "empty").mkdir()
        (folder / "text.txt").write_text("no run, no config")
        self.numbers = itertools.count()

    def file(self, content: str, name: str) -> str:
        """A new file."""
        path = self.folder / f"{next(self.numbers)}-{name}"
        path.write_text(content, encoding="utf-8", errors="surrogateescape")
        return str(path)

    def changed_model(self, name: str, content: str) -> str:
        """A copy of the model with another file; values of an object are put into the one that is there."""
        folder = self.folder / f"{next(self.numbers)}-model"
        shutil.copytree(self.model, folder)
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(changed := json.loads(content), dict) and changed and name == "config.json":
                content = json.dumps(json.loads((folder / name).read_text()) | changed)
        (folder / name).write_text(content)
        return str(folder)

    def places(self) -> list[str]:
        """Paths that are no run."""
        names = ("empty", "text.txt", "nowhere", "x" * 5000, "\udcff", "text.txt/below")
        return [*(str(self.folder / name) for name in names), "/dev/null", "", "/"]


def commands(world: World) -> Iterator[Command]:
    """Bad commands of every kind."""
    run, site = str(world.run), ("--site", "resid_post.1")
    asked = ("--run", run, "--bandwidth", "0.5")
    for command in ("invert", "explain"):
        yield from ((command, "Then", "--site", bad, *asked) for bad in SITES)
        yield from ((command, "Then", *site, *asked, "--position", bad) for bad in POSITIONS)
        yield from ((command, "Then", *site, *asked, "-n", bad) for bad in COUNTS)
        yield from ((command, "Then", *site, "--run", run, "--bandwidth", bad) for bad in RADII if bad != "1e300")
        yield from ((command, "Then", *site, "--run", run, "--resolution", bad) for bad in RADII)
        yield from ((command, *site, *asked, "--messages", world.file(bad, "m.json")) for bad in MESSAGES)
        yield from ((command, *site, *asked, "--messages", bad) for bad in world.places())
        yield from ((command, "Then", *site, "--run", bad) for bad in world.places())
        yield from ((command, "", *site, *asked), (command, *site, *asked), (command, "Then", *asked))
        yield (command, "Then", *site, *asked, "--seed", "-1")
    for command in ("compare", "power"):
        feature = ("--feature", "subject")
        yield from ((command, run, *feature, "--site", bad, "-b", "0.5") for bad in SITES)
        yield from ((command, run, *feature, *site, "-b", bad) for bad in RADII)
        yield from ((command, bad, *feature, *site, "-b", "0.5") for bad in world.places() if bad)
        yield from ((command, run, "--feature", bad, *site, "-b", "0.5") for bad in ("", "nothing", "\udcff"))
    for bad in CONFIGS:
        text = world.file(bad + "\n" + world.base if "[" not in bad else _joined(world.base, bad), "c.toml")
        yield ("run", text, "--out", f"{text}-run", "--until", "collect")
        yield ("run", text, "--dry-run")
    yield from (("run", bad, "--out", str(world.folder / "new")) for bad in world.places())
    config = world.file(world.base, "good.toml")
    yield from (("run", config, "--out", bad) for bad in (run, str(world.folder / "text.txt"), "/dev/null", "/proc/x"))
    yield from (("run", config, "--until", bad) for bad in ("", "nothing", "REPORT"))
    for command in ("step", "disentangle", "arena", "extend", "propose"):
        more = {"step": ("report",), "extend": (config,), "propose": site}.get(command, ())
        yield from ((command, bad, *more) for bad in world.places() if bad)
    yield from (("step", run, bad) for bad in ("", "nothing", "\udcff"))
    yield from (("arena", run, "--budget", bad) for bad in ("-1", "nan", "x", "inf"))
    yield from (("arena", run, "--only", bad) for bad in ("", "nothing"))
    yield from (("propose", run, *site, option, bad) for option in ("-n", "--max-calls") for bad in COUNTS[:6])
    yield ("disentangle", run)
    yield ("extend", run, config)
    yield from (("doctor", world.changed_model("config.json", bad)) for bad in MODEL_CONFIGS)
    yield from (("sites", world.changed_model("config.json", bad)) for bad in MODEL_CONFIGS)
    yield from (("run", _of(world, world.changed_model("tokenizer.json", bad)), "--dry-run") for bad in TOKENIZERS)
    yield from (("sites", str(world.model), "--select", bad) for bad in SITES if bad)
    yield from (("doctor", str(world.model), "--device", bad) for bad in ("warp", "meta", "cuda:99", "cuda:x"))
    yield from (("doctor", str(world.model), "--dtype", bad) for bad in ("", "int8", "bits"))
    yield from (("tasks", bad) for bad in ("nothing", "\udcff"))
    yield from (("config", bad) for bad in ("nothing", "[bold]"))
    yield from (("nothing",), ("run",), ("--nothing",), ("invert", "--nothing", "x"), ("step", run))


def good(world: World) -> list[Command]:
    """Commands that the bad ones are made of. Each ends well: what is refused in those is what is bad about them."""
    run, site, config = str(world.run), ("--site", "resid_post.1"), world.file(world.base, "good.toml")
    asked = ("--run", run, "--bandwidth", "0.5", "-n", "4")
    compared = ("--feature", "subject", *site, "-b", "0.5")
    return [
        ("invert", "Then, Michael", *site, *asked),
        ("explain", "Then, Michael", *site, *asked, "--position", "last", "--seed", "1"),
        ("compare", run, *compared, "--method", "weighted", "--method", "generator"),
        ("power", run, *compared),
        ("run", config, "--dry-run"),
        ("run", config, "--out", f"{config}-run", "--until", "collect"),
        ("step", run, "report"),
        ("sites", str(world.model), "--select", "resid_post.1"),
        ("doctor", str(world.model), "--device", "cpu"),
        ("tasks",),
        ("config", "collect"),
    ]


def _joined(base: str, section: str) -> str:
    """The config with a section in place of the one of that name."""
    head = section.partition("\n")[0]
    before, found, after = base.partition(head + "\n")
    return before + section + "\n" + after.partition("\n[")[2].join(("[", "")) if found else f"{base}\n{section}\n"


def _of(world: World, model: str) -> str:
    return world.file(world.base.replace(str(world.model), model), "model.toml")


def call(command: Command) -> tuple[int, str]:
    """Exit code and messages of a command in this process; a traceback is a message, and its exit code 1."""
    from inversescope.cli import main

    def give_up(*_: object) -> None:
        raise TimeoutError("no end")

    said = io.StringIO()
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(ENDLESS)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            main(list(command))
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:
            code = 1
            said.write(traceback.format_exc())
        finally:
            signal.alarm(0)
    return code, said.getvalue()


def alone(command: Command) -> tuple[int, str, float, int]:
    """The same in a process of its own with little address space; and its seconds of processor time, its peak in MB."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (VIRTUAL, VIRTUAL))
        signal.alarm(ENDLESS)

    with tempfile.TemporaryFile() as log:
        words = [sys.executable, "-m", "inversescope", *command]
        with open(os.devnull, "r+b") as nothing:
            process = subprocess.Popen(words, stdin=nothing, stdout=nothing, stderr=log, preexec_fn=limit)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read().decode(errors="replace")
    return process.returncode, said, usage.ru_utime + usage.ru_stime, megabytes(usage)


def here(command: Command) -> tuple[int, str, float, int]:
    """The same in this process, measured likewise."""
    forget_peak()
    started = time.process_time()
    code, said = call(command)
    return code, said, time.process_time() - started, peak()


def fault(command: Command, code: int, said: str, seconds: float, mb: int) -> str | None:
    """What is wrong with the end of a bad command; None if it ended as it should."""
    messages = said.count("error: ") + said.count("─ Error ─")
    last = said.strip().rpartition("\n")[2][:200]
    if code != 2 or messages != 1 or "Traceback" in said:
        return f"{shown(command)}: exit {code}, {messages} messages: {last}"
    bounded = seconds <= LONGEST and mb <= LARGEST
    return None if bounded else f"{shown(command)}: {seconds:.0f} s, {mb} MB"


def shown(command: Command) -> str:
    """The command, short enough for a table."""
    return " ".join(ascii(part)[1:-1][-40:] or "''" for part in command)


def measure(folder: Path, chosen: argparse.Namespace) -> Iterator[Figure]:
    """The figures, one for each command."""
    world = World(folder, helper("small_subject").world_in(folder))
    every = list(commands(world))
    random.Random(chosen.seed).shuffle(every)
    every = sorted(every[: chosen.commands], key=lambda command: command[0])
    with patch.dict("os.environ", HF_HUB_OFFLINE="1"):
        yield _good(good(world), here, "good commands, for control: exit 0")
        for name, several in itertools.groupby(every, key=lambda command: command[0]):
            yield _bad(list(several), here, f"bad {name}")
        if chosen.limited:
            yield _good(good(world), alone, "good commands, 4 GB of address space")
            yield _bad(_passable(world, chosen), alone, "bad commands, 4 GB of address space")


def _passable(world: World, chosen: argparse.Namespace) -> list[Command]:
    """Bad commands that a system passes on to a process."""
    every = [command for command in commands(world) if "\0" not in "".join(command)]
    return random.Random(f"{chosen.seed} alone").sample(every, chosen.limited)


def _good(tried: list[Command], how: How, case: str) -> Figure:
    ends = {shown(command): how(command) for command in tried}
    wrong = tuple(f"{command}: exit {code}: {said[-200:]}" for command, (code, said, *_) in ends.items() if code)
    largest = max(mb for *_, mb in ends.values())
    return Figure(case, len(ends), len(ends) - len(wrong), wrong, peak=largest)


def _bad(tried: list[Command], how: How, case: str) -> Figure:
    ends = [(command, *how(command)) for command in tried]
    wrong = tuple(found for end in ends if (found := fault(*end)))
    note = f"slowest {max(end[3] for end in ends):.1f} s of processor time"
    return Figure(case, len(ends), len(ends) - len(wrong), wrong, note, max(end[4] for end in ends))


def _options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--commands", type=int, default=300, help="bad commands, drawn from all kinds")
    options.add_argument(
        "--limited", type=int, default=60, help="others, each in a process of its own with 4 GB of address space"
    )


PART = Part("bad commands: exit 2, one message, no traceback, bounded time and memory", _options, measure)
