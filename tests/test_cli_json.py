"""`--json`: lines that hold what the tables show, and what `to_json` of the same answer holds."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import typer
from small_subject import World, call

from inversescope import Inverter
from inversescope.cli.json_lines import print_lines
from inversescope.cli.shared import app
from inversescope.explain import explain
from inversescope.plan.doctor import examine
from inversescope.stats.design import targets_needed

TEXT = "Then, Michael and Jessica went to the store. Jessica gave a ring to"
# Commands whose answer is a run directory, a page, or a record in it, and which say where that is.
WRITERS = {"demo", "run", "step", "extend", "view", "propose", "arena", "disentangle"}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Commands run on one thread here, and answers depend on their number by the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def lines(capsys: pytest.CaptureFixture[str], *command: object, code: int = 0) -> list[Any]:
    """What a command prints, each line read as JSON; NaN is none."""
    capsys.readouterr()
    assert call(*command, "--json") == code
    return [json.loads(line, parse_constant=pytest.fail) for line in capsys.readouterr().out.splitlines()]


def test_every_command_that_answers_has_it():
    commands: Any = typer.main.get_command(app)
    without = {
        name
        for name, command in commands.commands.items()
        if not any("--json" in option.opts for option in command.params)
    }
    assert without == WRITERS


def test_inversions_are_those_of_the_api(world: World, capsys: pytest.CaptureFixture[str]):
    sites = ("resid_post.0", "resid_post.1")
    options = ("--run", world.run, "--site", ",".join(sites), "--bandwidth", "0.5", "-n", "4", "--seed", "7")
    found = lines(capsys, "invert", TEXT, *options)
    answers = Inverter.load(world.run).invert(TEXT, site=list(sites), bandwidth=0.5, n=4, seed=7)
    assert found == [json.loads(answer.to_json()) for answer in answers]
    assert [record["site"] for record in found] == [*sites]


def test_an_explanation_is_that_of_the_api(world: World, capsys: pytest.CaptureFixture[str]):
    options = ("--run", world.run, "--site", "resid_post.1", "--bandwidth", "0.5", "-n", "8")
    found = lines(capsys, "explain", TEXT, *options)
    answer = explain(Inverter.load(world.run), TEXT, sites=["resid_post.1"], bandwidth=0.5, n=8)
    assert found == [json.loads(answer.to_json())]


def test_checked_claims_are_those_that_out_writes(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    claim = {"text": TEXT, "site": "resid_post.1", "claim": "the subject is Jessica", "feature": "subject"}
    (tmp_path / "claims.jsonl").write_text(json.dumps(claim | {"value": "Jessica"}) + "\n")
    run = shutil.copytree(world.run, tmp_path / "run")
    asked = ("check", run, "--claims", tmp_path / "claims.jsonl", "-n", "16", "-b", "0.5")
    found = lines(capsys, *asked, "--out", tmp_path / "verdicts.jsonl")
    assert found == [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
    assert len(found) == 1


def test_a_comparison_and_a_plan(world: World, capsys: pytest.CaptureFixture[str]):
    sides = ("--site", "resid_post.1", "--bandwidth", "0.1", "--bandwidth", "0.5")
    (found,) = lines(capsys, "compare", world.run, "--feature", "subject", *sides)
    assert [side["bandwidth"] for side in found["sides"]] == [0.1, 0.5]
    assert {"value", "low", "high"} == found["difference"].keys()
    plans = lines(capsys, "power", "--fcr", "0.7", "--icc", "0.2", "--width", "0.05")
    assert all(plan["targets"] == targets_needed(0.7, 0.2, plan["samples"], 0.05) for plan in plans) and plans


def test_lists_and_checks(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    # The free memory and the free disk change from one examination to the next.
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(Path.cwd())
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
    assert lines(capsys, "doctor", code=call("doctor")) == [vars(check) for check in examine()]
    sites = [row["site"] for row in lines(capsys, "sites", world.model)]
    assert {"z.1.1", "embed", "resid_post.0"} <= {*sites}
    (row,) = lines(capsys, "sites", world.model, "--select", "z.1.0")
    assert row == {"site": "z.1.0", "point": "z", "layer": 1, "head": 0, "coordinates": 8}
    *checks, prefix = lines(capsys, "doctor", world.model)
    assert all(check["ok"] is not False for check in checks) and prefix["tokens"] == [1]
    assert {row["task"] for row in lines(capsys, "tasks")} >= {"ioi", "texts"}
    assert {row["key"] for row in lines(capsys, "tasks", "ioi")} >= {"templates", "names"}
    assert {row["section"] for row in lines(capsys, "config")} >= {"train", "collect"}
    assert {row["section"] for row in lines(capsys, "config", "train")} == {"train"}


@pytest.mark.parametrize(
    ("encoding", "printed"), [("utf-8", b"\xc3\xa9"), ("latin-1", b"\\u00e9"), ("ascii", b"\\u00e9")]
)
def test_signs_that_the_output_may_not_have_are_escaped(monkeypatch: pytest.MonkeyPatch, encoding: str, printed: bytes):
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
    print_lines([{"a": "é", "b": float("nan")}])
    sys.stdout.flush()
    assert content.getvalue() == b'{"a": "' + printed + b'", "b": null}\n'
