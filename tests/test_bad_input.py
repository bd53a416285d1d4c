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
from safetensors.torch import load_file, save_file
from small_subject import World, call, config_text, save_subject, world_in

from inversescope import files

Refused = Callable[..., str]


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world_in(tmp_path_factory.getbasetemp())


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
    """Runs a command that must be refused, with these pieces in this order in its message."""

    def run(*arguments: object, says: tuple[str, ...]) -> str:
        capsys.readouterr()
        assert call(*arguments) == 2
        message = capsys.readouterr().err
        assert "Traceback" not in message
        assert re.search(r"^error: ", message, re.M), message
        assert re.search(".*".join(map(re.escape, says)), message, re.S), message
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
    ("change", "says"),
    [
        (("width = 16", "widht = 16"), ("generator.widht: there is no such key", "allowed: in generator:", "width")),
        (("force = true", "forse = true"), ("task.forse: there is no such key", "allowed: in task:", "force")),
        (("seed = 3", "sed = 3"), ("sed: there is no such key", "allowed: in config: seed, subject")),
        (("seed = 3", "seed = 9999999999"), ("seed: Input should be less than 4294967296", "given 9999999999")),
        (('name = "ioi"', 'name = "oi"'), ("task: there is no task 'oi' (allowed:", "ioi", "texts")),
        (("width = 16", "width = 17"), ("width 17 is not a multiple of heads 2",)),
        (("[0.1, 0.5]", "[0.1, 5.0]"), ("sample.bandwidths [5.0] lie outside train.bandwidths 0.02 to 1.0",)),
        (("[0.1, 0.5]", "[0.1, 0.0]"), ("sample.bandwidths.1: Input should be greater than 0", "given 0.0")),
        (("[0.1, 0.5]", "[0.1, -0.5]"), ("sample.bandwidths.1: Input should be greater than 0", "given -0.5")),
        (("[0.1, 0.5]", "[0.1, inf]"), ("sample.bandwidths.1: Input should be a finite number",)),
        (("[0.1, 0.5]", "[0.1, 0.1]"), ("a bandwidth is named twice",)),
        (("[0.02, 1.0]", "[0.5, 0.5]"), ("bandwidths must rise",)),
        (("[sample]", "[causal]\nbandwidth = 0.2\n\n[sample]"), ("causal.bandwidth 0.2 is not among [0.1, 0.5]",)),
        (
            ("[sample]", "[causal]\ndonors = 0\n\n[sample]"),
            ("causal.donors: Input should be greater than 0", "given 0"),
        ),
        (("seed = 3", "seed: 3"), ("not valid TOML", "bad.toml", "line 1")),
        (("[subject]", "[subject"), ("not valid TOML", "bad.toml")),
    ],
)
def test_a_config_that_is_wrong(config, refused: Refused, tmp_path: Path, change: tuple[str, str], says: tuple):
    refused("run", config(change), "--out", tmp_path / "run", says=("the config", *says))
    assert not (tmp_path / "run").exists()


def test_a_config_that_is_not_there_or_not_text(refused: Refused, tmp_path: Path):
    missing = ("the config cannot be read", "none.toml: No such file", "try:     inversescope demo --print-config")
    refused("run", tmp_path / "none.toml", says=missing)
    refused("run", tmp_path, says=("the config cannot be read", "Is a directory"))
    (tmp_path / "latin.toml").write_bytes("# übung".encode("latin-1"))
    refused("run", tmp_path / "latin.toml", says=("the config is not UTF-8 text", "latin.toml"))


# Models and sites


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("resid_post.*", "resid_past.*"), ("not the address of a site", "resid_past.*", "allowed:", "resid_post")),
        (("resid_post.*", "resid_post.2"), ("this subject has no layer 2", "given:   resid_post.2", "layer 0 to 1")),
        (("z.1.*", "z.1.2"), ("this subject has no head 2", "given:   z.1.2", "allowed: head 0 to 1")),
        (('"z.1.0"', '"z.0.0"'), ("generator.sites must be among collect.sites", "z.0.0", "resid_post.*, z.1.*")),
    ],
)
def test_a_site_that_is_not_there(config, refused: Refused, tmp_path: Path, change: tuple[str, str], says: tuple):
    refused("run", config(change), "--out", tmp_path / "run", says=says)
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_not_there(world: World, config, refused: Refused, tmp_path: Path):
    change = (str(world.model), str(tmp_path / "nothing"))
    refused("run", config(change), "--out", tmp_path / "run", says=("could not be loaded", "nothing", "smollm2"))
    refused("sites", tmp_path / "nothing", says=("could not be loaded", "nothing", "allowed:", "smollm2"))
    assert not (tmp_path / "run").exists()


# Tasks


