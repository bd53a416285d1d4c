"""Own data from the command line to the report: cut texts are counted and named wherever a user looks."""

from __future__ import annotations

import json
import re
import shutil
from itertools import product
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fake_tokenizer import WordSubject
from refusals import printed, refuses
from run_contract import differences
from small_subject import World, call, config_text, world_in

from inversescope import files
from inversescope.collect.sizes import sized
from inversescope.config import RunConfig
from inversescope.features import feature_config
from inversescope.features.on_task import add_features
from inversescope.run.run import Run
from inversescope.tasks import TextsConfig, load_task
from inversescope.verdicts import NULL_FEATURE

TEXTS = [f"{a} gave {b} a ring" for a, b in product("abcdefgh", "ijklmnop")]
LONG = " and then went home to the store" * 3
CONFIG = '[task]\nname = "texts"\npath = "{path}"\n{more}\n'


def save(path: Path, texts: list[str]) -> Path:
    rows = [{"text": text, "who": text[0], "id": number} for number, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(path: Path, world: World, data: Path | str, more: str = "", sizes: str | None = None) -> Path:
    """A config for these texts; `sizes` in place of those of the section `collect`."""
    text = config_text(world.model, steps=6)
    start, collect, end = (text.index(f"[{section}]") for section in ("task", "collect", "generator"))
    own = text[collect:end] if sizes is None else f'[collect]\nsites = ["resid_post.*", "z.1.*"]\n{sizes}'
    path.write_text(text[:start] + CONFIG.format(path=data, more=more) + own + text[end:])
    return path


def path_of(run: Path) -> Path | None:
    """The file of texts of a run."""
    task = Run.open(run).config.task
    assert isinstance(task, TextsConfig)
    return task.path


@pytest.mark.slow
def test_texts_that_were_cut_are_counted_and_shown(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = save(tmp_path / "texts.jsonl", [text + LONG * (number < 3) for number, text in enumerate(TEXTS)])
    made = config(tmp_path / "cut.toml", world, data, "max_tokens = 9")
    cut = "3 of 64 texts are longer than 9 tokens"
    assert call("run", made, "--dry-run") == 0
    assert cut in " ".join(capsys.readouterr().out.split())
    assert call("run", made, "--out", tmp_path / "run") == 0
    shown = capsys.readouterr()
    assert cut in shown.err and "id (no value comes twice)" in shown.err and cut in " ".join(shown.out.split())
    recorded = files.read_json(tmp_path / "run" / "task" / "reading.json")
    assert (recorded["rows"], recorded["shortened"], recorded["features"]) == (64, 3, ["who"])
    assert cut in (tmp_path / "run" / "report" / "report.html").read_text()
    whole = config(tmp_path / "whole.toml", world, data)
    assert call("run", whole, "--out", tmp_path / "whole", "--until", "task") == 0
    assert "max_tokens" not in capsys.readouterr().err
    assert files.read_json(tmp_path / "whole" / "task" / "reading.json")["cut"] is None


def test_too_few_inputs_name_the_cut_as_the_cause(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = save(tmp_path / "texts.jsonl", [LONG + text for text in TEXTS])
    assert call("run", config(tmp_path / "cut.toml", world, data, "max_tokens = 4"), "--out", tmp_path / "run") == 2
    error = printed(capsys.readouterr().err)
    assert "64 texts come to 1 different input;" in str(error.given) and "64 of 64 texts" in str(error.given)
    assert "max_tokens" in str(error.remedy)
    data = save(tmp_path / "texts.jsonl", TEXTS[:20])
    assert call("run", config(tmp_path / "few.toml", world, data), "--out", tmp_path / "few") == 2
    assert "max_tokens" not in str(printed(capsys.readouterr().err))


def test_a_label_column_named_like_the_null_feature_is_refused(tmp_path: Path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text, NULL_FEATURE: "a"}) + "\n" for text in TEXTS))
    subject = WordSubject()
    with refuses(given=NULL_FEATURE):
        add_features(load_task(TextsConfig(path=path), subject), {}, subject)
    assert add_features(load_task(TextsConfig(path=path, labels=()), subject), {}, subject).features == ()


def test_a_byte_order_mark_is_no_part_of_a_config_or_a_message(world: World, tmp_path: Path, capsys):
    data = save(tmp_path / "texts.jsonl", TEXTS)
    made = config(tmp_path / "bom.toml", world, data)
    made.write_bytes(b"\xef\xbb\xbf" + made.read_bytes())
    assert call("run", made, "--out", tmp_path / "run", "--until", "task") == 0
    assert path_of(tmp_path / "run") == data
    (tmp_path / "half.json").write_text('\ufeff[{"role": "user", "content": "a \\ud83d"}]')
    capsys.readouterr()
    assert call("invert", "--messages", tmp_path / "half.json", "--site", "resid_post.1", "--run", world.run) == 2
    assert "half a character" in printed(capsys.readouterr().err).problem


