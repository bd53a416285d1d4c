"""Tokens per second of capture, and of reading on from kept beginnings, for a model of some shape with random weights.

    python benchmarks/shapes.py                      # the bundled model's shape
    python benchmarks/shapes.py --shape 8b --inputs 2048

Beside the bare model, cut off behind the same layer, on batches of the same size. Operations are 2 for each weight of a
block and token; attention is not counted. Inputs are random tokens that share no beginnings. The best of three.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from inversescope.subject import Subject
from inversescope.subject.continuing import Continuing
from inversescope.subject.loading import choose_device

SHAPES = {
    "135m": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
             "num_key_value_heads": 3, "vocab_size": 49_152},
    "8b": {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "vocab_size": 128_256, "tie_word_embeddings": False},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="135m")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--inputs", type=int, default=8192)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--sites", default="resid_post.15", help="a pattern, such as 'resid_post.*'")
    options = parser.parse_args()
    device = choose_device(options.device)
    torch.set_default_dtype(torch.bfloat16)
    with device:
        model = LlamaForCausalLM(LlamaConfig(max_position_embeddings=8192, **SHAPES[options.shape]))
    torch.set_default_dtype(torch.float32)
    subject = Subject.from_model(model)
    sites = subject.sites([options.sites])
    layers = max(site.depth[0] for site in sites) + 1
    weights = sum(weight.numel() for block in model.model.layers[:layers] for weight in block.parameters())
    rng = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, model.config.vocab_size, (options.inputs, options.length), generator=rng)

    def report(name: str, count: int, seconds: float) -> None:
        print(f"{name}: {count / seconds:,.0f} tokens/s, {2 * weights * count / seconds / 1e12:.3g}·10¹² operations/s")

    rows = [tuple(row) for row in tokens.tolist()]
    print(f"{options.shape} on {device}: {layers} layers, {weights:,} weights, {subject.batch_tokens:,} tokens at once")
    report("capture", tokens.numel(), _best(device, lambda: subject.capture(rows, sites)))
    batch = tokens[: max(1, subject.batch_tokens // options.length)].to(device)
    model.model.layers = model.model.layers[:layers]
    with torch.inference_mode():
        bare = _best(device, lambda: model.model(input_ids=batch, use_cache=False))
    report("the bare model", batch.numel(), bare)
    _read_on(Continuing(subject, sites), tokens, device, report)
    if device.type == "cuda":
        print(f"most memory: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


def _read_on(
    reader: Continuing, tokens: torch.Tensor, device: torch.device, report: Callable[[str, int, float], None]
) -> None:
    """Two new tokens behind kept beginnings, as many inputs at once as inversion of natural text reads."""
    rows, kept = tokens[: reader.rows], tokens.shape[1] - 2
    past = reader.read(rows[:, :kept], whole=True).key_values
    assert past is not None

    def read() -> None:
        reader.read(rows[:, kept:], past.rows(torch.arange(len(rows)), kept), last=True)

    seconds = _best(device, read)
    print(f"two tokens behind {kept} that are kept, {len(rows):,} inputs at once: {len(rows) / seconds:,.0f} inputs/s")
    report("of these tokens", 2 * len(rows), seconds)


def _best(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of the fastest of three, after one that is not counted."""
    times = []
    for _ in range(4):
        start = time.monotonic()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.monotonic() - start)
    return min(times[1:])


if __name__ == "__main__":
    main()
