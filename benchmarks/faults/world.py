"""A tiny model with a config, and commands on it in processes of their own, which can be stopped and killed.

Every process is forked from a server that has imported everything, so that its life is spent on the command.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any

from inversescope import files

ROOT = Path(__file__).parents[2]
CHECKPOINT_STEPS = 5  # of 20: some lives end between two checkpoints
SITE = ("--site", "resid_post.1", "--bandwidth", "0.5")
TEXT = "Then, Michael and Jessica had a"
# Enough targets and samples to hold some out for `propose`, of the 48 inputs that there are.
SIZES = (("train = 30", "train = 14"), ("pool = 24", "pool = 14"), ("targets = 4", "targets = 20"), ("= 6", "= 16"))

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        "inversescope.run.pipeline",
        "inversescope.cli.tables.runs",
        "inversescope.cli",
        "inversescope.arena.methods",
        "inversescope.explain",
        "transformers.models.llama.modeling_llama",
    ]
)


def helper(name: str) -> Any:
    """A module of the tests: the tiny model and the endpoint are theirs."""
    if str(ROOT / "tests") not in sys.path:
        sys.path.insert(0, str(ROOT / "tests"))
    return importlib.import_module(name)


def live(arguments: Sequence[str], log: Path, environment: Mapping[str, str], within: Any) -> None:
    """One life of the command line."""
    import torch

    from inversescope.cli import main
    from inversescope.train import train

    # The log stays open: threads and the end of the process write to it, too.
    sys.stdout = sys.stderr = log.open("w", buffering=1)
    os.environ.update(environment)
    torch.set_num_threads(1)
    train.CHECKPOINT_STEPS = CHECKPOINT_STEPS
    with within:
        main(list(arguments))


class World:
    """The model and its config, in a folder.

    Args:
        sections: TOML that is added to the config.
    """

    def __init__(self, folder: Path, sections: str = ""):
        small = helper("small_subject")
        self.folder = folder
        self.config, self.larger = folder / "run.toml", folder / "larger.toml"
        text = small.config_text(small.save_subject(folder / "model"), steps=20) + sections
        for few, more in SIZES:
            text = text.replace(few, more)
        self.config.write_text(text)
        # What `extend` adds: inputs and a site.
        self.larger.write_text(text.replace("pool = 14", "pool = 24").replace('"z.1.*"]\ntrain', '"z.*.*"]\ntrain'))
        self.start("--version").join()  # the server starts now, and is not measured

    def start(
        self, *arguments: object, environment: Mapping[str, str] = MappingProxyType({}), within: Any = None
    ) -> BaseProcess:
        """A command in a process of its own; what it says is in its `log`.

        Args:
            within: a context in which the command runs there.
        """
        log = self.folder / f"{time.monotonic_ns()}.log"
        words = [str(argument) for argument in arguments]
        environment = {"INVERSESCOPE_CACHE": str(self.folder / "cache"), **environment}
        process = FORKED.Process(target=live, args=(words, log, environment, within or nullcontext()))
        process.log = log  # type: ignore[attr-defined]
        process.start()
        return process

    def call(self, *arguments: object, **more: Any) -> tuple[int, str]:
        """Exit code and output of a command."""
        process = self.start(*arguments, **more)
        process.join()
        return process.exitcode or 0, said(process)

    def do(self, *arguments: object, **more: Any) -> None:
        """A command that has to end well."""
        code, output = self.call(*arguments, **more)
        assert code == 0, f"{' '.join(map(str, arguments))}: exit {code}\n{output}"

    def run(self, name: str, until: str = "report") -> Path:
        """A run that is done until a step."""
        run = self.folder / name
        self.do("run", self.config, "--out", run, "--until", until)
        return run


def said(process: BaseProcess) -> str:
    """The output of a command that has ended."""
    return process.log.read_text()  # type: ignore[attr-defined]


def copy(run: Path, name: str) -> Path:
    """A copy of a run beside it."""
    target = run.with_name(name)
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(run, target))


def hashes(folder: Path) -> dict[str, str]:
    """The hash of every file, by its path in the folder; hidden ones are of a writer, and left out."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): files.sha256(path) for path in found}