# A run is made when everything has been tried


def test_after_a_mistake_the_mended_config_runs_into_the_same_folder(world: World, tmp_path: Path, capsys):
    run, data = tmp_path / "run", save(tmp_path / "texts.jsonl", TEXTS)
    mistakes = [
        {"data": tmp_path / "textts.jsonl"},
        {"data": data, "more": 'labels = ["when"]'},
        {"data": data, "sizes": "train = 60\npool = 30\n"},
        {"data": data, "sizes": "pool = 30\n[sample]\nresolutions = [512]\n"},
    ]
    for mistake in mistakes:
        assert call("run", config(tmp_path / "own.toml", world, **mistake), "--out", run, "--until", "task") == 2
        printed(capsys.readouterr().err)
        assert not run.exists()
    assert call("run", config(tmp_path / "own.toml", world, data), "--out", run, "--until", "task") == 0


@pytest.mark.slow
def test_a_run_of_which_nothing_is_done_takes_another_config(world: World, tmp_path: Path):
    text, run = config_text(world.model), tmp_path / "run"
    (tmp_path / "ioi.toml").write_text(text.replace("force = true", "force = false"))
    assert call("run", tmp_path / "ioi.toml", "--out", run, "--until", "task") == 2
    assert (run / "task" / "accuracy.json").exists()  # the model is not good enough, and that is kept
    (tmp_path / "ioi.toml").write_text(text)
    for resume in ([], ["--resume"]):
        assert call("run", tmp_path / "ioi.toml", "--out", run, "--until", "task", *resume) == 0
        (tmp_path / "ioi.toml").write_text(text.replace("seed = 3", "seed = 4"))
        assert call("run", tmp_path / "ioi.toml", "--out", run, "--until", "task", *resume) == 2  # a step is done
        (tmp_path / "ioi.toml").write_text(text)
        (run / "task" / files.MANIFEST).unlink()


