"""The shell: texts with a hyphen in front, numbers as pieces, outputs that are full or closed, errors of the system."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from refusals import check, printed, refuses
from small_subject import World, call, config_text

from inversescope import cli, files
from inversescope.cli.shared import app

COMMAND = (sys.executable, "-m", "inversescope")
SITE = ("--site", "resid_post.1", "--bandwidth", "0.3", "-n", "4")
DIGITS = "1" * 5000


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model fails the test."""

    def fail(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr("inversescope.subject.loading.load", fail)


def refused(capsys: pytest.CaptureFixture[str], *command: object, **values: object) -> None:
    capsys.readouterr()
    assert call(*command) == 2
    check(printed(capsys.readouterr().err), **values)


# Texts and positions


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [
        (["- Lima is in", "--site", "s"], ["--site", "s", "--", "- Lima is in"]),
        (["--site", "s", "-5 and 3"], ["--site", "s", "--", "-5 and 3"]),
        (["--site", "s", "--", "-5"], ["--site", "s", "--", "-5"]),
        (["--position", "- a piece", "text"], ["--position", "- a piece", "text"]),  # the value of an option
        (["--position=a piece", "text"], ["--position=a piece", "text"]),
        (["--sitee", "s", "text"], ["--sitee", "s", "text"]),  # a slip of the pen stays one
    ],
)
def test_a_text_may_start_with_a_hyphen(arguments: list[str], parsed: list[str]):
    command: Any = typer.main.get_command(app)
    for name in ("invert", "explain"):
        assert command.commands[name]._text_last(arguments) == parsed


def test_a_text_with_a_hyphen_is_read_and_an_unknown_option_is_none(world: World, capsys: pytest.CaptureFixture[str]):
    assert call("invert", "- Mary went", "--run", world.run, *SITE) == 0
    assert "- Mary went" in capsys.readouterr().out
    assert call("invert", "Mary went", "--run", world.run, *SITE, "--sed", "1") == 2
    assert "--sed" in capsys.readouterr().err


def test_a_number_is_an_index_or_else_a_piece_of_the_text(world: World, capsys: pytest.CaptureFixture[str]):
    for position in ("1984", "1"):
        assert call("invert", "In 1984 Mary went", "--run", world.run, *SITE, "--position", position) == 0
        shown = capsys.readouterr()
        assert ("\nIn 1984\n" in shown.out) is (position == "1984")
        assert ("index" in shown.err) is (position == "1")  # the text has a 1, too
    refused(capsys, "invert", "In 1984", "--run", world.run, *SITE, "--position", "77", given=77, allowed=True)


@pytest.mark.parametrize("option", ["--site", "--position"])
@pytest.mark.parametrize("value", [DIGITS, f"user:{DIGITS}", f"resid_post.{DIGITS}", f"blocks.{DIGITS}.hook_resid_pre"])
def test_numbers_of_any_length_are_refused(world: World, capsys: pytest.CaptureFixture[str], option: str, value: str):
    refused(capsys, "invert", "Mary", "--run", world.run, *SITE, option, value, given=True, allowed=True)


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"5", {"given": 5, "allowed": True}),
        (b"true", {"given": True, "allowed": True}),
        (b"{}", {"given": "{}", "allowed": True}),
        (b'["hello"]', {"given": "message 0: 'hello'", "allowed": True}),
        (b"[" * 100_000, {"given": "talk.json"}),
    ],
)
@pytest.mark.usefixtures("no_model")
def test_a_conversation_that_is_none(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, values: dict
):
    (tmp_path / "talk.json").write_bytes(content)
    refused(capsys, "invert", "--messages", tmp_path / "talk.json", "--run", world.run, *SITE, **values)


def test_a_byte_order_mark_is_taken_off(world: World, tmp_path: Path):
    (tmp_path / "talk.json").write_bytes(b"\xef\xbb\xbf" + json.dumps([{"role": "user", "content": "a"}]).encode())
    assert files.read_json(tmp_path / "talk.json")[0]["role"] == "user"
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbf" + config_text(world.model).encode())
    assert call("run", tmp_path / "marked.toml", "--out", tmp_path / "run", "--until", "task") == 0
    assert call("run", tmp_path / "marked.toml", "--out", tmp_path / "run", "--until", "task", "--resume") == 0


# Before anything is loaded


