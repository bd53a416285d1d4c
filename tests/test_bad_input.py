"""Bad input ends with a message that says what was wrong and what to do, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from refusals import check, printed
from safetensors.torch import load_file, save_file
from small_subject import World, call, config_text, save_subject

from inversescope import __version__, files

Refused = Callable[..., str]


@pytest.fixture
def config(world: World, tmp_path: Path) -> Callable[..., Path]:
    """Writes the small config with some of its text replaced (pairs of old and new)."""

    def write(*changes: tuple[str, str]) -> Path:
        text = config_text(world.model)
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "bad.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command that must be refused, with these values in its message: see `refusals.check`."""

    def run(*command: object, names: tuple[str, ...] = (), **values: object) -> str:
        capsys.readouterr()
        assert call(*command) == 2
        message = capsys.readouterr().err
        check(printed(message), *names, **values)
        return message

    return run


def contents(folder: Path) -> dict[str, str]:
    """Every file below the folder with its hash."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def numbers(run: Path) -> bytes:
    return (run / "score" / "results.json").read_bytes()


# Configs


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (("width = 16", "widht = 16"), {"given": "generator.widht", "allowed": "width"}),
        (("force = true", "forse = true"), {"given": "task.forse", "allowed": "force"}),
        (("seed = 3", "sed = 3"), {"given": "sed", "allowed": "seed, subject"}),
        (("seed = 3", "seed = 9999999999"), {"given": ("seed", 4294967296, 9999999999)}),
        (('dtype = "float32"', 'dtype = "float32"\nprefix = "foo"'), {"given": ("subject.prefix: Input", "foo")}),
        (('name = "ioi"', 'name = "oi"'), {"given": ("task", "'oi'", "ioi", "texts")}),
        (("width = 16", "width = 17"), {"given": ("width 17", "heads 2")}),
        (("[0.1, 0.5]", "[0.1, 5.0]"), {"given": ("sample.bandwidths", "5.0", "train.bandwidths 0.02 to 1.0")}),
        (("[0.1, 0.5]", "[0.1, 0.0]"), {"given": ("sample.bandwidths.1", "0.0")}),
        (("[0.1, 0.5]", "[0.1, -0.5]"), {"given": ("sample.bandwidths.1", "-0.5")}),
        (("[0.1, 0.5]", "[0.1, inf]"), {"given": ("sample.bandwidths.1", "inf")}),
        (("[0.1, 0.5]", "[0.1, 0.1]"), {"given": ("sample", "[0.1, 0.1]")}),
        (("[0.02, 1.0]", "[0.5, 0.5]"), {"given": ("train", 0.5)}),
        (("[sample]", "[causal]\nbandwidth = 0.2\n\n[sample]"), {"given": ("causal.bandwidth", 0.2, "[0.1, 0.5]")}),
        (("[sample]", "[calibrate]\ntargets = 1\n\n[sample]"), {"given": ("calibrate.targets", 1)}),
        (("seed = 3", "seed: 3"), {"given": ("bad.toml", "line 1")}),
        (("[subject]", "[subject"), {"given": ("bad.toml", "line 3")}),
    ],
)
def test_a_config_that_is_wrong(config, refused: Refused, tmp_path: Path, change: tuple[str, str], values: dict):
    refused("run", config(change), "--out", tmp_path / "run", names=("config",), **values)
    assert not (tmp_path / "run").exists()


def test_a_config_that_is_not_there_or_not_text(refused: Refused, tmp_path: Path):
    refused("run", tmp_path / "none.toml", given=("none.toml", "No such file"), remedy="inversescope demo")
    refused("run", tmp_path, given=(tmp_path, "Is a directory"))
    (tmp_path / "latin.toml").write_bytes("# übung".encode("latin-1"))
    refused("run", tmp_path / "latin.toml", names=("UTF-8",), given=("latin.toml", "position 2"))


# Models and sites


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (("resid_post.*", "resid_past.*"), {"given": "resid_past.*", "allowed": "resid_post"}),
        (("resid_post.*", "resid_post.2"), {"given": "resid_post.2", "allowed": "layer 0 to 1"}),
        (("z.1.*", "z.1.2"), {"given": "z.1.2", "allowed": "head 0 to 1"}),
        (('"z.1.0"', '"z.0.0"'), {"given": "z.0.0", "allowed": "resid_post.*, z.1.*"}),
    ],
)
def test_a_site_that_is_not_there(config, refused: Refused, tmp_path: Path, change: tuple[str, str], values: dict):
    refused("run", config(change), "--out", tmp_path / "run", **values)
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_not_there(world: World, config, refused: Refused, tmp_path: Path):
    change = (str(world.model), str(tmp_path / "nothing"))
    refused("run", config(change), "--out", tmp_path / "run", given=tmp_path / "nothing", allowed="smollm2")
    refused("sites", tmp_path / "nothing", given=tmp_path / "nothing", allowed="smollm2")
    assert not (tmp_path / "run").exists()


# Tasks


def test_a_task_that_the_subject_cannot_do(config, refused: Refused, tmp_path: Path):
    run = tmp_path / "run"
    values = {"allowed": 0.9, "remedy": "force = true"}
    message = refused("run", config(("force = true", "force = false")), "--out", run, **values)
    accuracy = json.loads((run / "task" / "accuracy.json").read_text())
    check(printed(message), given=(f"{accuracy['value']:.3f}", accuracy["n"]))
    assert accuracy["value"] < accuracy["needed"] == 0.9  # measured and kept, and the step is not done
    assert not files.finished(run / "task")


@pytest.mark.parametrize(
    ("name", "content", "values"),
    [
        ("t.txt", b"", {"given": "t.txt"}),
        ("t.txt", b"\n \n", {"given": "t.txt: 2"}),
        ("t.txt", "Mary\nJos\u00e9".encode("latin-1"), {"given": ("t.txt", "line 2"), "remedy": "UTF-8"}),
        ("t.jsonl", b'{"body": "Mary went", "k": 1}\n', {"given": "text of", "allowed": "body, k"}),
        ("t.parquet", None, {"given": "text of", "allowed": "words"}),
        ("t.txt", b"Mary went\nJohn went\n", {"given": "of 30", "remedy": "collect.train"}),
        ("gone.txt", None, {"given": "gone.txt"}),
        ("t.jsonl", b'{"text": "Mary", "at": 4}\n', {"names": ("line 1",), "given": 4, "allowed": "0 to 2"}),
    ],
)
def test_texts_that_cannot_be_used(config, refused: Refused, tmp_path: Path, name: str, content, values: dict):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"words": ["Mary went"]}), path)
    text = config().read_text()
    start, end = text.index("[task]"), text.index("[collect]")
    task = f'[task]\nname = "texts"\npath = "{path}"\n' + (
        'position_column = "at"\n' if b'"at"' in (content or b"") else ""
    )
    (tmp_path / "texts.toml").write_text(text[:start] + task + text[end:])
    refused("run", tmp_path / "texts.toml", "--out", tmp_path / "run", **values)


@pytest.mark.parametrize(
    ("task", "values"),
    [
        ("", {"given": ("task", "path", "dataset")}),
        ('path = "t.txt"\ndataset = "t"', {"given": ("task", "path", "dataset")}),
        ('path = "t.txt"\nsplit = "test"', {"given": ("task", "split", "dataset")}),
        ('path = "t.txt"\nposition = 1\nposition_column = "at"', {"given": ("position", "position_column")}),
        ('path = "t.txt"\nposition = true', {"given": "task.position"}),
        ('dataset = "{folder}/none"', {"given": "none", "allowed": "Hugging Face"}),
        ('dataset = "{folder}/saved"\nsplit = "test"', {"given": "'test'", "allowed": "train"}),
        ('dataset = "{folder}/saved"\ncolumn = "body"', {"given": "body of", "allowed": "text, kind"}),
    ],
)
def test_a_source_of_texts_that_cannot_be_used(config, refused: Refused, tmp_path: Path, task: str, values: dict):
    data = datasets.Dataset.from_dict({"text": ["Mary went"], "kind": ["a"]})
    datasets.DatasetDict({"train": data}).save_to_disk(tmp_path / "saved")
    text = config().read_text()
    start, end = text.index("[task]"), text.index("[collect]")
    settings = f'[task]\nname = "texts"\n{task.format(folder=tmp_path)}\n'
    (tmp_path / "texts.toml").write_text(text[:start] + settings + text[end:])
    refused("run", tmp_path / "texts.toml", "--out", tmp_path / "run", **values)


# Run directories


@pytest.fixture
def begun(world: World, tmp_path: Path) -> Path:
    """A copy of the finished run, with everything after `collect` undone."""
    run = tmp_path / "begun"
    shutil.copytree(world.run, run)
    for step in ("reference", "train", "calibrate", "sample", "verify", "score", "mine", "causal", "report"):
        shutil.rmtree(run / step)
    (run / files.MANIFEST).unlink()
    return run


def test_a_folder_in_use(world: World, refused: Refused, tmp_path: Path):
    before = contents(world.run)
    refused("run", world.config, "--out", world.run, given=world.run, allowed=True, remedy="--resume")
    assert contents(world.run) == before
    (tmp_path / "file").write_text("mine")
    refused("run", world.config, "--out", tmp_path / "file", given=tmp_path / "file", allowed=True)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.toml").write_text("# another config\n")
    refused("run", world.config, "--out", mine, "--resume", given=mine, allowed=True)
    assert contents(mine) == {"config.toml": hashlib.sha256(b"# another config\n").hexdigest()}


def test_another_config(world: World, begun: Path, config, refused: Refused):
    other = config(("seed = 3", "seed = 4"))
    for run in (begun, world.run):
        before = contents(run)
        refused("run", other, "--out", run, "--resume", given=run / "config.toml", remedy="inversescope extend")
        assert contents(run) == before


def test_another_subject(world: World, refused: Refused, tmp_path: Path):
    model, run, toml = tmp_path / "model", tmp_path / "run", tmp_path / "run.toml"
    save_subject(model)
    toml.write_text(config_text(model))
    assert call("run", toml, "--out", run, "--until", "collect") == 0
    before = contents(run)
    save_subject(model, seed=1)
    values = {"given": "fingerprint", "allowed": "fingerprint", "remedy": True}
    message = refused("run", toml, "--out", run, "--resume", **values)
    given, allowed = re.findall(r"fingerprint (\w{16})", message)
    known = files.read_json(run / "provenance.json")["subject"]["fingerprint"]
    assert given != allowed == known[:16]
    after = contents(run)
    assert {name: after[name] for name in before} == before
    save_subject(model)
    assert call("run", toml, "--out", run, "--resume", "--until", "collect") == 0
    assert contents(run) == before


def test_another_version(world: World, begun: Path, refused: Refused):
    made_by = files.read_sealed(begun / "provenance.json")
    files.write_sealed(begun / "provenance.json", made_by | {"inversescope": "0.0.7"})
    before = contents(begun)
    values = {"given": "version 0.0.7", "allowed": f"version {__version__}", "remedy": "version 0.0.7"}
    refused("run", world.config, "--out", begun, "--resume", **values)
    refused("step", begun, "train", **values)
    refused("invert", "When Mary", "--site", "resid_post.1", "--run", begun, **values)
    assert contents(begun) == before


def test_no_run_directory(refused: Refused, begun: Path, tmp_path: Path):
    refused("step", tmp_path / "none", "train", given=(tmp_path / "none", "config.toml"), remedy="inversescope run")
    (begun / "provenance.json").write_text('{"inversescope": ')
    refused("step", begun, "train", given=begun / "provenance.json", allowed=True, remedy=True)


def test_a_step_out_of_order(begun: Path, refused: Refused):
    refused(
        "step", begun, "score", names=("score", "reference"), given=begun, remedy=f"inversescope step {begun} reference"
    )
    refused("invert", "When Mary", "--site", "resid_post.1", "--run", begun, given=begun, remedy="--resume")
    assert not (begun / "score").exists()


def test_a_step_that_stands_on_what_is_no_more(world: World, refused: Refused, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(world.run, run)
    path = run / "train" / "generator.safetensors"
    save_file({name: weight * 1.5 for name, weight in load_file(path).items()}, path)
    manifest = dict(files.manifest(run / "train"))
    others = [run / "train" / name for name in manifest.pop("files")]
    files.finish(run / "train", others, **manifest)
    shutil.rmtree(run / "report")
    refused(
        "step", run, "report", names=("train", "calibrate"), given="train", allowed="train", remedy=run / "calibrate"
    )


# What goes wrong on the way


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def second_shard(run: Path) -> str:
    """The file of the pool's second shard."""
    return [shard["file"] for shard in files.read_json(run / "collect" / "shards.json") if shard["split"] == "pool"][1]