def test_a_task_that_the_subject_cannot_do(config, refused: Refused, tmp_path: Path):
    run = tmp_path / "run"
    says = ("cannot do this task", "accuracy 0.", "allowed: at least 0.9", "try:", "force = true")
    refused("run", config(("force = true", "force = false")), "--out", run, says=says)
    accuracy = json.loads((run / "task" / "accuracy.json").read_text())
    assert accuracy["value"] < accuracy["needed"] == 0.9  # measured and kept, and the step is not done
    assert not files.finished(run / "task")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.txt", b"", ("there is no row to read", "t.txt")),
        ("t.txt", b"\n \n", ("no row holds a text", "t.txt: 2 blank rows")),
        ("t.txt", "Mary\nJos\u00e9".encode("latin-1"), ("the file is not UTF-8", "line 2", "save it as UTF-8")),
        ("t.jsonl", b'{"body": "Mary went", "k": 1}\n', ("no such column", "text of", "allowed: body, k")),
        ("t.parquet", None, ("no such column", "text of", "allowed: words")),
        ("t.txt", b"Mary went\nJohn went\n", ("too few different inputs", "of 30", "ask for fewer")),
        ("gone.txt", None, ("there is no such file", "gone.txt")),
        ("t.jsonl", b'{"text": "Mary", "at": 4}\n', ("line 1: this position lies outside", "given:   4", "0 to 2")),
    ],
)
def test_texts_that_cannot_be_used(config, refused: Refused, tmp_path: Path, name: str, content, says: tuple):
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
    refused("run", tmp_path / "texts.toml", "--out", tmp_path / "run", says=says)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("", ("task: either path or dataset says where the texts are",)),
        ('path = "t.txt"\ndataset = "t"', ("either path or dataset",)),
        ('path = "t.txt"\nsplit = "test"', ("subset and split belong to a dataset",)),
        ('path = "t.txt"\nposition = 1\nposition_column = "at"', ("either position or position_column",)),
        ('path = "t.txt"\nposition = true', ("task.position",)),
        ('dataset = "{folder}/none"', ("the data set cannot be read", "none", "allowed: a data set's name")),
        ('dataset = "{folder}/saved"\nsplit = "test"', ("no such split", "'test'", "allowed: train")),
        ('dataset = "{folder}/saved"\ncolumn = "body"', ("no such column", "body of", "allowed: text, kind")),
    ],
)
def test_a_source_of_texts_that_cannot_be_used(config, refused: Refused, tmp_path: Path, task: str, says: tuple):
    data = datasets.Dataset.from_dict({"text": ["Mary went"], "kind": ["a"]})
    datasets.DatasetDict({"train": data}).save_to_disk(tmp_path / "saved")
    text = config().read_text()
    start, end = text.index("[task]"), text.index("[collect]")
    settings = f'[task]\nname = "texts"\n{task.format(folder=tmp_path)}\n'
    (tmp_path / "texts.toml").write_text(text[:start] + settings + text[end:])
    refused("run", tmp_path / "texts.toml", "--out", tmp_path / "run", says=says)


# Run directories


@pytest.fixture
def begun(world: World, tmp_path: Path) -> Path:
    """A copy of the finished run, with everything after `collect` undone."""
    run = tmp_path / "begun"
    shutil.copytree(world.run, run)
    for step in ("train", "sample", "verify", "reference", "causal", "score", "report"):
        shutil.rmtree(run / step)
    (run / files.MANIFEST).unlink()
    return run


def test_a_folder_in_use(world: World, refused: Refused, tmp_path: Path):
    before = contents(world.run)
    refused("run", world.config, "--out", world.run, says=("the folder is not empty", "another folder, or --resume"))
    refused("run", world.config, "--out", world.run, says=("the folder is not empty",))
    assert contents(world.run) == before
    (tmp_path / "file").write_text("mine")
    refused("run", world.config, "--out", tmp_path / "file", says=("the folder is not empty", str(tmp_path / "file")))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.toml").write_text("# another config\n")
    refused("run", world.config, "--out", mine, "--resume", says=("the folder is not empty",))
    assert contents(mine) == {"config.toml": hashlib.sha256(b"# another config\n").hexdigest()}


def test_another_config(world: World, begun: Path, config, refused: Refused):
    other = config(("seed = 3", "seed = 4"))
    for run in (begun, world.run):
        before = contents(run)
        says = ("started with another config", f"given:   {run / 'config.toml'}", "try:")
        refused("run", other, "--out", run, "--resume", says=says)
        assert contents(run) == before


