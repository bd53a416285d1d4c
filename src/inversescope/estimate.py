"""How long a run will take on this machine, from measurements that take a quarter of a minute together."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.collect import Inputs, Store
from inversescope.perturb import perturb
from inversescope.pipeline import Run
from inversescope.sample import draw
from inversescope.sites import Site
from inversescope.spread import Spread
from inversescope.subject import Subject
from inversescope.subject.batches import batches
from inversescope.tasks import Tokens
from inversescope.train import Progress, train
from inversescope.verify import CHUNK

READ = 128  # inputs read to time the subject
STEPS = 4  # training steps timed, after a first one that is not
DRAWN = 256  # samples drawn to time the generator


def estimate(run: Run) -> dict[str, float]:
    """Seconds for the steps that are not done, of those that take minutes: collect, train, sample, verify.

    How often samples repeat is not known before they are drawn: it is taken to be as often as the prior does.
    """
    config, sites = run.config, run.sites
    samples = config.collect.targets * config.sample.samples * len(config.sample.bandwidths) * len(sites["train"])
    everything = sum(1 for _ in run.task.enumerate()) if config.collect.pool == "all" else 0
    trained = everything if config.collect.train == "all" else config.collect.train
    pool = everything if config.collect.pool == "all" else config.collect.pool
    collected = pool + config.collect.targets + (0 if config.collect.train == "all" else trained)
    wanted = max(READ, collected, min(samples, 20 * CHUNK))
    drawn = run.task.draw(min(wanted, run.task.rows or wanted), np.random.default_rng([config.seed, 3]))
    edits = perturb(drawn[: config.collect.targets], drawn, config.sample.samples, np.random.default_rng(config.seed))
    distinct = sorted({*drawn[:samples], *(tokens for each in edits for tokens in each if tokens is not None)})
    a_token = _seconds_a_token(run.subject, drawn[:READ], sites["pool"])
    setup, step, sample = _generator(run, drawn[:trained])
    seconds = {
        "collect": a_token * collected * _tokens(run.subject, sorted(drawn[:collected])[: config.collect.shard]),
        "train": setup + step * (config.train.pretrain + config.train.steps),
        "sample": sample * samples,
        "verify": a_token * len(distinct) * _tokens(run.subject, distinct[:CHUNK]),
    }
    return {name: value for name, value in seconds.items() if not run.finished(name)}


def _seconds_a_token(subject: Subject, inputs: Sequence[Tokens], sites: Sequence[Site]) -> float:
    """Of those that go through the subject: what inputs share at their start is computed once."""
    subject.capture(inputs[:8], sites)  # the first time is slower
    started = time.monotonic()
    subject.capture(inputs, sites)
    return (time.monotonic() - started) / (_tokens(subject, inputs) * len(inputs))


def _tokens(subject: Subject, inputs: Sequence[Tokens]) -> float:
    """Tokens that go through the subject for each of these inputs, when they are read together."""
    return sum(batch.tokens.numel() for batch in batches(inputs, subject.batch_tokens, share=True)) / len(inputs)


def _generator(run: Run, inputs: list[Tokens]) -> tuple[float, float, float]:
    """Seconds before the first step of training, for a step, and for a sample; all from random activations."""
    config, every = run.config, run.sites["train"]
    some = np.random.default_rng(0).permutation(len(every))[: config.train.sites_per_step]
    sites = [every[i] for i in some]
    noise = _Noise(run, inputs)
    first = min(1, config.train.pretrain)
    few = config.train.model_copy(update={"steps": STEPS + 1 - first, "pretrain": first})
    times: list[float] = []

    def stop_watch(_: Progress) -> None:
        times.append(time.monotonic())

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        generator = train(
            Path(folder), noise, sites, config.generator, few, 0, run.subject.device, stop_watch, run.subject
        ).eval()
    step = (times[-1] - times[0]) / STEPS
    setup = (times[0] - started) * len(every) / len(sites)
    started = time.monotonic()
    target = noise.activations("train", sites[0])[:1]
    draw(generator, sites[0], target, config.sample.bandwidths[0], DRAWN, _random(run.subject.device))
    return setup, step, (time.monotonic() - started) / DRAWN


class _Noise(Store):
    """A store of the run's size with random activations."""

    def __init__(self, run: Run, inputs: list[Tokens]):
        super().__init__(run.folder / "collect")
        self._subject = run.subject
        self._inputs = Inputs(inputs, [], {})

    def inputs(self, split: str) -> Inputs:  # pyright: ignore[reportIncompatibleVariableOverride] - not cached
        return self._inputs

    def activations(  # pyright: ignore[reportIncompatibleVariableOverride] - not cached
        self, split: str, site: Site
    ) -> Float[Tensor, "n d"]:
        return torch.randn(len(self._inputs), self._subject.dimension(site), generator=_random(torch.device("cpu")))

    def spread(self, site: Site) -> Spread:
        d = self._subject.dimension(site)
        return Spread(torch.zeros(d), torch.ones(d), len(self._inputs))


def _random(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(0)
