"""Python files of a config: nothing runs them until the user has allowed this version, and never to look at a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from io import StringIO
from pathlib import Path

import pytest
from refusals import check, printed, refuses
from small_subject import World, call, config_text, save_subject

from inversescope import python_file
from inversescope.config import RunConfig
from inversescope.errors import CodeNotAllowedError
from inversescope.features import feature_config
from inversescope.inverter import Inverter
from inversescope.python_file import UserCode, allow, load_file
from inversescope.run.run import Run
from inversescope.tasks import entries, registry

TASK = """
from pathlib import Path
from typing import Literal
from inversescope.tasks import IOI, IOIConfig, register

with Path(__file__).with_name("ran").open("a") as ran:
    ran.write("task ")

class MineConfig(IOIConfig):
    name: Literal["mine"] = "mine"

@register(MineConfig)
class Mine(IOI):
    name = "mine"
"""
FUNCTION = """
from pathlib import Path

with Path(__file__).with_name("ran").open("a") as ran:
    ran.write("function ")

def ending(text):
    return text.split()[-1] if text.split() else None
"""
SITE = ("--site", "resid_post.1")


def forget(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Another user, who has allowed nothing."""
    patch.setattr(python_file, "ALLOWED", str(folder / "allowed.txt"))
    patch.setattr(python_file, "_allowed_now", set())
    patch.setattr(python_file, "_versions", {})
    for name in [name for name in python_file.sys.modules if name.startswith("inversescope_file_")]:
        patch.delitem(python_file.sys.modules, name)


def config_in(folder: Path, world: World) -> str:
    text = config_text(world.model, steps=5).replace('name = "ioi"', f'name = "mine"\nfile = "{folder}/mine.py"')
    text = text.replace("[collect]", f'[features]\nending = {{ function = "{folder}/own.py:ending" }}\n\n[collect]')
    assert "mine.py" in text
    return text