def test_another_subject(world: World, refused: Refused, tmp_path: Path):
    model, run, toml = tmp_path / "model", tmp_path / "run", tmp_path / "run.toml"
    save_subject(model)
    toml.write_text(config_text(model))
    assert call("run", toml, "--out", run, "--until", "collect") == 0
    before = contents(run)
    save_subject(model, seed=1)
    says = ("is not the one that this run was made with", "given:   fingerprint", "allowed: fingerprint", "try:")
    message = refused("run", toml, "--out", run, "--resume", says=says)
    given, allowed = re.findall(r"fingerprint (\w{16})", message)
    known = files.read_json(run / "provenance.json")["subject"]["fingerprint"]
    assert given != allowed == known[:16]
    after = contents(run)
    assert {name: after[name] for name in before} == before
    save_subject(model)
    assert call("run", toml, "--out", run, "--resume", "--until", "collect") == 0
    assert contents(run) == before


def test_another_version(world: World, begun: Path, refused: Refused):
    made_by = files.read_json(begun / "provenance.json")
    files.write_json(begun / "provenance.json", made_by | {"inversescope": "0.0.7"})
    before = contents(begun)
    says = ("made by another version", "version 0.0.7", "allowed: version", "inversescope==0.0.7")
    refused("run", world.config, "--out", begun, "--resume", says=says)
    refused("step", begun, "train", says=says)
    refused("invert", "When Mary", "--site", "resid_post.1", "--run", begun, says=says)
    assert contents(begun) == before


def test_no_run_directory(refused: Refused, begun: Path, tmp_path: Path):
    refused(
        "step", tmp_path / "none", "train", says=("not a run directory", "no config.toml", "inversescope run CONFIG")
    )
    (begun / "provenance.json").write_text('{"inversescope": ')
    refused("step", begun, "train", says=("not readable as JSON", "provenance.json"))


def test_a_step_out_of_order(begun: Path, refused: Refused):
    says = (
        "step score needs step reference, which is not done",
        f"given:   {begun}",
        f"inversescope step {begun} reference",
    )
    refused("step", begun, "score", says=says)
    refused("invert", "When Mary", "--site", "resid_post.1", "--run", begun, says=("no trained generator yet",))
    assert not (begun / "score").exists()