def test_a_damaged_shard_is_found_and_can_be_made_again(world: World, begun: Path, refused: Refused):
    shard = begun / "collect" / second_shard(begun)
    damage(shard)
    values = {"given": shard, "allowed": True, "remedy": begun / "collect"}
    resume = ("run", world.config, "--out", begun, "--resume")
    refused(*resume, **values)
    shutil.rmtree(begun / "collect")  # what the message says
    assert call(*resume) == 0
    assert numbers(begun) == numbers(world.run)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, the device that is always full")
@pytest.mark.parametrize("name", ["collect/inputs.parquet", "collect/shards.json", "a shard"])
def test_a_full_disk_costs_nothing_that_was_written(world: World, begun: Path, refused: Refused, name: str):
    name = f"collect/{second_shard(begun)}" if name == "a shard" else name
    for path in (begun / "collect").iterdir():
        path.unlink()
    full = (begun / name).with_name(f".{Path(name).name}.{os.getpid()}.part")
    full.symlink_to("/dev/full")  # where the file is written before it is moved: what arrives is a real ENOSPC
    resume = ("run", world.config, "--out", begun, "--resume")
    refused(*resume, given=begun / name, remedy="--resume")
    kept = contents(begun / "collect")
    assert not (begun / name).exists() and not full.is_symlink()
    assert any(file.startswith("train-") for file in kept) == (name != "collect/inputs.parquet")
    assert call(*resume, "--until", "collect") == 0
    assert contents(begun / "collect") == contents(world.run / "collect")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_out_of_memory(world: World, begun: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, error: Exception):
    def fail(*_: object, **__: object) -> None:
        raise error

    shutil.rmtree(begun / "collect")
    resume = ("run", world.config, "--out", begun, "--resume")
    with monkeypatch.context() as patch:
        patch.setattr("transformers.models.llama.modeling_llama.LlamaModel.forward", fail)
        refused(*resume, names=("memory", "subject"), given=True, remedy="batch")
    with monkeypatch.context() as patch:
        patch.setattr("inversescope.run.pipeline.train.train", fail)
        refused(*resume, names=("memory",), given="train.batch = 24", remedy="train.batch")
    assert contents(begun / "collect") == contents(world.run / "collect")
    assert not files.finished(begun / "train")


