"""Weighted draws of natural text for some sentences and layers: seconds, effective sizes, agreement, bits.

python benchmarks/natural_draws.py [--model M] [--layers 8,15,22] [--length 10] [--proposals 2000] [--bits 6,10]

Processor seconds of one thread, loading and collecting apart. The sentences are nobody's training set here: nothing is
trained.
"""

from __future__ import annotations

import argparse
import time

import torch

from inversescope.natural_text.natural_text import NaturalText
from inversescope.subject import Subject

TEXTS = (
    "My sister moved to Berlin because she wanted to study",
    "The court ruled that the new law was unconstitutional",
    "The old fisherman repaired his boat before the storm",
    "In the morning we found that the door was open",
    "Photosynthesis is the process by which green plants make food",
    "He asked me whether I had ever been to Paris",
    "The price of bread rose faster than the wages of workers",
    "Nobody in the village knew why the bell had stopped",
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--layers", default="8,15,22")
    parser.add_argument("--length", type=int, default=10)
    parser.add_argument("--proposals", type=int, default=2000)
    parser.add_argument("--bits", default="6,10")
    parser.add_argument("--texts", type=int, default=len(TEXTS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    subject = Subject.load(options.model)
    sites = [f"resid_post.{layer}" for layer in options.layers.split(",")]
    text = NaturalText.open(subject, sites=sites, length=options.length)
    print(f"opened in {time.process_time() - start:.0f} s; prior: {text.prior}", flush=True)
    for site, data in text.sites.items():
        medians = " ".join(f"{k}:{v:.2f}" for k, v in sorted(data.ruler.medians.items()))
        explained = " ".join(f"{m}:{bridge.explained:.2f}" for m, bridge in data.bridges.items())
        print(f"{site}: ruler {medians}; explained last {data.last.explained:.2f}, with the beginning {explained}")
    for site in sites:
        good = dict.fromkeys(options.bits.split(","), 0)
        for source in TEXTS[: options.texts]:
            tokens = subject.encode(source)[: len(subject.prefix) + options.length]
            own = tokens[len(subject.prefix) :]
            start = time.process_time()
            where = subject.sites([site])[0]
            question = text.question(subject.capture([tokens], [where]).activations[where][0], site)
            weighted = text.weighted(question, own, options.proposals)
            seconds = time.process_time() - start
            parts = []
            for bits in options.bits.split(","):
                estimate = weighted.at_bits(float(bits))
                good[bits] += bool(estimate.belief)
                by_end = " ".join(f"{z:.1f} ({estimate.sizes[end]:.0f})" for end, z in estimate.by_end.items())
                parts.append(
                    f"{bits} bits: h {estimate.bandwidth:.3f} size {estimate.size:.0f} ln Z by end {by_end} spread "
                    f"{estimate.spread:.2f} {'believed' if estimate.belief else 'NOT'}"
                )
            print(f"{site} {seconds:5.1f} s {' | '.join(parts)} | {subject.show(tokens)!r}", flush=True)
        print(f"{site}: believed " + ", ".join(f"{n} of {options.texts} at {b} bits" for b, n in good.items()))


if __name__ == "__main__":
    main()
