"""Sequential Monte Carlo beside weighted draws: the same ln Z, and how many effective inputs?

    python benchmarks/natural_smc.py [--layers 8,15,22] [--targets 3] [--particles 551] [--bits N] [--out FILE.jsonl]

Targets are held-out draws of the subject's own text (`natural_domains.py`). For each: the answer by strata at so many
bits, or at the most that are to be believed, and two runs of sequential Monte Carlo with two rungs, at 1.4 h and h.
The estimates of Z are independent but for the pool, and neither has a bias: one that is far too high is a fault, one
that is too low has missed mass. Seconds are processor time of one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import torch
from natural_domains import domains  # pyright: ignore[reportMissingImports]
from natural_draws import FINEST  # pyright: ignore[reportMissingImports]
from natural_jobs import OfTarget, Row, add_options, done, opened  # pyright: ignore[reportMissingImports]

from inversescope.natural_text.beginnings import PoolBeginnings
from inversescope.natural_text.budget import Budget
from inversescope.natural_text.smc import sequential

WIDER = 1.4  # the first rung's bandwidth over the last one's
RUNS = 2


class Compared(OfTarget):
    """Both estimates for one target at one site."""

    def rows(self, domain: str, target: int, tokens: tuple[int, ...], address: str) -> Iterator[Row]:
        question, options = self.source(tokens, address).question, self.options
        start = time.process_time()
        weighted = self.text.weighted(question, tokens, options.proposals, seed=target)
        of_strata = time.process_time() - start
        bits = options.bits or next((bits for bits in FINEST.tolist() if weighted.at_bits(bits).belief), None)
        if bits is None:
            return
        estimate = weighted.at_bits(bits)
        start = time.process_time()
        posterior, pool, ends = self.text.posterior(question), PoolBeginnings(question), self.text.ends(question)
        rungs, random = (WIDER * estimate.bandwidth, estimate.bandwidth), torch.Generator().manual_seed(target)
        budget = Budget(tokens=10**9)
        runs = [sequential(posterior, pool, ends, rungs, options.particles, random, budget) for _ in range(RUNS)]
        yield {
            "site": address,
            "target": target,
            "bits": estimate.bits,
            "bandwidth": estimate.bandwidth,
            "believed": bool(estimate.belief),
            "log_z": estimate.log_z,
            "size": estimate.size,
            "smc_log_z": [run.log_normaliser[-1] for run in runs],
            "smc_size": [run.effective for run in runs],
            "seconds": [of_strata, (time.process_time() - start) / RUNS],
        }


def line(row: Row) -> str:
    smc = ", ".join(f"{z:.2f} ({size:.0f})" for z, size in zip(row["smc_log_z"], row["smc_size"], strict=True))
    return (
        f"{row['site']} target {row['target']}, {row['bits']:.1f} bits, h {row['bandwidth']:.3f}, "
        f"{'believed' if row['believed'] else 'not believed'}: ln Z {row['log_z']:.2f} ({row['size']:.0f} effective), "
        f"by sequential Monte Carlo {smc}; {row['seconds'][0]:.0f} s, and {row['seconds'][1]:.0f} s a run"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.add_argument("--layers", default="8,15,22")
    parser.add_argument("--targets", type=int, default=3)
    parser.add_argument("--proposals", type=int, default=2000)
    parser.add_argument("--particles", type=int, default=551)
    parser.add_argument("--bits", type=float, help="default: the most that are to be believed")
    options: argparse.Namespace = parser.parse_args()
    (own,) = domains(opened(options), ["own"], options.targets)
    jobs = [("own", number, tokens, site) for number, tokens in enumerate(own.targets) for site in options.sites]
    for rows in done(Compared, options, jobs):
        print("\n".join(map(line, rows)), flush=True)


if __name__ == "__main__":
    main()
