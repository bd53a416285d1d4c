"""Parts of a step that was interrupted: taken as they were written, else made again; and the seconds of all lives."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_subject import World, call

from inversescope import files
from inversescope.cluster import Unit, Worker, parts
from inversescope.errors import UserError
from inversescope.progress import Progress, silent
from inversescope.run.sealed import read_provenance
from inversescope.train.checkpoint import BEFORE, CHECKPOINT, FITTED, load_checkpoint, save_checkpoint
from inversescope.train.trainer import Trainer

FROM = {"task": "1" * 64}


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part"
    path.write_text("whole")
    parts.begin(tmp_path, FROM)
    parts.keep(path)
    return path


def test_a_part_is_taken_as_it_was_written(part: Path, caplog: pytest.LogCaptureFixture):
    parts.begin(part.parent, FROM)
    assert parts.kept(part) and not parts.kept(part.with_name("another"))
    assert not caplog.records


@pytest.mark.parametrize("content", ["", "whol", "whole!", "While"])
def test_a_part_that_is_cut_off_or_changed_is_deleted_and_said(part: Path, caplog, content: str):
    part.write_text(content)
    assert not parts.kept(part) and not part.exists()
    assert str(part) in caplog.text


def test_a_part_without_a_hash_is_not_taken(part: Path, caplog):
    part.with_name("stray").write_text("whole")
    assert not parts.kept(part.with_name("stray"))
    flipped = (part.parent / parts.LEDGER).read_text().replace("seconds", "secunds")
    (part.parent / parts.LEDGER).write_text(flipped)
    parts.begin(part.parent, FROM)
    assert not parts.kept(part) and "damaged" in caplog.text


@pytest.mark.parametrize("name", [".x.part", ".x.y.part", f".x.{9**30}.part", ".x.{here}.part"])
def test_half_written_files_of_others_stay(tmp_path: Path, name: str):
    """Of a process that is alive, or of a program that names its temporary files like that."""
    name = name.format(here=os.getpid())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    killed = tmp_path / f".x.{ended.pid}.part"
    for path in (tmp_path / name, killed):
        path.touch()
    files.clear(tmp_path)
    assert (tmp_path / name).exists() and not killed.exists()


def test_a_line_of_the_ledger_that_is_cut_off_costs_its_part_alone(tmp_path: Path, caplog):
    parts.begin(tmp_path, FROM)
    for name in ("first", "second", "third"):
        (tmp_path / name).write_text(name)
        parts.keep(tmp_path / name)
        if name == "second":  # a kill in the middle of its line
            (tmp_path / parts.LEDGER).write_bytes((tmp_path / parts.LEDGER).read_bytes()[:-9])
    parts.begin(tmp_path, FROM)
    assert [parts.kept(tmp_path / name) for name in ("first", "second", "third")] == [True, False, True]
    assert "line 3 is damaged" in caplog.text


def test_shares_are_disjoint_and_the_last_process_takes_all(tmp_path: Path):
    units, done = [Unit(f"part-{i}") for i in range(7)], []
    for index in range(3):
        parts.begin(tmp_path, FROM, parts.Share(index, 3))
        with pytest.raises(parts.ShareDone):
            parts.make(tmp_path, units, lambda: write(tmp_path, done), silent)
        assert len(done) == len(set(done)) == (3, 5, 7)[index]
    (tmp_path / "part-4").write_text("another")
    parts.begin(tmp_path, FROM)
    made = list(parts.make(tmp_path, units, lambda: write(tmp_path, done), silent))
    assert made == [tmp_path / unit.file for unit in units]
    assert done[7:] == ["part-4"]
    parts.end(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [unit.file for unit in units]


def test_a_share_of_other_inputs_is_not_taken(tmp_path: Path):
    units, done = [Unit("part-0")], []
    parts.begin(tmp_path, FROM, parts.Share(0, 1))
    with pytest.raises(parts.ShareDone):
        parts.make(tmp_path, units, lambda: write(tmp_path, done), silent)
    parts.begin(tmp_path, FROM | {"task": "2" * 64})
    parts.make(tmp_path, units, lambda: write(tmp_path, done), silent)
    assert done == ["part-0", "part-0"]


def write(folder: Path, done: list[str]) -> Worker:
    """A worker that writes the name of each unit into its file."""

    def worker(unit: Unit, _: Progress, /) -> Path:
        done.append(unit.file)
        (folder / unit.file).write_text(unit.file)
        return folder / unit.file

    return worker


@pytest.mark.parametrize("text", ["", "3", "1/", "3/3", "-1/3", "a/3", "0/0", "0/9999999999"])
def test_a_share_that_is_none_is_refused(text: str):
    with pytest.raises(UserError):
        parts.Share.parse(text)
    assert parts.Share.parse("2/3") == parts.Share(2, 3)


def test_parts_that_were_made_from_something_else_are_deleted(part: Path, caplog):
    parts.begin(part.parent, FROM)
    assert part.exists()
    parts.begin(part.parent, FROM | {"task": "2" * 64})
    assert not part.exists() and str(part.parent) in caplog.text


def test_the_seconds_are_those_of_all_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = iter([100.0, 107.0, 1000.0, 1002.0, 5.0, 6.5])
    monkeypatch.setattr(parts.time, "monotonic", lambda: next(clock))
    (tmp_path / "part").write_text("x")
    parts.begin(tmp_path, FROM)
    parts.keep(tmp_path / "part")  # seven seconds; what the killed life did after that is not known
    parts.begin(tmp_path, FROM)
    parts.keep(tmp_path / "part")
    parts.begin(tmp_path, FROM)
    assert parts.seconds(tmp_path) == pytest.approx(7 + 2 + 1.5)
    parts.end(tmp_path)
    assert not (tmp_path / parts.LEDGER).exists()


def test_a_finished_step_can_be_reopened(tmp_path: Path):
    (tmp_path / "part").write_text("x")
    files.finish(tmp_path, [tmp_path / "part"])
    parts.reopen(tmp_path, 12.0)
    assert not files.finished(tmp_path) and parts.kept(tmp_path / "part")
    parts.begin(tmp_path, FROM)
    assert parts.seconds(tmp_path) >= 12


# Checkpoints


def state(step: int) -> dict:
    return {"step": step, "fitted": {"a": torch.ones(3)}, "generator": {"w": torch.full((2,), float(step))}}


def test_the_last_checkpoint_is_loaded(tmp_path: Path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, state(step))
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None and loaded["step"] == 3
    assert loaded["fitted"]["a"].tolist() == [1, 1, 1] and loaded["generator"]["w"].tolist() == [3, 3]


@pytest.mark.parametrize("damage", ["empty", "cut", "another"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_loaded(tmp_path: Path, damage: str, caplog):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, state(step))
    whole = (tmp_path / CHECKPOINT).read_bytes()
    if damage == "another":
        torch.save({"step": 9, "generator": {"w": torch.ones(5)}}, tmp_path / CHECKPOINT)
    else:
        (tmp_path / CHECKPOINT).write_bytes(b"" if damage == "empty" else whole[: len(whole) // 2])
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None and loaded["step"] == 2 and str(tmp_path / CHECKPOINT) in caplog.text
    (tmp_path / BEFORE).write_bytes(b"")
    assert load_checkpoint(tmp_path) is None


def test_without_what_was_fitted_training_begins_anew(tmp_path: Path):
    save_checkpoint(tmp_path, state(1))
    (tmp_path / FITTED).write_bytes(b"")
    assert load_checkpoint(tmp_path) is None


# Steps


def unfinished(world: World, folder: Path, step: str) -> Path:
    """A copy of the finished run in which this step was killed at its end, and the later ones are not begun."""
    run = Path(shutil.copytree(world.run, folder / "run"))
    steps = list(files.manifest(run)["steps"])
    (run / files.MANIFEST).unlink()
    for later in steps[steps.index(step) + 1 :]:
        shutil.rmtree(run / later)
    parts.reopen(run / step, 0.0)
    return run


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("sample", "part-00001.parquet"),
        ("verify", "part-00000.parquet"),
        ("causal", "part-00000.parquet"),
        ("collect", "inputs.parquet"),
        ("collect", "shards.json"),
        ("collect", "a shard"),
    ],
)
def test_a_part_that_is_cut_off_is_made_again(
    world: World, tmp_path: Path, step: str, name: str, caplog: pytest.LogCaptureFixture
):
    run = unfinished(world, tmp_path, step)
    shards = files.read_json(world.run / "collect" / "shards.json")
    path = run / step / (shards[1]["file"] if name == "a shard" else name)
    path.write_bytes(path.read_bytes()[:-7])
    with caplog.at_level(logging.WARNING):
        assert call("step", run, step) == 0
    assert str(path) in caplog.text
    assert files.manifest(run / step)["files"] == files.manifest(world.run / step)["files"]
    assert not (run / step / parts.LEDGER).exists()


def test_a_training_that_is_resumed_late_counts_the_seconds_of_all_lives(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run, clock, later = unfinished(world, tmp_path, "reference"), time.monotonic, 0.0
    assert call("step", run, "reference") == 0
    update = Trainer.step
    monkeypatch.setattr("inversescope.train.train.CHECKPOINT_STEPS", 5)
    monkeypatch.setattr(time, "monotonic", lambda: clock() + later)

    def dying(trainer: Trainer) -> int:
        nonlocal later
        later = 1000.0  # the first life is long
        if trainer.done == 57:
            raise KeyboardInterrupt
        return update(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", dying)
        assert call("step", run, "train") == 130
    assert call("step", run, "train") == 0
    assert 1000 < read_provenance(run)["seconds"]["train"] < 2000
    assert files.manifest(run / "train")["files"] == files.manifest(world.run / "train")["files"]
    assert not list((run / "train").glob("checkpoint*"))