@pytest.fixture(scope="module")
def of_others(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a config, its two files, and a run of it that is scored."""
    folder = tmp_path_factory.mktemp("others")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_ENTRIES", entries())
        (folder / "mine.py").write_text(TASK)
        (folder / "own.py").write_text(FUNCTION)
        (folder / "run.toml").write_text(config_in(folder, world))
        run = ("run", folder / "run.toml", "--out", folder / "run", "--until", "score")
        assert call(*run, "--allow-code") == 0
        assert (folder / "ran").read_text().split() == ["task", "function"]  # each once
        assert call(*run, "--resume") == 0  # it is remembered
        yield folder


@pytest.fixture
def stranger(of_others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, for a user who has allowed nothing; nothing of it has been run."""
    monkeypatch.setattr(registry, "_ENTRIES", entries())
    forget(monkeypatch, tmp_path)
    (of_others / "ran").unlink(missing_ok=True)
    return of_others


@pytest.mark.parametrize(
    "command",
    [
        ("step", "{}/run", "score"),
        ("compare", "{}/run", "--feature", "subject", *SITE, *SITE, "--method", "weighted", "--method", "generator"),
        ("power", "{}/run", "--feature", "subject", *SITE),
        ("view", "{}/run", "--bundle", "{}/bundle"),
        ("run", "{}/run.toml", "--out", "{}/run", "--until", "score", "--resume"),
    ],
    ids=lambda command: command[0],
)
def test_what_needs_no_labels_runs_nothing(stranger: Path, command: tuple[str, ...]):
    bandwidth = ("--bandwidth", "0.5") if command[0] in ("compare", "power") else ()
    assert call(*(part.format(stranger) for part in command), *bandwidth) == 0
    assert not (stranger / "ran").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("invert", "Then, Anna", *SITE, "--run", "{}/run"),
        ("explain", "Then, Anna", *SITE, "--run", "{}/run"),
        ("arena", "{}/run"),
        ("disentangle", "{}/run"),
        ("check", "{}/run", "--claims", "{}/claims.jsonl"),
        ("run", "{}/run.toml", "--out", "{}/run", "--resume"),
        ("run", "{}/run.toml", "--out", "{}/another"),
    ],
    ids=lambda command: " ".join(command[:2:2]),
)
def test_what_needs_labels_is_refused_with_the_command(
    stranger: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    assert call(*(part.format(stranger) for part in command)) == 2
    again = f"{command[0]} --allow-code {stranger}" if "{}" in command[1] else f"{command[0]} --allow-code"
    check(printed(capsys.readouterr().err), "mine.py", "own.py", given="task", remedy=again)
    assert not (stranger / "ran").exists() and not (stranger / "another").exists()


def test_a_dry_run_runs_no_code_even_if_it_is_allowed(stranger: Path, world: World, capsys: pytest.CaptureFixture[str]):
    allow([UserCode(stranger / "mine.py", "task"), UserCode(stranger / "own.py", "function ending")])
    assert call("run", stranger / "run.toml", "--dry-run") == 2
    check(printed(capsys.readouterr().err), given=stranger / "mine.py", remedy="--until task")
    text = (stranger / "run.toml").read_text().replace(f'name = "mine"\nfile = "{stranger}/mine.py"', 'name = "ioi"')
    (stranger / "functions.toml").write_text(text)
    assert call("run", stranger / "functions.toml", "--dry-run") == 0
    assert not (stranger / "ran").exists()


def test_in_python(stranger: Path):
    with pytest.raises(CodeNotAllowedError):
        Inverter.load(stranger / "run")
    assert not (stranger / "ran").exists()
    labels = Inverter.load(stranger / "run", allow_code=True).run.task.features
    assert "ending" in labels and (stranger / "ran").read_text().split() == ["task", "function"]


@pytest.mark.parametrize("changed", ["mine.py", "own.py"])
def test_a_changed_file_is_not_run_and_permission_is_not_for_it(
    stranger: Path, tmp_path: Path, changed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    config = stranger / "run.toml"
    allow(RunConfig.read(config).code)
    before = (stranger / changed).read_text()
    try:
        (stranger / changed).write_text(f"{before}\n# changed\n")
        with pytest.raises(CodeNotAllowedError):
            Run.create(tmp_path / "new", config.read_text())
        assert call("invert", "Then, Anna", *SITE, "--run", stranger / "run", "--allow-code") == 2
        check(printed(capsys.readouterr().err), given="fingerprint", allowed="fingerprint")
        assert not (stranger / "ran").exists()
    finally:
        (stranger / changed).write_text(before)


def test_permission_is_for_one_use_and_outlives_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    forget(monkeypatch, tmp_path)
    (tmp_path / "own.py").write_text("def one(text): ...\ndef two(text): ...\n")
    one, two = (UserCode(tmp_path / "own.py", f"function {name}") for name in ("one", "two"))
    with pytest.raises(CodeNotAllowedError):
        load_file(one)
    allow([one])
    monkeypatch.setattr(python_file, "_allowed_now", set())  # another process
    assert load_file(one).one
    with pytest.raises(CodeNotAllowedError):
        load_file(two)
    shutil.copy(tmp_path / "own.py", tmp_path / "copy.py")
    assert load_file(UserCode(tmp_path / "copy.py", "function one")).one  # the same code


def test_a_file_that_changed_is_run_anew(tmp_path: Path):
    code = UserCode(tmp_path / "own.py", "function f")
    for value in (1, 2):
        code.path.write_text(f"def f(text): return {value}")
        allow([code])
        assert load_file(code).f("") == value
        assert load_file(code) is load_file(code)


def test_permission_without_a_cache_lasts_for_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    forget(monkeypatch, tmp_path / "file")
    (tmp_path / "file").write_text("no folder")
    code = UserCode(tmp_path / "own.py", "task")
    code.path.write_text("x = 1")
    allow([code])
    assert load_file(code).x == 1


@pytest.mark.parametrize("address", ["os:system", "subprocess:run", "builtins:eval", "os.path:exists", ":f", "os:", ""])
def test_a_function_of_any_package_is_refused_when_the_config_is_read(address: str):
    with refuses("features.x.function", "file.py:name"):
        RunConfig.parse(f'[features]\nx = {{ function = "{address}" }}', "x")


@pytest.mark.parametrize("library", [shutil.__file__, pytest.__file__])
def test_a_file_of_a_library_is_no_file_of_a_user(library: str):
    with refuses(library, allowed="your own"):
        allow([UserCode(Path(library), "function rmtree")])


def test_a_function_that_a_package_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "offered.py").write_text("def ending(text): return text[-1:]\ndef other(text): ...\n")
    point = EntryPoint("ending", "offered:ending", feature_config.ENTRY_POINTS)
    monkeypatch.setattr(feature_config, "entry_points", lambda group: [point] if group == point.group else [])
    feature = RunConfig.parse('[features]\nx = { function = "offered:ending" }', "x").features["x"]
    assert feature.reader("x")("abc", {}) == "c" and feature.code is None
    assert feature.fingerprint == UserCode(tmp_path / "offered.py", "").sha256
    with refuses("'offered:other'"):
        RunConfig.parse('[features]\nx = { function = "offered:other" }', "x")


@pytest.mark.parametrize("file, settings", [
    ("tokenizer_config.json", {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", None]}}),
    ("config.json", {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine", "AutoModelForCausalLM": "mine.Of"}}),
])  # fmt: skip
def test_code_of_a_model_s_repository_is_neither_run_nor_offered(
    tmp_path: Path, file: str, settings: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    model = save_subject(tmp_path / "model")
    (model / file).write_text(json.dumps(json.loads((model / file).read_text()) | settings))
    (model / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    (tmp_path / "run.toml").write_text(config_text(model))
    monkeypatch.setattr("sys.stdin", StringIO("y\n" * 9))
    assert call("run", tmp_path / "run.toml", "--dry-run") == 2
    assert "y/N" not in capsys.readouterr().out
    assert not (tmp_path / "ran").exists()
