"""Train a small model from nothing on one of the two worlds, and save it with its tokenizer.

    python benchmarks/worlds/train_subject.py addition runs/worlds/addition-model
    python benchmarks/worlds/train_subject.py counting runs/worlds/counting-model

A GPT-2 of two layers, four heads and width 64. The inputs of its training are drawn from the prior, which has 810,000
(addition) and 261,632 (counting); the loss is that of the answer alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from inversescope.python_file import allow
from inversescope.subject import Subject
from inversescope.subject.loading import quiet
from inversescope.tasks import FileTaskConfig, config_in_file, load_task

START, END = "<s>", "</s>"
WORDS = [START, END, *"0123456789+=ab|:", *map(str, range(10, 17))]  # a count is one token
PIECES = {"addition": ".", "counting": r"\d+|."}
SETTINGS = {"addition": (2500, 512), "counting": (1200, 256)}  # steps, inputs in each
RATE, WARM_UP = 3e-3, 100
TESTED = 2000
TASKS = Path(__file__).with_name("tasks.py")


def tokenizer(pieces: str) -> PreTrainedTokenizerFast:
    """Tokenizer that splits a text by a regular expression."""
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=END))
    words.pre_tokenizer = pre_tokenizers.Split(Regex(pieces), "isolated")
    words.decoder = decoders.Fuse()
    words.post_processor = processors.TemplateProcessing(single=f"{START} $A", special_tokens=[(START, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token=START, eos_token=END, pad_token=END)


def untrained(seed: int) -> GPT2LMHeadModel:
    """The model before training."""
    torch.manual_seed(seed)
    shape = GPT2Config(
        vocab_size=len(WORDS), n_positions=32, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", choices=PIECES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, help="of training; default: by the world")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    words, model = tokenizer(PIECES[chosen.world]), untrained(chosen.seed)
    subject = Subject.from_model(model, tokenizer=words, prefix=(0,), name=chosen.world)
    given = FileTaskConfig(name=chosen.world, file=TASKS)
    allow([given.code])
    task: Any = load_task(config_in_file(given).model_validate(given.model_dump()), subject)
    steps, batch = SETTINGS[chosen.world]
    train(model, task, chosen.steps or steps, batch, chosen.seed)
    with quiet():
        model.eval().save_pretrained(chosen.folder)
    words.save_pretrained(chosen.folder)
    accuracy = task.accuracy(subject, TESTED, np.random.default_rng(chosen.seed + 1))
    print(f"{accuracy.what}: {accuracy.value:.4f} [{accuracy.low:.4f}, {accuracy.high:.4f}], {TESTED} inputs")


def train(model: GPT2LMHeadModel, task: Any, steps: int, batch: int, seed: int) -> None:
    """Train by AdamW, with a learning rate that rises and falls linearly."""
    rng, started = np.random.default_rng(seed), time.process_time()
    model.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min((step + 1) / WARM_UP, 1, 1.0001 - step / steps)
        inputs = task.draw(batch, rng)
        tokens, targets = padded([(x, task.answer(x)) for x in inputs])
        loss = F.cross_entropy(model(input_ids=tokens).logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 500 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.4f} nats, {time.process_time() - started:.0f} s", flush=True)


def padded(examples: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> tuple[Tensor, Tensor]:
    """Inputs with their answers behind them, and the next token where it belongs to an answer or ends it."""
    longest = max(len(x) + len(answer) for x, answer in examples)
    tokens, targets = np.full((len(examples), longest), 1), np.full((len(examples), longest), -100)
    for row, (x, answer) in enumerate(examples):
        tokens[row, : len(x) + len(answer)] = *x, *answer
        targets[row, len(x) - 1 : len(x) + len(answer)] = *answer, 1
    return torch.from_numpy(tokens), torch.from_numpy(targets)


if __name__ == "__main__":
    main()