def test_a_step_that_stands_on_what_is_no_more(world: World, refused: Refused, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(world.run, run)
    path = run / "train" / "generator.safetensors"
    save_file({name: weight * 1.5 for name, weight in load_file(path).items()}, path)
    manifest = files.read_json(run / "train" / files.MANIFEST)
    others = [run / "train" / name for name in manifest.pop("files")]
    files.finish(run / "train", others, **manifest)
    says = ("step train was done again with another result", "step calibrate", f"delete the folder {run / 'calibrate'}")
    shutil.rmtree(run / "report")
    refused("step", run, "report", says=says)


# What goes wrong on the way


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_shard_is_found_and_can_be_made_again(world: World, begun: Path, refused: Refused):
    shard = begun / "collect" / "pool-00001.safetensors"
    damage(shard)
    says = ("not what was written", f"given:   {shard}: ", "allowed: ", f"delete the folder {begun / 'collect'}")
    resume = ("run", world.config, "--out", begun, "--resume")
    refused(*resume, says=says)
    (begun / "collect" / files.MANIFEST).unlink()  # as if collect had been interrupted after this shard
    refused(*resume, says=says)
    shutil.rmtree(begun / "collect")  # what the message says
    assert call(*resume) == 0
    assert numbers(begun) == numbers(world.run)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, the device that is always full")
@pytest.mark.parametrize("name", ["collect/pool-00001.safetensors", "collect/inputs.parquet", "collect/shards.json"])
def test_a_full_disk_costs_nothing_that_was_written(world: World, begun: Path, refused: Refused, name: str):
    for path in (begun / "collect").iterdir():
        path.unlink()
    full = (begun / name).with_name(f".{Path(name).name}.{os.getpid()}.part")
    full.symlink_to("/dev/full")  # where the file is written before it is moved: what arrives is a real ENOSPC
    resume = ("run", world.config, "--out", begun, "--resume")
    refused(*resume, says=("the disk is full", str(begun / name), "try:", "free some space", "--resume"))
    kept = contents(begun / "collect")
    assert not (begun / name).exists() and not full.is_symlink()
    assert ("train-00000.safetensors" in kept) == (name != "collect/inputs.parquet")
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
        refused(*resume, says=("memory ran out while reading the subject", "given:", "try:", "a smaller batch"))
    with monkeypatch.context() as patch:
        patch.setattr("inversescope.run.pipeline.train.train", fail)
        refused(*resume, says=("memory ran out while training", "train.batch = 24", "a smaller batch (train.batch)"))
    assert contents(begun / "collect") == contents(world.run / "collect")
    assert not files.finished(begun / "train")


def test_activations_that_are_not_numbers(world: World, refused: Refused, tmp_path: Path):
    model = tmp_path / "model"
    shutil.copytree(world.model, model)
    weights = load_file(model / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = torch.nan
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "run.toml").write_text(config_text(model))
    says = ("not a finite number", "given:", "of input 0", "try:")
    refused("run", tmp_path / "run.toml", "--out", tmp_path / "run", says=says)


def test_a_file_that_the_system_refuses(world: World, refused: Refused, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    says = ("a file cannot be used", str(tmp_path / "file"), "Not a directory")
    refused("run", world.config, "--out", tmp_path / "file" / "run", says=says)
    assert (tmp_path / "file").read_text() == "mine"


# Questions to a trained run


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--bandwidth", "0"), ("not trained for this bandwidth", "given:   0", "allowed: 0.02 to 1")),
        (("--bandwidth", "-1"), ("not trained for this bandwidth", "given:   -1", "allowed: 0.02 to 1")),
        (("--bandwidth", "nan"), ("not trained for this bandwidth", "given:   nan")),
        (("--site", "z.1.1"), ("does not serve this site", "z.1.1", "allowed: resid_post.0, z.1.0, resid_post.1")),
        (("--site", "z.*.*"), ("a single site was expected", "z.*.*")),
        (("--site", "nowhere"), ("not the address of a site", "nowhere")),
    ],
)
def test_a_question_that_has_no_answer(world: World, refused: Refused, options: tuple[str, str], says: tuple):
    refused("invert", "When Mary", "--run", world.run, "--site", "resid_post.1", *options, says=says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("",), ("the text is empty",)),
        ((), ("a text or a conversation is read", "given:   neither", "either TEXT or --messages FILE")),
        (("When Mary", "--messages", "talk.json"), ("a text or a conversation is read", "given:   both")),
        (("When Mary", "--position", "9"), ("outside the text", "given:   9", "allowed: 0 to 1, or -2 to -1")),
        (("When Mary", "--position", "-3"), ("outside the text", "given:   -3")),
        (("When Mary", "--position", "Paul"), ("no such position", "'Paul'", "allowed: last, an index")),
        (
            ("so so", "--position", "so"),
            ("occurs 2 times", "'so'", "1 in 'so so'; 3 in", "try:     one of these indices"),
        ),
        (("--messages", "none.json"), ("a file cannot be used", "none.json: No such file")),
        (("--messages", "broken.json"), ("not readable as JSON", "broken.json")),
        (("--messages", "talk.json"), ("no chat template", "try:     a text, or an instruction model")),
        (("--messages", "words.json"), ("a message of the conversation is not one", "message 0: 'hello'")),
    ],
)
def test_a_text_that_cannot_be_read(
    world: World, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple, says: tuple
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.json").write_text('[{"role": "user", "content": "Who went?"}]')
    (tmp_path / "words.json").write_text('["hello"]')
    (tmp_path / "broken.json").write_text("[")
    refused("invert", *arguments, "--run", world.run, "--site", "resid_post.1", says=says)


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("run",),
        ("run", "x.toml", "--no-such-option"),
        ("invert", "text", "--site", "z.0.0", "--bandwidth", "wide"),
        ("invert", "text", "--site", "z.0.0", "-n", "0"),
        ("invert", "text", "--site", "z.0.0", "--seed", "-1"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert call(*arguments) == 2
    assert "Error" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--site", "resid_post.9"), ("no samples of this site", "resid_post.9", "allowed: resid_post.0")),
        (("--feature", "colour"), ("no samples of this feature", "colour", "allowed: ", "subject")),
        (("--bandwidth", "0.7"), ("no samples of this bandwidth", "0.7", "allowed: 0.1, 0.5")),
        (("--source", "reference"), ("no samples of this source", "reference", "allowed: weighted, generator")),
    ],
)
def test_samples_that_a_run_does_not_have(world: World, refused: Refused, arguments: tuple, says: tuple):
    place = {"--site": "resid_post.1", "--feature": "subject", "--bandwidth": "0.5"} | {arguments[0]: arguments[1]}
    refused("power", world.run, *(word for pair in place.items() for word in pair), says=says)


def test_what_is_planned_from_a_run_needs_a_place_in_it(world: World, refused: Refused, tmp_path: Path):
    refused(
        "power", world.run, "--site", "resid_post.1", says=("read at one place", "--feature, --site and --bandwidth")
    )
    place = ("--site", "z.1.0", "--feature", "subject", "--bandwidth", "0.5")
    refused("power", tmp_path, *place, says=("no verified samples", f"inversescope step {tmp_path} verify"))
    three = ("--site", "z.1.0") * 2
    refused("compare", world.run, *place, *three, says=("two things are compared at a time", "--site 3 times"))


def test_no_such_step(world: World, refused: Refused):
    says = ("there is no such step", "given:   trian", "allowed: task, collect, train")
    refused("run", world.config, "--until", "trian", says=says)
