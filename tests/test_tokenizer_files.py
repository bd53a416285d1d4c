"""A tokenizer that is missing, made up or unreadable: the reason, what to do, and no wrong tokens instead."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from refusals import refuses
from small_subject import call, save_subject

from inversescope.errors import UserError
from inversescope.inverter import Inverter
from inversescope.run.run import Run
from inversescope.subject import Subject
from inversescope.subject.tokenizer_files import load_tokenizer

POINTER = "version git-lfs/spec/v1\noid sha256:0\nsize 1\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_subject(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def load(folder: Path) -> Subject:
    return Subject.load(str(folder), device="cpu", dtype="float32")


def bare(folder: Path) -> Path:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    return folder


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3_text"])  # transformers makes up one for the last two
def test_no_tokenizer_is_none_and_no_text_is_empty(folder: Path, kind: str):
    from transformers import AutoConfig

    AutoConfig.for_model(kind).save_pretrained(bare(folder))
    missing = load_tokenizer(str(folder))
    assert isinstance(missing, UserError)
    with refuses(given=folder, remedy="encode="):
        raise missing


def test_a_subject_without_a_tokenizer_reads_tokens_and_has_no_prefix(folder: Path):
    subject = load(bare(folder))
    assert subject.prefix == ()
    assert len(subject.capture([(3, 4)], subject.sites(["resid_post.0"])).activations) == 1
    with refuses(given=folder, remedy="encode="):
        subject.encode("a")


REASONS: dict[str, tuple[dict[str, str], tuple[str, ...], str]] = {
    "a Git LFS pointer": ({"tokenizer.json": POINTER}, ("tokenizer.json", "Git LFS"), "git lfs pull"),
    "another format": (
        {"tokenizer.json": json.dumps({"version": "9.0", "model": {"type": "Newer", "vocab": {}}})},
        ("tokenizer.json", "tokenizers"), "pip install -U tokenizers transformers",
    ),
    "an empty object": ({"tokenizer.json": "{}"}, (), ""),
    "damaged": ({"tokenizer.json": "{"}, (), ""),
}  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_an_unreadable_tokenizer_says_why(folder: Path, reason: str):
    written, named, remedy = REASONS[reason]
    for name, text in written.items():
        (folder / name).write_text(text)
    with refuses(given=(folder, *named), remedy=remedy or True):
        load(folder).encode("a")


def test_a_tokenizers_own_code_is_not_run(folder: Path):
    path = folder / "tokenizer_config.json"
    own = {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", None]}}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    (folder / "mine.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    with refuses("code", given=folder, remedy="tokenizer="):
        load(folder).encode("a")
    assert not (folder / "ran").exists()


def test_doctor_says_why_there_are_no_texts(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "tokenizer.json").write_text(POINTER)
    assert call("doctor", folder, "--dtype", "float32", "--device", "cpu") == 0
    assert "git lfs pull" in capsys.readouterr().out


CONFIG = """
[subject]
model = "mine"
[task]
name = "texts"
path = "{path}"
[collect]
sites = ["resid_post.1"]
train = 8
pool = 6
targets = 2
[generator]
sites = ["resid_post.1"]
width = 16
layers = 1
heads = 2
[train]
steps = 10
batch = 8
bandwidths = [0.02, 1.0]
[sample]
bandwidths = [0.1, 0.5]
samples = 6
"""


def mine(folder: Path, seed: int = 0) -> Subject:
    """The model without its tokenizer, and one of two functions in its place."""
    from small_subject import tokenizer

    words, model = tokenizer(), load(save_subject(folder, seed)).model
    return Subject.from_model(
        model, encode=lambda text: words.encode(text, add_special_tokens=False), decode=words.decode, prefix=(1,)
    )


def test_a_model_in_memory_gets_through_a_run(tmp_path: Path):
    path = tmp_path / "texts.jsonl"
    lines = [{"text": f"Then, {name} went to the {place}", "name": name} for name in "abcde" for place in "fghij"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text, subject = CONFIG.format(path=path), mine(tmp_path / "model")
    run = Run.create(tmp_path / "run", text, subject=subject)
    for step in ("task", "collect", "reference", "train"):
        run.do(step)
    again = Inverter.load(tmp_path / "run", subject=mine(tmp_path / "model"))
    answer = again.invert(lines[0]["text"], site="resid_post.1", n=4, bandwidth=1.0)
    assert len(answer.samples) == 4
    with refuses(given="mine", remedy="subject="):
        _ = Run.open(tmp_path / "run").subject
    with refuses("fingerprint"):
        _ = Run.open(tmp_path / "run", subject=mine(tmp_path / "other", seed=1)).subject
    settled: Any = text.replace('model = "mine"', 'model = "mine"\ndtype = "bfloat16"')
    with refuses(given="subject.dtype"):
        Run.create(tmp_path / "second", settled, subject=subject)


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_attention_heads", 0), ("hidden_size", "wide"), ("hidden_act", "unheard"), ("num_hidden_layers", -1)],
)  # fmt: skip
def test_a_config_that_makes_no_sense_is_refused(folder: Path, key: str, value: object):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with refuses(given=True):
        load(folder)


def test_a_device_without_numbers_is_refused(folder: Path):
    with refuses(given="meta", allowed="cpu"):
        Subject.load(str(folder), device="meta")


@pytest.mark.parametrize("installed", [False, True])
def test_a_package_that_a_tokenizer_needs_is_named_if_it_is_missing(
    folder: Path, installed: bool, monkeypatch: pytest.MonkeyPatch
):
    import transformers

    def fail(*_: object, **__: object) -> None:
        raise ImportError("LlamaTokenizer requires the SentencePiece library but it was not found in your environment")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    monkeypatch.setattr("inversescope.subject.tokenizer_files.find_spec", lambda _: object() if installed else None)
    error = load_tokenizer(str(folder))
    assert isinstance(error, UserError)
    assert ("pip install sentencepiece" in str(error)) is not installed


def test_an_unreadable_tokenizer_is_no_fault_of_a_row(folder: Path, tmp_path: Path):
    from inversescope.tasks import TextsConfig, load_task

    (folder / "tokenizer.json").write_text(POINTER)
    (tmp_path / "texts.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match="Git LFS") as caught:
        load_task(TextsConfig(path=tmp_path / "texts.txt"), load(folder))
    assert "texts.txt" not in str(caught.value)
