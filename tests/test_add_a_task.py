"""docs/add-a-task.md, followed to the letter; and what the registry refuses."""

from __future__ import annotations

import json
import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from refusals import check, printed, refuses
from small_subject import World, call

import inversescope.tasks
from inversescope.config import RunConfig
from inversescope.python_file import allow
from inversescope.tasks import TaskConfig, config_of, entries, register, registry

PAGE = (Path(__file__).parents[1] / "docs" / "add-a-task.md").read_text(encoding="utf-8")
CODE, CONFIG = (re.search(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)[1] for language in ("python", "toml"))
REST = """
[subject]
model = "{model}"
device = "cpu"
dtype = "float32"

[generator]
sites = ["resid_post.1"]
width = 16
layers = 1
heads = 2

[train]
steps = 20

[sample]
bandwidths = [0.1]
samples = 8
"""


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "_ENTRIES", entries())


@pytest.fixture
def folder(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "painting.py").write_text(CODE)
    (tmp_path / "painting.toml").write_text(CONFIG + REST.format(model=world.model))
    return tmp_path


@pytest.mark.slow
def test_the_page_leads_to_a_report(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert call("run", "painting.toml", "--allow-code") == 0
    run = folder / "runs" / "painting"
    assert "colour" in capsys.readouterr().out
    report = (run / "report" / "report.html").read_text()
    assert "painting" in report and "colour" in report
    assert json.loads((run / "resolved.json").read_text())["task"]["file"] == str(folder / "painting.py")
    assert call("run", "painting.toml", "--resume") == 0


def test_a_wrong_key_of_it_is_refused_with_its_own(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "painting.toml").write_text(CONFIG.replace("[collect]", "thing = 3\n[collect]"))
    assert call("run", "painting.toml", "--allow-code") == 2
    check(printed(capsys.readouterr().err), "task.thing", allowed="file, name, things")


def test_a_file_in_the_package_s_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(inversescope.tasks, "__path__", [*inversescope.tasks.__path__, str(folder)])
    registry._load_installed.cache_clear()
    assert config_of({"name": "painting"}).model_fields["things"].default == 12
    assert call("tasks") == 0 and re.search(r"^painting\b", capsys.readouterr().out, re.M)
    assert call("tasks", "painting") == 0 and re.search(r"things\W+12\b", capsys.readouterr().out)


def test_another_package_names_its_tasks(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(folder)
    point = EntryPoint("painting", "painting", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])
    registry._load_installed.cache_clear()
    assert RunConfig.parse('[task]\nname = "painting"\nthings = 3', "x").task.model_dump()["things"] == 3


@pytest.mark.parametrize(
    ("task", "values"),
    [
        ('name = "painting"', ("'painting'", "chat, cities, corpus, facts, icl, ioi, ravel, texts")),
        ('name = "painting"\nfile = 3', ("3",)),
        ('name = ["painting"]', ("['painting']",)),
        ('file = "painting.py"', ("task.name",)),
    ],
)
def test_a_task_that_there_cannot_be(task: str, values: tuple):
    with refuses("task", *values):
        RunConfig.parse(f"[task]\n{task}", "x")


@pytest.mark.parametrize(
    ("name", "file", "values"),
    [
        ("painitng", "painting.py", ("'painitng'", "painting")),
        ("painting", "nowhere.py", ("No such file",)),
        ("painting", ".", ("your own",)),
        ("x", "wrong.py", ("'nothing_of_this_name'",)),
        ("x", "empty.py", ("none",)),
    ],
)
def test_a_file_that_cannot_be_used(folder: Path, name: str, file: str, values: tuple):
    (folder / "wrong.py").write_text("import nothing_of_this_name\n")
    (folder / "empty.py").write_text("")
    config = RunConfig.parse(f'[task]\nname = "{name}"\nfile = "{file}"', "x")  # the file is not looked at
    with refuses(Path(file).name or folder.name, *values):
        allow(config.code)
        config.task_config()


def test_a_name_is_taken_once():
    class Second(TaskConfig):
        name: str = "ioi"

    with refuses(given="ioi: inversescope.tasks.ioi"):
        register(Second)(lambda config, subject: None)


def test_a_task_that_there_is_not(capsys: pytest.CaptureFixture[str]):
    assert call("tasks", "painting") == 2
    check(
        printed(capsys.readouterr().err),
        given="painting",
        allowed="chat, cities, corpus, facts, icl, ioi, ravel, texts",
    )
