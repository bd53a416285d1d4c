"""What a dry run says, against what a run writes, against what is published, and against memory that is measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import log
from pathlib import Path

import pytest
import torch
from real_shapes import PUBLISHED, planned, save_shapes
from refusals import check, printed, refuses
from safetensors import safe_open
from small_subject import World, call, config_text, save_subject, tokenizer
from toy_world import ToyTask
from transformers import LlamaConfig, LlamaForCausalLM

from inversescope import files
from inversescope.arena.cost import Memory
from inversescope.cli.configs import shipped
from inversescope.collect.store import Store
from inversescope.config import RunConfig
from inversescope.plan.footprint import LIBRARIES, Footprint, weights_bytes
from inversescope.plan.needs import needs, small_prior
from inversescope.run import prior
from inversescope.run.run import Run
from inversescope.subject import Subject, shapes
from inversescope.subject.loading import load_tokenizer

CPU = torch.device("cpu")


@pytest.fixture
def shapes_alone(tmp_path: Path) -> Path:
    """The small subject's folder without its weights."""
    folder = save_subject(tmp_path / "shapes-alone")
    (folder / "model.safetensors").unlink()
    return folder


# Against a run


def tensor_bytes(*paths: Path) -> int:
    total = 0
    for path in paths:
        with safe_open(path, "pt") as tensors:
            total += sum(tensors.get_tensor(name).nbytes for name in tensors.keys())  # noqa: SIM118 - no container
    return total


def test_the_disk_is_what_the_run_wrote(world: World, monkeypatch: pytest.MonkeyPatch):
    found = needs(config_text(world.model), "small")
    run = world.run
    assert found.disk["activations"] == tensor_bytes(*run.glob("collect/*-0*.safetensors"))
    assert found.disk["generator"] == tensor_bytes(run / "train" / "generator.safetensors")
    assert found.disk["distances"] == tensor_bytes(*(run / "reference").glob("*.safetensors"))
    table = (run / "collect" / "inputs.parquet").stat().st_size
    assert found.disk["inputs"] == table + tensor_bytes(run / "collect" / "statistics.safetensors")
    records = ("sample", "verify", "calibrate", "causal", "mine", "score", "report")
    written = sum(path.stat().st_size for step in records for path in (run / step).iterdir())
    assert 0.5 < found.disk["records"] / written < 2
    store = Store(run / "collect")
    assert found.inputs == {split: len(store.inputs(split)) for split in ("train", "pool", "target")}
    assert found.sites == {"train": (3, 40), "pool": (4, 48), "target": (4, 48)}
    assert found.bounds is None
    assert found.beside is None and found.memory["libraries"] == LIBRARIES


