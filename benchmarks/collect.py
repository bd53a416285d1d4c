"""Peak resident memory and tokens per second of a collection on the bundled subject, over its size.

    python benchmarks/collect.py --tokens 60000 --tokens 120000

Inputs of 64 tokens (and the prefix) from a .jsonl file, read at every residual site, half of them in the pool, so that
the statistics are of as much as the shards. Each size runs in a process of its own; its peak is what the system says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from inversescope import files
from inversescope.tasks.ioi_words import NAMES, OBJECTS, PLACES

LENGTH = 64
CONFIG = """\
[task]
name = "texts"
path = "{path}"
max_tokens = {length}

[collect]
sites = ["resid_post.*"]
train = {train}
pool = {pool}
targets = 2
shard = {shard}

[generator]
sites = ["resid_post.*"]
"""


def prepare(folder: Path, tokens: int, shard: int) -> Path:
    """A file of texts of random words, each longer than an input, and a config that reads it."""
    rng, words = np.random.default_rng(0), np.array([*NAMES, *PLACES, *OBJECTS])
    inputs = tokens // LENGTH
    with (folder / "texts.jsonl").open("w") as file:
        for _ in range(inputs):
            file.write(json.dumps({"text": " ".join(rng.choice(words, LENGTH)), "label": "a"}) + "\n")
    pool = (inputs - 2) // 2
    config = folder / "run.toml"
    config.write_text(
        CONFIG.format(path=folder / "texts.jsonl", length=LENGTH, train=inputs - 2 - pool, pool=pool, shard=shard)
    )
    return config


def measure(folder: Path, config: Path) -> int:
    """Collect in a process of its own; its peak resident memory in bytes."""
    command = [sys.executable, "-m", "inversescope", "run", str(config), "--out", str(folder / "run")]
    process = subprocess.Popen([*command, "--until", "collect"])
    _, status, used = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(
    tokens: Annotated[list[int], typer.Option(help="Tokens of a collection; once for each size.")],
    shard: Annotated[int, typer.Option(help="Inputs a shard.")] = 256,
) -> None:
    table = Table("tokens", "inputs", "seconds", "tokens/s", "peak RSS, MB", "on disk, MB")
    for size in tokens:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            peak = measure(path, prepare(path, size, shard))
            seconds = files.read_json(path / "run" / "provenance.json")["seconds"]["collect"]
            disk = sum(file.stat().st_size for file in (path / "run" / "collect").iterdir())
            numbers = (size, size // LENGTH, seconds, size / seconds, peak / 1e6, disk / 1e6)
            table.add_row(*(f"{number:,.0f}" for number in numbers))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