@pytest.mark.usefixtures("no_model")
def test_sites_are_checked_before_a_model_is_loaded(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for command in ("invert", "explain"):
        asked = (command, "Mary", "--run", world.run, "--site")
        refused(capsys, *asked, "nowhere", given="nowhere", allowed="POINT.LAYER")
        refused(capsys, *asked, "z.9.0", given="z.9.0", allowed="layer 0 to 1")
        refused(capsys, *asked, "z.1.1", given="z.1.1", allowed="z.1.0")
        refused(capsys, *asked, "resid_post.1,z.1.1", given="z.1.1", allowed="z.1.0")
    refused(capsys, "sites", world.model, "--select", "mlp.1", given="mlp.1", allowed="POINT.LAYER")
    (tmp_path / "bad.toml").write_text(config_text(world.model).replace('"resid_post.*", "z.1.0"', '"resid_past.*"'))
    refused(capsys, "run", tmp_path / "bad.toml", "--out", tmp_path / "run", given="resid_past.*", allowed=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_model")
def test_names_of_transformer_lens_are_read_where_records_are(world: World, capsys: pytest.CaptureFixture[str]):
    place = ("--feature", "subject", "--bandwidth", "0.5", "--method", "generator")
    shown = []
    for sites in (("resid_post.0", "resid_post.1"), ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")):
        assert call("compare", world.run, *place, "--site", sites[0], "--site", sites[1]) == 0
        assert call("power", world.run, *place, "--site", sites[1]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    refused(capsys, "compare", world.run, *place, "--site", "nowhere", given="nowhere", allowed="POINT.LAYER")


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("name", ["page.json", "page.JSON", "."])
def test_a_page_that_its_record_would_overwrite_is_refused(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
):
    page = tmp_path / name
    refused(capsys, "explain", "Mary", *SITE, "--run", world.run, "--html", page, given=page, allowed="page.html")


# Outputs and the system


def output(*command: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *command], stderr=subprocess.PIPE, check=False, **options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", ["config", "--version"])
def test_an_output_that_is_full_ends_with_a_message(command: str):
    with open("/dev/full", "wb") as full:
        ended = output(command, stdout=full)
    assert ended.returncode == 2
    check(printed(ended.stderr.decode()), given="No space left on device")


def test_an_output_that_is_closed_ends_without_a_word():
    read, write = os.pipe()
    os.close(read)
    ended = output("config", stdout=write)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize("command", ["explain", "check"])
def test_a_page_is_written_although_the_output_is_closed(
    world: World, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
):
    def closed(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    (tmp_path / "claims.jsonl").write_text(json.dumps({"text": "Mary", "site": "resid_post.1", "claim": "words > 1"}))
    asked = {
        "explain": ("Mary went", "--run", world.run, "--site", "resid_post.1", "--bandwidth", "0.3"),
        "check": (
            shutil.copytree(world.run, tmp_path / "run"),
            "--claims",
            tmp_path / "claims.jsonl",
            "--no-necessity",
        ),
    }
    monkeypatch.setattr(f"inversescope.cli.{'ask' if command == 'explain' else 'check'}.print_answers", closed)
    call(command, *asked[command], "-n", "8", "--html", tmp_path / "page.html")
    assert "</html>" in (tmp_path / "page.html").read_text()


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
@pytest.mark.parametrize("closed", [">&-", "<&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize(("command", "code"), [("--version", 0), ("nosuch", 2)])
def test_without_its_streams_a_command_ends_as_with_them(closed: str, command: str, code: int):
    ended = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *COMMAND, command], capture_output=True, timeout=300)
    assert ended.returncode == code
    assert b"Traceback" not in ended.stderr


def test_signs_that_an_encoding_lacks_are_replaced():
    ended = output("config", stdout=subprocess.PIPE, env=os.environ | {"PYTHONIOENCODING": "latin-1"})
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"?" in ended.stdout and "subject" in ended.stdout.decode("latin-1")


@pytest.mark.parametrize("code", [errno.EIO, errno.EFBIG, errno.EROFS, errno.EDQUOT])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, code: int):
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(code, os.strerror(code))

    (tmp_path / "kept.json").write_text("whole")
    with refuses(given=tmp_path / "kept.json", remedy=True):
        files.write(tmp_path / "kept.json", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
    assert (tmp_path / "kept.json").read_text() == "whole"


@pytest.fixture(
    params=[OSError(errno.EIO, os.strerror(errno.EIO)), OSError("no number"), PermissionError(13, "no", "f")]
)
def failing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[OSError]:
    def fail(*_: object) -> None:
        raise request.param

    monkeypatch.setattr(cli, "app", fail)
    yield request.param


def test_any_error_of_the_system_is_a_message(failing: OSError, capsys: pytest.CaptureFixture[str]):
    assert call("config") == 2
    check(printed(capsys.readouterr().err), given=failing.filename or failing.strerror or str(failing))
