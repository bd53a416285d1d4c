"""One process at a time writes into a run: the second is refused, and a lock outlives nobody."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from refusals import refuses
from small_subject import World, call, config_text, save_subject

from inversescope import files
from inversescope.run import locks

HOLDER = """
import sys, time
from pathlib import Path
from inversescope.run.locks import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen]:
    """Another process that has the lock; it is killed at the end."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def contents(folder: Path) -> dict[Path, str]:
    """The hash of every file."""
    return {path: files.sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_second_writer_is_refused_with_the_first_ones_number(tmp_path: Path):
    with held(tmp_path) as process, refuses(str(tmp_path), str(process.pid)), locks.only_writer(tmp_path):
        pytest.fail("two writers")


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path):
    with held(tmp_path):
        assert (tmp_path / locks.WRITER).exists()
    with locks.only_writer(tmp_path):
        assert (tmp_path / locks.WRITER).read_text().startswith(str(os.getpid()))
    assert not (tmp_path / locks.WRITER).exists()


def test_a_process_may_take_its_own_lock_again_and_keeps_it_to_the_end(tmp_path: Path):
    with locks.only_writer(tmp_path):
        with locks.only_writer(tmp_path):
            pass
        assert (tmp_path / locks.WRITER).exists()
        code = "import sys; from pathlib import Path; from inversescope.run.locks import only_writer\n"
        code += "with only_writer(Path(sys.argv[1])): pass"
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True).returncode == 1


def test_shares_are_done_beside_each_other_and_keep_the_whole_out(tmp_path: Path):
    with locks.one_of_several(tmp_path, "collect-0-of-2"), locks.one_of_several(tmp_path, "collect-1-of-2"):
        with refuses("collect-0-of-2"), locks.one_of_several(tmp_path, "collect-0-of-2"):
            pytest.fail("one share twice")
        with refuses("of-2"), locks.only_writer(tmp_path):
            pytest.fail("a share and the whole")
    with locks.only_writer(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} <= {locks.LOCK}


def test_a_share_is_refused_beside_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    with held(tmp_path), refuses(str(tmp_path)), locks.one_of_several(tmp_path, "collect-0-of-2"):
        pytest.fail("two writers")
    with locks.one_of_several(tmp_path, "collect-0-of-2"):
        pass


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    (folder / "small.toml").write_text(config_text(save_subject(folder / "model"), steps=4))
    assert call("run", folder / "small.toml", "--out", folder / "run", "--until", "task") == 0
    return folder / "run"


@pytest.mark.parametrize(
    "command",
    [
        ("run", "CONFIG", "--out", "RUN", "--resume"),
        ("step", "RUN", "collect"),
        ("extend", "RUN", "CONFIG"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_writes_is_refused_and_changes_nothing(
    run: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    paths = {"RUN": run, "CONFIG": run.parent / "small.toml"}
    with held(run) as process:
        before = contents(run)
        assert call(*(paths.get(part, part) for part in command)) == 2
        assert str(process.pid) in capsys.readouterr().err
        assert contents(run) == before


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        (("arena", "RUN", "--only", "reference"), "arena"),
        (("disentangle", "RUN"), ""),
        (("check", "RUN", "--claims", "CLAIMS", "-n", "8", "--no-necessity"), ""),
    ],
    ids=lambda part: part[0] if isinstance(part, tuple) else "",
)
def test_what_writes_into_a_finished_run_is_refused_too(
    world: World, tmp_path: Path, command: tuple[str, ...], folder: str, capsys: pytest.CaptureFixture[str]
):
    run, claims = Path(shutil.copytree(world.run, tmp_path / "run")), tmp_path / "claims.jsonl"
    claims.write_text(json.dumps({"text": "Then, Michael", "site": "resid_post.1", "claim": "words > 1"}))
    paths = {"RUN": run, "CLAIMS": claims}
    (run / folder).mkdir(exist_ok=True)
    with held(run / folder) as process:
        before = contents(run)
        assert call(*(paths.get(part, part) for part in command)) == 2
        assert str(process.pid) in capsys.readouterr().err
        assert contents(run) == before