def test_activations_that_are_not_numbers(world: World, refused: Refused, tmp_path: Path):
    model = tmp_path / "model"
    shutil.copytree(world.model, model)
    weights = load_file(model / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = torch.nan
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "run.toml").write_text(config_text(model))
    refused("run", tmp_path / "run.toml", "--out", tmp_path / "run", given="input 0", remedy=True)


def test_a_file_that_the_system_refuses(world: World, refused: Refused, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    refused("run", world.config, "--out", tmp_path / "file" / "run", given=(tmp_path / "file", "Not a directory"))
    assert (tmp_path / "file").read_text() == "mine"


# Questions to a trained run


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (("--bandwidth", "0"), {"given": 0, "allowed": "0.02 to 1"}),
        (("--bandwidth", "-1"), {"given": -1, "allowed": "0.02 to 1"}),
        (("--bandwidth", "nan"), {"given": "nan", "allowed": "0.02 to 1"}),
        (("--site", "z.1.1"), {"given": "z.1.1", "allowed": "resid_post.0, z.1.0, resid_post.1"}),
        (("--site", "nowhere"), {"given": "nowhere", "allowed": "POINT.LAYER"}),
    ],
)
def test_a_question_that_has_no_answer(world: World, refused: Refused, options: tuple[str, str], values: dict):
    refused("invert", "When Mary", "--run", world.run, "--site", "resid_post.1", *options, **values)


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (("",), {"given": "''"}),
        ((), {"given": "neither", "allowed": ("TEXT", "--messages")}),
        (("When Mary", "--messages", "talk.json"), {"given": "both", "allowed": ("TEXT", "--messages")}),
        (("When Mary", "--position", "9"), {"given": 9, "allowed": ("0 to 1", "-2 to -1")}),
        (("When Mary", "--position", "-3"), {"given": -3, "allowed": ("0 to 1", "-2 to -1")}),
        (("When Mary", "--position", "Paul"), {"given": "'Paul'", "allowed": "last"}),
        (("so so", "--position", "so"), {"given": "'so'", "allowed": ("1 in 'so so'", "3 in"), "remedy": True}),
        (("--messages", "none.json"), {"given": ("none.json", "No such file")}),
        (("--messages", "broken.json"), {"names": ("JSON",), "given": "broken.json"}),
        (("--messages", "talk.json"), {"given": "1 message", "remedy": True}),
        (("--messages", "words.json"), {"given": "message 0: 'hello'", "allowed": True}),
    ],
)
def test_a_text_that_cannot_be_read(
    world: World, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple, values: dict
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.json").write_text('[{"role": "user", "content": "Who went?"}]')
    (tmp_path / "words.json").write_text('["hello"]')
    (tmp_path / "broken.json").write_text("[")
    refused("invert", *arguments, "--run", world.run, "--site", "resid_post.1", **values)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("no-such-command",), "no-such-command"),
        (("run",), "CONFIG"),
        (("run", "x.toml", "--no-such-option"), "--no-such-option"),
        (("invert", "text", "--site", "z.0.0", "--bandwidth", "wide"), "--bandwidth"),
        (("invert", "text", "--site", "z.0.0", "-n", "0"), "-n"),
        (("invert", "text", "--site", "z.0.0", "--seed", "-1"), "--seed"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]):
    assert call(*arguments) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message and re.search(rf"(?<!\w){re.escape(named)}(?!\w)", message)


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (("--site", "resid_post.9"), {"given": "resid_post.9", "allowed": "resid_post.0"}),
        (("--feature", "colour"), {"given": "colour", "allowed": "subject"}),
        (("--bandwidth", "0.7"), {"given": 0.7, "allowed": "0.1, 0.5"}),
        (("--method", "reference"), {"given": "reference", "allowed": "weighted, generator"}),
    ],
)
def test_samples_that_a_run_does_not_have(world: World, refused: Refused, arguments: tuple, values: dict):
    place = {"--site": "resid_post.1", "--feature": "subject", "--bandwidth": "0.5"} | {arguments[0]: arguments[1]}
    refused("power", world.run, *(word for pair in place.items() for word in pair), **values)


def test_what_is_planned_from_a_run_needs_a_place_in_it(world: World, refused: Refused, tmp_path: Path):
    refused(
        "power", world.run, "--site", "resid_post.1", allowed=("--feature", "--site", "--resolution", "--bandwidth")
    )
    place = ("--site", "z.1.0", "--feature", "subject", "--bandwidth", "0.5")
    refused("power", tmp_path, *place, given=tmp_path, remedy=f"inversescope step {tmp_path} verify")
    three = ("--site", "z.1.0") * 2
    refused("compare", world.run, *place, *three, given="--site 3 times", allowed=2)


def test_no_such_step(world: World, refused: Refused):
    refused("run", world.config, "--until", "trian", given="trian", allowed=("task", "collect", "train"))
