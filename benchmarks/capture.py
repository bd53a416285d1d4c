"""Tokens per second of capture against the bare model cut off at the same layer, side by side in one run.

    python benchmarks/capture.py

The bare model has only the layers up to the one that is read, and neither final norm nor head; it gets the same inputs
in the padded batches that capture makes where nothing is shared. They take turns, in changing order; the ratio is the
median over the rounds, each of which compares times taken right after each other.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from itertools import permutations

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from inversescope.subject import Subject
from inversescope.subject.batches import batches

LAYERS = (5, 15, 25)
REPEATS = 6
NAMES = ("Mary", "John", "David", "Sarah", "Paul", "Mark", "James", "Robert", "Michael", "Daniel", "Andrew", "Kevin")
PLACES = ("store", "garden", "school", "office")
OBJECTS = ("ring", "drink", "book", "snack")

Inputs = list[tuple[int, ...]]


def unrelated(subject: Subject, rng: np.random.Generator) -> Inputs:
    """64 inputs of 16 random tokens: nothing to share."""
    tokens = rng.integers(5, subject.model.config.vocab_size, (64, 16))
    return [tuple(row) for row in tokens.tolist()]


def prompts(subject: Subject, rng: np.random.Generator) -> Inputs:
    """256 prompts of one template that differ in names, place and object."""
    pairs = list(permutations(NAMES, 2))
    texts = []
    for _ in range(256):
        (a, b), place, thing = pairs[rng.integers(len(pairs))], rng.choice(PLACES), rng.choice(OBJECTS)
        texts.append(f"Then, {a} and {b} went to the {place}. {rng.choice((a, b))} gave a {thing} to")
    return [tuple(subject.encode(text)) for text in texts]


def truncated(subject: Subject, layer: int) -> torch.nn.Module:
    """The bare model up to and including a layer, sharing the subject's weights."""
    bare = copy.copy(subject.model.base_model)
    bare._modules = dict(bare._modules)
    bare.layers, bare.norm = bare.layers[: layer + 1], torch.nn.Identity()
    return bare


@torch.inference_mode()
def run_bare(bare: torch.nn.Module, subject: Subject, inputs: Inputs) -> None:
    """One pass over all inputs."""
    for batch in batches(inputs, subject.batch_tokens, share=False):
        tokens, mask = batch.tokens.to(subject.device), batch.mask.to(subject.device)
        bare(input_ids=tokens, attention_mask=mask, use_cache=False)


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, the device's work included."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def rounds(runs: dict[str, Callable[[], object]], device: torch.device) -> dict[str, list[float]]:
    """The time of each run in each round; the first round warms up and does not count."""
    times: dict[str, list[float]] = {what: [] for what in runs}
    for r in range(REPEATS + 1):
        for what in sorted(runs, reverse=bool(r % 2)):
            elapsed = seconds(runs[what], device)
            if r:
                times[what].append(elapsed)
    return times


def main() -> None:
    subject = Subject.load("smollm2")
    console, rng = Console(), np.random.default_rng(0)
    console.print(f"{subject}, {torch.get_num_threads()} threads, {subject.batch_tokens} tokens a batch")
    table = Table("inputs", "layer", "read", "tokens/s", "bare", "ratio")
    workloads = {"random tokens, 64 x 16": unrelated(subject, rng), "IOI prompts, 256": prompts(subject, rng)}
    for name, inputs in workloads.items():
        tokens = sum(map(len, inputs))
        for layer in LAYERS:
            bare = truncated(subject, layer)
            residual, heads = subject.sites([f"resid_post.{layer}"]), subject.sites([f"z.{layer}.*"])
            runs: dict[str, Callable[[], object]] = {
                "bare": lambda bare=bare, inputs=inputs: run_bare(bare, subject, inputs),
                "residual": lambda sites=residual, inputs=inputs: subject.capture(inputs, sites),
                f"{len(heads)} heads": lambda sites=heads, inputs=inputs: subject.capture(inputs, sites),
            }
            with console.status(f"{name}, layer {layer}"):
                times = rounds(runs, subject.device)
            speed = {what: tokens / statistics.median(taken) for what, taken in times.items()}
            for what in list(runs)[1:]:
                ratio = statistics.median(b / t for b, t in zip(times["bare"], times[what], strict=True))
                table.add_row(name, str(layer), what, f"{speed[what]:,.0f}", f"{speed['bare']:,.0f}", f"{ratio:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
