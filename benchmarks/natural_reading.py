"""New tokens behind kept beginnings against whole inputs, side by side: inputs a second.

python benchmarks/natural_reading.py [--model M] [--layer 15] [--length 16]

Processor seconds of one thread. Whole inputs are read by `Subject.capture`, whose speed is that of the bare truncated
model; both give the same activations.
"""

from __future__ import annotations

import argparse
import time

import torch

from inversescope.natural_text.readings import prefix_key_values
from inversescope.subject import Subject
from inversescope.subject.continuing import Continuing

ENDS = (1, 2, 4, 8)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--layer", type=int, default=15)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    subject = Subject.load(options.model)
    (site,) = subject.sites([f"resid_post.{options.layer}"])
    rng = torch.Generator().manual_seed(0)
    vocabulary = subject.model.config.vocab_size
    reader, prefix = Continuing(subject, [site]), prefix_key_values(subject)
    count = reader.rows
    tokens = torch.randint(vocabulary // 4, vocabulary // 2, (count, options.length), generator=rng)
    rows = [(*subject.prefix, *row) for row in tokens.tolist()]
    kept = reader.read(tokens, None if prefix is None else prefix.expanded(count), whole=True).key_values
    assert kept is not None
    whole = _seconds(lambda: subject.capture(rows, [site]), options.repeats)
    right = subject.capture(rows, [site]).activations[site]
    print(f"{count} whole inputs: {count / whole:.0f} inputs/s, {count * options.length / whole:.0f} tokens/s")
    for end in [end for end in ENDS if end < options.length]:
        before = len(subject.prefix) + options.length - end

        def read(end: int = end, before: int = before) -> torch.Tensor:
            past = kept.rows(torch.arange(count), before, reader.layers)
            return reader.read(tokens[:, -end:], past, last=True).activations[site][:, 0]

        spent = _seconds(read, options.repeats)
        gap = float(((read() - right) / right.std(0)).pow(2).mean(1).sqrt().max())
        print(
            f"last {end}: {count / spent:.0f} inputs/s, {whole / spent:.1f} times as many; of the inputs' tokens "
            f"{count * options.length / spent:.0f}/s; farthest from the whole reading: δ = {gap:.3f}"
        )


def _seconds(work, repeats: int) -> float:
    work()
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats


if __name__ == "__main__":
    main()