def test_a_whole_prior_is_kept_whole(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = (
        config_text(world.model, steps=2).replace("train = 30", 'train = "all"').replace("pool = 24", 'pool = "all"')
    )
    (tmp_path / "config.toml").write_text(config)
    assert call("run", tmp_path / "config.toml", "--out", tmp_path / "run", "--until", "train") == 0
    found = needs(config, "whole")
    assert found.inputs["train"] == found.inputs["pool"] == 48
    assert found.disk["activations"] == tensor_bytes(*(tmp_path / "run" / "collect").glob("*-0*.safetensors"))
    assert found.disk["generator"] == tensor_bytes(tmp_path / "run" / "train" / "generator.safetensors")


def test_the_checkpoint_is_no_larger_than_said(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []
    write = files.write

    def watch(path: Path, save) -> None:
        write(path, save)
        if path.name.startswith("checkpoint"):
            seen.append(path.stat().st_size)

    monkeypatch.setattr("inversescope.train.checkpoint.files.write", watch)
    monkeypatch.setattr("inversescope.train.train.CHECKPOINT_STEPS", 5)
    (tmp_path / "config.toml").write_text(config_text(world.model, steps=8))
    assert call("run", tmp_path / "config.toml", "--out", tmp_path / "run", "--until", "train") == 0
    seen.append(seen[-1])  # the checkpoint before the last stays
    # What torch writes around each of many small tensors is not counted, and is nothing beside large ones.
    assert len(seen) == 3 and 0.5 * sum(seen) < needs(config_text(world.model), "small").checkpoint < sum(seen) * 1.3


# Against what is published


@pytest.mark.parametrize("preset", PUBLISHED)
def test_shapes_are_those_that_are_published(preset: str, tmp_path: Path):
    published = PUBLISHED[preset]
    assert f'model = "{published.model}"' in shipped()[preset]
    folder = save_shapes(tmp_path, preset, tokenizer())
    subject = shapes.without_weights(folder, published.model, torch.bfloat16)
    assert sum(weight.numel() for weight in subject.model.parameters()) == published.parameters
    assert weights_bytes(subject.model, None) == 2 * published.parameters
    assert all(weight.is_meta for weight in subject.model.parameters())
    config = RunConfig.parse(shipped()[preset], preset)
    generator, everywhere = subject.sites(config.generator.sites), subject.sites(config.collect.sites)
    assert set(generator) <= set(everywhere)
    assert {site.layer for site in everywhere} == set(range(subject.shape.layers))


def test_rounded_weights_take_less(tmp_path: Path):
    subject = shapes.without_weights(save_shapes(tmp_path, "icl-llama-3-8b", tokenizer()), "llama", torch.bfloat16)
    linear = 32 * (4096 * (4096 + 1024 + 1024 + 4096) + 3 * 4096 * 14336)
    whole = 2 * PUBLISHED["icl-llama-3-8b"].parameters
    assert weights_bytes(subject.model, 8) == whole - linear
    assert weights_bytes(subject.model, 4) == whole - linear * 3 // 2


@pytest.fixture
def fruit(tmp_path: Path) -> Path:
    """RAVEL's files of four cities."""
    folder = tmp_path / "ravel" / "data"
    folder.mkdir(parents=True)
    known = {"Country": ("France", "Peru"), "Continent": ("Europe", "South America"), "Language": ("French", "Spanish")}
    cities = {"Paris": 0, "Lyon": 0, "Lima": 1, "Cusco": 1}
    prompts = {name: [f"{name} {i} of %s is" for i in range(4)] for name in known}
    contents = {
        "entity_attributes": {city: {name: of[i] for name, of in known.items()} for city, i in cities.items()},
        "attribute_to_prompts": prompts,
        "entity_to_split": dict.fromkeys(cities, "train"),
        "prompt_to_split": {prompt: "train" for asked in prompts.values() for prompt in asked},
    }
    for what, content in contents.items():
        files.write_json(folder / f"ravel_city_{what}.json", content)
    return folder


LONG = "icl-llama-3-8b"


@pytest.mark.parametrize(
    "preset", [pytest.param(preset, marks=pytest.mark.slow if preset == LONG else ()) for preset in PUBLISHED]
)
def test_a_preset_is_planned_where_there_is_neither_gpu_nor_weights(
    preset: str, tmp_path: Path, fruit: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    words = tokenizer()
    words.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %} Answer:"
    folder = save_shapes(tmp_path / "model", preset, words)
    config = planned(preset, folder).replace("ravel/data", str(fruit))
    config = re.sub(r"(train|pool) = \d+", r"\1 = 20", config).replace("targets = 50", "targets = 5")
    config = re.sub(r"resolutions = .*", "resolutions = [5, 3, 2]", config)  # 20 inputs measure no finer ones
    found = needs(config, preset)
    assert found.device == "cuda" and found.parameters == PUBLISHED[preset].parameters
    assert found.memory["subject"] == found.parameters * (4 if found.dtype == "float32" else 2)
    assert found.beside is not None
    assert (found.bounds is None) == (preset != "ravel-gemma-2-2b")
    coordinates = found.sites["pool"][1]
    assert coordinates % found.shape.width == 0 and coordinates >= found.shape.layers * found.shape.width


# Against memory that is measured


@pytest.mark.machine
def test_memory_is_within_a_factor_of_two_of_the_peak(tmp_path: Path):
    """Reading and training at a width at which tensors outweigh the allocator; libraries are there before."""
    words = tokenizer()
    shape = LlamaConfig(
        hidden_size=768, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=12, num_key_value_heads=4,
        vocab_size=32_000, bos_token_id=1, eos_token_id=2, max_position_embeddings=64,
    )  # fmt: skip
    shape.save_pretrained(tmp_path / "model")
    words.save_pretrained(tmp_path / "model")
    text = (
        config_text(tmp_path / "model", steps=2).replace("train = 30", "train = 400").replace("pool = 24", "pool = 300")
    )
    text = text.replace('sites = ["resid_post.*", "z.1.*"]', 'sites = ["resid_post.*"]').replace(', "z.1.0"', "")
    text = (
        text.replace("names = 3", "names = 12").replace("places = 2", "places = 4").replace("shard = 8", "shard = 512")
    )
    config = RunConfig.parse(text, "wide")
    with Memory(CPU) as measured:
        subject = Subject.of(LlamaForCausalLM(shape), load_tokenizer(str(tmp_path / "model")), "wide")
        run = Run(tmp_path / "run", config)
        run.subject = subject
        run.folder.mkdir()
        made_from = prior.sources(config.task, subject)
        files.write_sealed(run.folder / "provenance.json", {"seconds": {}, "features": {}, "prior": made_from})
        (run.folder / "task").mkdir()
        files.finish(run.folder / "task", [], step="task", made_from={})
        run.do("collect")
        run.do("reference")
        run.do("train")
    whole = shapes.without_weights(tmp_path / "model", "wide", torch.float32)
    said = Footprint(config, whole, run.store, run.sites, run.task).on_device(CPU)
    predicted = sum(said.values()) - said["libraries"]
    assert 0.5 < predicted / measured.bytes < 2, (said, measured.bytes)


# The command


def test_a_dry_run_starts_nothing(shapes_alone: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(config_text(shapes_alone))
    before = sorted(tmp_path.rglob("*"))
    assert call("run", "small.toml", "--dry-run") == 0
    assert sorted(tmp_path.rglob("*")) == before
    said = " ".join(capsys.readouterr().out.split())
    for numbers in (
        ("27,984", "2 layers", "width 16", "2 heads", "float32", "cpu"), ("30 train", "24 pool", "4 target"),
        ("sites 4", "48 numbers", "3", "40"), ("activations 10.2 kB", "checkpoint"), ("memory", "libraries 800.0 MB"),
    ):  # fmt: skip
        assert re.search(".*".join(map(re.escape, numbers)), said), numbers


def test_a_dry_run_without_a_model_is_refused(shapes_alone: Path, tmp_path: Path, capsys):
    (tmp_path / "small.toml").write_text(config_text(shapes_alone))
    (shapes_alone / "config.json").unlink()
    assert call("run", tmp_path / "small.toml", "--dry-run") == 2
    check(printed(capsys.readouterr().err), given=(shapes_alone, "config.json"), allowed=True)
    (shapes_alone / "config.json").write_text("{}")
    assert call("run", tmp_path / "small.toml", "--dry-run") == 2
    check(printed(capsys.readouterr().err), given=shapes_alone / "config.json")
    assert call("run", "ioi-gpt3", "--dry-run") == 2
    check(printed(capsys.readouterr().err), given="ioi-gpt3", allowed="ioi-gpt2")


def test_a_gpu_that_is_not_there_is_planned_for_and_a_wrong_device_is_not(shapes_alone: Path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = needs(config_text(shapes_alone).replace('"cpu"', '"all"'), "small")
    assert found.device == "all" and found.beside is not None
    with refuses(given="quantum", allowed=("cpu", "cuda")):
        needs(config_text(shapes_alone).replace('"cpu"', '"quantum"'), "small")


class Sized(ToyTask):
    """A uniform prior, which must not be listed where it is large."""

    def __init__(self, size: int, known: bool = True):
        self._size, self._known = size, known

    def log_prior(self, tokens: Sequence[int]) -> float | None:
        return -log(self._size) if self._known else None

    def enumerate(self) -> Iterator[tuple[tuple[int, ...], float]]:
        assert self._size < 1e6
        yield from (((i,), 1 / self._size) for i in range(self._size))


@pytest.mark.parametrize(
    ("task", "size"),
    [(Sized(4000), 4000), (Sized(4001), None), (Sized(10**9), None), (Sized(100, known=False), None)],
)
def test_a_small_prior_is_worth_reading_whole(task: Sized, size: int | None):
    assert small_prior(task, [(0,)] * 300, 1000) == size


def test_the_dry_run_names_it(world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "config.toml").write_text(config_text(world.model))
    assert needs(config_text(world.model), "small").prior == 48
    assert call("run", tmp_path / "config.toml", "--dry-run") == 0
    assert "collect.pool" in capsys.readouterr().out
    whole = config_text(world.model).replace("train = 30", 'train = "all"').replace("pool = 24", 'pool = "all"')
    assert needs(whole, "whole").prior is None
