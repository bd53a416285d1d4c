"""Whole runs on a GPU that is only pretended: no tensor meets one of another device, and the numbers are the CPU's."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from small_subject import World
from test_text_step import Made

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent
DIFFERENCES = runpy.run_path(str(TESTS.parent / "benchmarks" / "same_numbers.py"))


def on_gpu(*arguments: object, code: str | None = None) -> str:
    """A command line, or lines of Python, in a process with a pretended GPU; its output."""
    start = ["-c", f"from pretended_gpu import *\nwith pretended():\n{code}"] if code else ["pretended_gpu.py"]
    done = subprocess.run(
        [sys.executable, *start, *map(str, arguments)], cwd=TESTS, capture_output=True, text=True, timeout=250,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    return done.stdout


def same(config: Path, run: Path, there: Path) -> None:
    """A config's run on the pretended GPU has the numbers of its run on the CPU."""
    there.mkdir()
    moved = there / "gpu.toml"
    moved.write_text(config.read_text().replace('device = "cpu"', 'device = "cpu:1"'))
    on_gpu("run", moved, "--out", there / "run")
    found = list(DIFFERENCES["differences"](there / "run", run, DIFFERENCES["Renamed"]({})))
    assert [line for line in found if "device" not in line] == []


TEXT = "Then, Michael and Christopher went to the garden. Christopher gave a kiss to"


def test_a_run_has_the_numbers_of_the_cpu(world: World, tmp_path: Path):
    there = tmp_path / "gpu"
    same(world.config, world.run, there)
    for command in ("invert", "explain"):
        on_gpu(command, TEXT, "--run", there / "run", "--site", "resid_post.1")
    on_gpu("arena", there / "run", "--budget", 2, "--out", there / "arena")


def test_natural_text_has_the_numbers_of_the_cpu(tmp_path: Path):
    made = Made(tmp_path)
    same(made.config, made.run, tmp_path / "gpu")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("torch.ones(2, device=GPU) + torch.ones(2)", "tensors on two devices"),
        ("torch.ones(2).index_select(0, torch.zeros(1, dtype=torch.long, device=GPU))", "tensors on two devices"),
        ("torch.rand(2, device=GPU, generator=torch.Generator())", "another device's"),
        ("torch.ones(2).multinomial(1, generator=torch.Generator(GPU))", "another device's"),
        ("torch.ones(2, device=GPU).numpy()", "numpy"),
    ],
)
def test_a_gpu_refuses(code: str, reason: str):
    with pytest.raises(AssertionError, match=reason):
        on_gpu(code=f"    {code}")


def test_a_gpu_accepts_what_it_should():
    lines = (
        "a = torch.tensor([1.0, 2.0], device=GPU)",
        "assert a.device == GPU and (a * 2).device == GPU and a.cpu().device.index is None",
        "assert a[torch.tensor([1])].tolist() == [2.0] and float(a.sum()) == 3.0",
        "assert (a + torch.tensor(1.0)).device == GPU",
        "assert torch.rand(2, device=GPU, generator=torch.Generator(GPU)).device == GPU",
        "print('done')",
    )
    assert on_gpu(code="\n".join(f"    {line}" for line in lines)) == "done\n"