def test_a_folder_with_anything_else_is_left_alone(world: World, tmp_path: Path):
    data = save(tmp_path / "texts.jsonl", TEXTS)
    made = config(tmp_path / "config.toml", world, data)
    assert call("run", made, "--out", tmp_path, "--until", "task") == 2
    assert {path.name for path in tmp_path.iterdir()} >= {"config.toml", "texts.jsonl"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.toml").write_text("mine")
    assert call("run", made, "--out", tmp_path / "other", "--until", "task") == 2
    assert (tmp_path / "other" / "config.toml").read_text() == "mine"


# Paths


@pytest.mark.slow
def test_relative_paths_start_at_the_config_and_survive_a_move(world: World, tmp_path: Path, monkeypatch, capsys):
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    (home / "elsewhere").mkdir()
    save(home / "data" / "texts.jsonl", TEXTS)
    made = config(home / "own.toml", world, "data/texts.jsonl")
    monkeypatch.chdir(home / "elsewhere")
    assert call("run", made, "--out", home / "runs" / "own", "--until", "collect") == 0
    shutil.move(home / "runs" / "own", tmp_path / "moved")  # the run alone
    assert call("step", tmp_path / "moved", "reference") == 0
    shutil.move(tmp_path / "moved", home / "runs" / "own")
    home.rename(tmp_path / "new")  # the run with all that belongs to it
    assert path_of(tmp_path / "new" / "runs" / "own") == tmp_path / "new" / "data" / "texts.jsonl"
    monkeypatch.chdir(tmp_path / "new" / "data")
    assert call("run", config(tmp_path / "new" / "own.toml", world, "texts.jsonl"), "--out", tmp_path / "run") == 2
    assert "data/texts.jsonl" in str(printed(capsys.readouterr().err).given)


def test_home_and_folders_beside_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(feature_config, "_declared", lambda: {"package.module:far": None})
    (tmp_path / "model").mkdir()
    text = """
[subject]
model = "{model}"
projections = {{ probe = "~/probe.npy" }}
[task]
name = "texts"
{source}
[features]
long = {{ function = "own.py:long" }}
far = {{ function = "package.module:far" }}
"""
    for model, source, expected in (
        ("model", 'path = "~/a.txt"', (f"{tmp_path}/model", f"{tmp_path}/home/a.txt")),
        ("org/name", 'path = "../a.txt"', ("org/name", f"{tmp_path.parent}/a.txt")),
        ("./model", 'dataset = "org/data"', (f"{tmp_path}/model", "org/data")),
        ("~/model", 'dataset = "model"', (f"{tmp_path}/home/model", f"{tmp_path}/model")),
    ):
        read = RunConfig.parse(text.format(model=model, source=source), "a config", tmp_path)
        assert isinstance(read.task, TextsConfig)
        assert (read.subject.model, str(read.task.path or read.task.dataset)) == expected
        assert [feature.function for feature in read.features.values()] == [
            f"{tmp_path}/own.py:long",
            "package.module:far",
        ]
        assert str(read.subject.projections["probe"]) == f"{tmp_path}/home/probe.npy"


def test_a_file_of_a_task_is_found_beside_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = Path(__file__).parent / "planted_entities_task.py"
    name = re.search(r'name: Literal\["(.*?)"\]', source.read_text())
    assert name is not None
    shutil.copy(source, tmp_path / "own_task.py")
    text = f'[task]\nname = "{name[1]}"\nfile = "own_task.py"\n'
    assert RunConfig.parse(text, "a config", tmp_path).task.file == tmp_path / "own_task.py"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    with refuses("../own_task.py"):
        RunConfig.parse(text, "a config", tmp_path / "sub")


# Sizes


@pytest.mark.parametrize(
    ("rows", "sizes", "expected"),
    [
        (64, "", ("all", "all", 24)),
        (10, "", ("all", "all", 10)),
        (64, "targets = 6\n", ("all", "all", 6)),
        (64, "train = 20\n", (20, "all", 24)),
        (64, "pool = 30\ntargets = 4\n", (30, 30, 4)),
        (64, 'train = "all"\n', ("all", "all", 24)),
        (8100, "", (5000, 3000, 24)),
    ],
)
def test_sizes_follow_the_file(rows: int, sizes: str, expected: tuple, tmp_path: Path):
    data = save(tmp_path / "texts.jsonl", [f"text {number}" for number in range(rows)])
    text = CONFIG.format(path=data, more=f"[sample]\nbandwidths = [0.1]\n[collect]\n{sizes}")
    parsed = RunConfig.parse(text, "a config")
    found = sized(parsed, load_task(parsed.task, WordSubject()), 0).collect
    assert (found.train, found.pool, found.targets) == expected


def test_sizes_are_recorded_and_kept(world: World, tmp_path: Path):
    data, run = save(tmp_path / "texts.jsonl", TEXTS), tmp_path / "run"
    assert call("run", config(tmp_path / "own.toml", world, data, sizes=""), "--out", run, "--until", "collect") == 0
    sizes = files.read_json(run / "resolved.json")["collect"]
    assert (sizes["train"], sizes["pool"], sizes["targets"]) == ("all", "all", 24)
    assert Run.open(run).config.collect.pool == "all"


# The reference alone


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without a generator, its sizes by its file; beside it `own.toml`."""
    folder = tmp_path_factory.mktemp("alone")
    world = world_in(folder)
    save(folder / "texts.jsonl", TEXTS)
    made = config(folder / "own.toml", world, "texts.jsonl", sizes="")
    made.write_text(re.sub(r"(\[generator\]\nsites = ).*", r"\1[]", made.read_text()))
    assert call("run", made, "--out", folder / "run") == 0
    return folder / "run"


@pytest.mark.slow
def test_a_run_without_a_generator_scores_the_reference(alone: Path, capsys: pytest.CaptureFixture[str]):
    assert differences(alone) == []
    rows = pq.read_table(alone / "score" / "results.parquet").to_pylist()
    assert {row["method"] for row in rows} <= {"reference", "nearest", "same ending"}
    assert any(row["feature"] == "who" and row["corrected"] is not None for row in rows)
    assert list((alone / "train").iterdir()) == [alone / "train" / files.MANIFEST]
    for step in ("calibrate", "score", "mine", "causal"):
        assert call("step", alone, step) == 0
    assert "no generator" in capsys.readouterr().out
    page = (alone / "report" / "report.html").read_text()
    assert "has no generator" in page and "who" in page
    assert call("run", alone.parent / "own.toml", "--dry-run") == 0
    assert "generator 0 bytes" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("invert", "a gave b a ring", "--site", "resid_post.1", "--run"),
        ("explain", "a gave b a ring", "--site", "resid_post.1", "--run"),
        ("arena",),
        ("disentangle",),
        ("compare", "--site", "resid_post.1", "--site", "resid_post.0", "-b", "0.1", "--feature", "who"),
    ],
)
def test_what_needs_a_generator_says_so(alone: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    given = [command[0], alone, *command[1:]] if command[0] == "compare" else [*command, alone]
    assert call(*given) == 2
    printed(capsys.readouterr().err)
