"""A whole run in a second: a random two-layer Llama with a real tokenizer, saved in a folder, and a config for it."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from once import once
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from inversescope.cli import main
from inversescope.subject.loading import quiet
from inversescope.tasks.ioi_words import NAMES, OBJECTS, PLACES, TEMPLATES

SPECIAL = ["<pad>", "<s>", "</s>"]

CONFIG = """\
seed = 3

[subject]
model = "{model}"
device = "cpu"
dtype = "float32"

[task]
name = "ioi"
templates = 1
names = 3
places = 2
objects = 2
force = true

[collect]
sites = ["resid_post.*", "z.1.*"]
train = 30
pool = 24
targets = 4
shard = 8

[generator]
sites = ["resid_post.*", "z.1.0"]
width = 16
layers = 1
heads = 2

[train]
steps = {steps}
learning_rate = 0.02
batch = 24
clean = 0.8
bandwidths = [0.02, 1.0]

[sample]
bandwidths = [0.1, 0.5]
samples = 6
"""


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE in which every word of the IOI task is one token with its space."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    sentences = [*TEMPLATES, *(f" {word}" for word in itertools.chain(NAMES, PLACES, OBJECTS))]
    words.train_from_iterator(sentences * 2, trainer)
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def save_subject(folder: Path, seed: int = 0) -> Path:
    """Save the subject: 2 layers, 2 heads, width 16, with weights large enough that its activations differ."""
    words = tokenizer()
    config = LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        vocab_size=len(words), max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        model = LlamaForCausalLM(config)
    for weight in model.parameters():
        noise = torch.randn(weight.shape, generator=generator)
        weight.data = 0.3 * noise + (1.0 if weight.ndim == 1 else 0.0)
    with quiet():
        model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def config_text(model: Path, steps: int = 60) -> str:
    """The config of a run on that subject, as TOML."""
    return CONFIG.format(model=model, steps=steps)


def call(*arguments: object) -> int:
    """Run the command line in this process, on one thread (two only wait for each other here); its exit code."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        torch.set_num_threads(threads)
    return 0


class World(NamedTuple):
    """The subject's folder, a config for it, and its finished run."""

    model: Path
    config: Path
    run: Path


@cache
def world_in(folder: Path) -> World:
    """One world for all tests of a session, which leave it as it is."""
    world = World(folder / "small-subject", folder / "small.toml", folder / "small-run")
    with once(folder, "small-run") as to_do:
        if to_do:
            save_subject(world.model)
            world.config.write_text(config_text(world.model))
            assert call("run", world.config, "--out", world.run) == 0
    return world
