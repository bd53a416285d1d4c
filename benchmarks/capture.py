"""Tokens per second of capture: ours, the bare model cut off at the same layer, and other libraries, side by side.

    python benchmarks/capture.py [MODEL]      # ten minutes; nnsight and transformer-lens take part where installed

The bare model has only the layers up to the one that is read, and neither final norm nor head. All get the same inputs
in the same padded batches, save ours, which may share beginnings; all read the last token of each input. They take
turns, in changing order; the ratio to the bare model is the median over the rounds, each of which compares times taken
right after each other. Every library reads once before, and must have read the same.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import permutations

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from inversescope.subject import Subject, bundled
from inversescope.subject.batches import batches

LAYERS = (5, 15, 25)
REPEATS = 5
NAMES = ("Mary", "John", "David", "Sarah", "Paul", "Mark", "James", "Robert", "Michael", "Daniel", "Andrew", "Kevin")
PLACES = ("store", "garden", "school", "office")
OBJECTS = ("ring", "drink", "book", "snack")

Inputs = list[tuple[int, ...]]


def unrelated(subject: Subject, rng: np.random.Generator) -> Inputs:
    """64 inputs of 16 random tokens: nothing to share."""
    tokens = rng.integers(5, subject.model.config.vocab_size, (64, 16))
    return [tuple(row) for row in tokens.tolist()]


def prompts(subject: Subject, rng: np.random.Generator) -> Inputs:
    """128 prompts of one template that differ in names, place and object."""
    pairs = list(permutations(NAMES, 2))
    texts = []
    for _ in range(128):
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


# Reads the last tokens of a padded batch: the stream behind a layer, or the heads of some layers.
Read = Callable[[Tensor, Tensor, Tensor], object]


def hidden_states(subject: Subject, layer: int) -> Read:
    """As transformers offers it: every layer's hidden states, in one pass through all of them."""

    def read(tokens: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        output = subject.model(input_ids=tokens, attention_mask=mask, use_cache=False, output_hidden_states=True)
        return output.hidden_states[layer + 1][torch.arange(len(last)), last]

    return read


def nnsight(subject: Subject, layers: Sequence[int], *, heads: bool) -> Read:
    """Traces of the base model that stop behind the deepest layer."""
    from nnsight import NNsight

    traced = NNsight(copy.deepcopy(subject.model.base_model))  # it puts itself into the modules that it is given

    def read(tokens: Tensor, mask: Tensor, last: Tensor) -> list[Tensor]:
        rows, found = torch.arange(len(last)), []
        with traced.trace(input_ids=tokens, attention_mask=mask, use_cache=False) as tracer:
            for layer in layers:
                block = traced.layers[layer]
                found.append((block.self_attn.o_proj.input if heads else block.output)[rows, last].save())
            tracer.stop()
        return found

    return read


def lens(subject: Subject, layers: Sequence[int], *, heads: bool) -> Read:
    """TransformerLens's bridge with a cache of the points asked for, stopping behind the deepest layer."""
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        str(bundled.folder()) if subject.name == bundled.NAME else subject.name,
        hf_model=copy.deepcopy(subject.model),
        device=str(subject.device),
        dtype=subject.dtype,
    )
    names = [f"blocks.{layer}.{'attn.hook_z' if heads else 'hook_resid_post'}" for layer in layers]

    def read(tokens: Tensor, mask: Tensor, last: Tensor) -> list[Tensor]:
        _, cache = bridge.run_with_cache(tokens, attention_mask=mask, names_filter=names, stop_at_layer=max(layers) + 1)
        rows = torch.arange(len(last))
        return [cache[name][rows, last].flatten(1) for name in names]

    return read


@torch.inference_mode()
def over(read: Read, subject: Subject, inputs: Inputs) -> list[object]:
    """One reading of all inputs."""
    found = []
    for batch in batches(inputs, subject.batch_tokens, share=False):
        tokens, mask = batch.tokens.to(subject.device), batch.mask.to(subject.device)
        found.append(read(tokens, mask, batch.columns.to(subject.device)))
    return found


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


def libraries(subject: Subject, layers: Sequence[int], *, heads: bool) -> dict[str, Read]:
    """The others that can read this, where they are installed."""
    found: dict[str, Read] = {}
    if find_spec("nnsight"):
        found["nnsight"] = nnsight(subject, layers, heads=heads)
    if find_spec("transformer_lens"):
        found["TransformerLens"] = lens(subject, layers, heads=heads)
    if not heads:
        found["output_hidden_states"] = hidden_states(subject, layers[-1])
    return found


def main() -> None:
    subject = Subject.load(sys.argv[1] if len(sys.argv) > 1 else bundled.NAME)
    console, rng = Console(width=110), np.random.default_rng(0)
    console.print(f"{subject}, {torch.get_num_threads()} threads, {subject.batch_tokens} tokens a batch")
    table = Table("inputs", "read", *("", "tokens/s", "of bare"))
    workloads = {"random tokens, 64 x 16": unrelated(subject, rng), "IOI prompts, 128": prompts(subject, rng)}
    last = subject.shape.layers - 1
    wanted = {f"the stream behind layer {layer}": ([layer], False) for layer in LAYERS}
    wanted["all heads of all layers"] = (list(range(last + 1)), True)
    for what, (layers, heads) in wanted.items():
        sites = subject.sites(["z.*.*"] if heads else [f"resid_post.{layers[0]}"])
        others = libraries(subject, layers, heads=heads)
        for name, inputs in workloads.items():
            runs: dict[str, Callable[[], object]] = {
                "bare": partial(run_bare, truncated(subject, layers[-1]), subject, inputs),
                "ours": partial(subject.capture, inputs, sites),
            }
            runs |= {library: partial(over, read, subject, inputs) for library, read in others.items()}
            times = rounds(runs, subject.device)
            tokens = sum(map(len, inputs))
            for run, taken in times.items():
                ratio = statistics.median(b / t for b, t in zip(times["bare"], taken, strict=True))
                row = name, what, run, f"{tokens / statistics.median(taken):,.0f}", f"{ratio:.2f}"
                table.add_row(*row)
                Console(stderr=True).print(*row)
            table.add_section()
    console.print(table)


if __name__ == "__main__":
    main()
