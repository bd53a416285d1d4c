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

from inversescope.calibrate.calibrate import IN_RANGE, QUICK_POINTS
from inversescope.calibrate.divergence import POINTS
from inversescope.collect.collect import Inputs, Store
from inversescope.run.pipeline import Run
from inversescope.sample.edits import perturb
from inversescope.sample.sample import draw as draw_inputs
from inversescope.sample.verify import CHUNK
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.architectures import may_pack
from inversescope.subject.batches import batches
from inversescope.subject.patching import ROWS, Source
from inversescope.tasks import Tokens
from inversescope.train.train import Progress, train
from inversescope.units import Spread

READ = 128  # inputs read to time the subject
STEPS = 4  # training steps timed, after a first one that is not
DRAWN = 256  # samples drawn to time the generator
PASSES = 3  # a step of training over what its inputs take to be evaluated: the way back is twice as long


def estimate(run: Run, reader: Subject | None = None) -> dict[str, float]:
    """Seconds for the steps that are not done, of those that take minutes: collect, train, calibrate, sample, verify,
    causal. What takes less is not counted: the task's accuracy, reference, mine, score, report.

    How often samples repeat is not known before they are drawn: it is taken to be as often as the prior does. Training
    is taken to go on to its last step. Donors of the causal step are taken to be as many as there can be.

    Args:
        reader: what is timed in the subject's place: a model of the same widths, perhaps of fewer layers, for which
            the seconds are scaled. None: the subject itself.
    """
    config, sites = run.config, run.sites
    clock = _Clock(run, reader or run.subject)
    conditions = config.collect.targets * len(sites["train"])
    samples = conditions * config.sample.samples * len(config.sample.bandwidths)
    everything = sum(1 for _ in run.task.enumerate()) if config.collect.pool == "all" else 0
    trained = everything if config.collect.train == "all" else config.collect.train
    pool = everything if config.collect.pool == "all" else config.collect.pool
    collected = pool + config.collect.targets + (0 if config.collect.train == "all" else trained)
    wanted = max(READ, collected, min(samples, 20 * CHUNK))
    drawn = run.task.draw(min(wanted, run.task.rows or wanted), np.random.default_rng([config.seed, 3]))
    edits = perturb(drawn[: config.collect.targets], drawn, config.sample.samples, np.random.default_rng(config.seed))
    distinct = sorted({*drawn[:samples], *(tokens for each in edits for tokens in each if tokens is not None)})
    a_token = clock.token(drawn[:READ], sites["pool"])
    setup, step, sample = clock.generator(drawn[:trained])
    draw, evaluate = config.calibrate.draws * sample, step / (PASSES * config.train.batch)
    exact = config.collect.pool == "all"
    checks = (config.train.steps - 1) // config.train.check * (config.calibrate.targets // 2) * _questions(run)
    others = min(config.sample.samples, 2 * len(run.task.features) * config.causal.donors)
    sources = min(config.causal.targets, config.collect.targets) * len(sites["train"])
    seconds = {
        "collect": a_token * collected * clock.tokens(sorted(drawn[:collected])[: config.collect.shard]),
        "train": setup
        + step * (config.train.pretrain + config.train.steps)
        + checks * (QUICK_POINTS * evaluate if exact else draw),
        "calibrate": _questions(run) * config.calibrate.targets * (draw + (POINTS * evaluate if exact else 0)),
        "sample": sample * samples,
        "verify": a_token * len(distinct) * clock.tokens(distinct[:CHUNK]),
        "causal": clock.patch(drawn[0]) * sources * (1 + config.causal.donors + others)
        + a_token * sources * others * clock.tokens(drawn[: max(1, others)]),
    }
    return {name: value for name, value in seconds.items() if not run.finished(name)}


def _questions(run: Run) -> int:
    """How many questions calibration asks of each stand-in for a target."""
    config = run.config.calibrate
    bandwidths = IN_RANGE if config.bandwidths == "range" else len(config.bandwidths or run.config.sample.bandwidths)
    return len(run.sites["train"]) * bandwidths * len(config.queries)


class _Clock:
    """Times what a run is made of, by the reader."""

    def __init__(self, run: Run, reader: Subject):
        self._run, self._reader = run, reader

    def token(self, inputs: Sequence[Tokens], sites: Sequence[Site]) -> float:
        """Seconds for a token that goes through the subject: what inputs share at their start is computed once."""
        read, scale = self._within(sites)
        self._reader.capture(inputs[:8], read)  # the first time is slower
        started = time.monotonic()
        self._reader.capture(inputs, read)
        return scale * (time.monotonic() - started) / (self.tokens(inputs) * len(inputs))

    def tokens(self, inputs: Sequence[Tokens]) -> float:
        """Tokens that go through the subject for each of these inputs, when they are read together."""
        share = may_pack(self._reader.model, max(map(len, inputs)))
        made = batches(inputs, self._reader.batch_tokens, share=share)
        return sum(batch.tokens.numel() for batch in made) / len(inputs)

    def patch(self, tokens: Tokens) -> float:
        """Seconds for one run of an input with another activation in place of its own."""
        whole, layers = self._run.subject.shape.layers, self._reader.shape.layers
        (site,) = self._reader.sites([f"resid_post.{layers // 2}"])
        source = Source(self._reader, tokens)
        patches = [{site: torch.zeros(self._reader.dimension(site))}] * ROWS
        source.logits(patches)  # the first time is slower
        started = time.monotonic()
        source.logits(patches)
        return whole / layers * (time.monotonic() - started) / ROWS

    def generator(self, inputs: list[Tokens]) -> tuple[float, float, float]:
        """Seconds before the first step of training, for a step, and for a sample; all from random activations."""
        config, every, device = self._run.config, self._run.sites["train"], self._reader.device
        some = np.random.default_rng(0).permutation(len(every))[: config.train.sites_per_step]
        sites = [every[i] for i in some]
        noise = _Noise(self._run, inputs)
        first = min(1, config.train.pretrain)
        few = config.train.model_copy(update={"steps": STEPS + 1 - first, "pretrain": first})
        times: list[float] = []

        def stop_watch(_: Progress) -> None:
            times.append(time.monotonic())

        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            generator = train(
                Path(folder), noise, sites, config.generator, few, 0, device, stop_watch, self._reader
            ).eval()
        step = (times[-1] - times[0]) / STEPS
        setup = (times[0] - started) * len(every) / len(sites)
        started = time.monotonic()
        target = noise.activations("train", sites[0])[:1]
        draw_inputs(generator, sites[0], target, config.sample.bandwidths[0], DRAWN, _random(device))
        return setup, step, (time.monotonic() - started) / DRAWN

    def _within(self, sites: Sequence[Site]) -> tuple[list[Site], float]:
        """Those of the sites that the reader has, at most as deep as it is, and how much longer the subject takes."""
        whole, layers = self._run.subject.shape.layers, self._reader.shape.layers
        if whole == layers:
            return list(sites), 1.0
        deepest = max(min(part.depth[0], whole - 1) for site in sites for part in site.singles)
        within = [site for site in sites if all(part.depth[0] < layers for part in site.singles)]
        return [*within, *self._reader.sites([f"resid_post.{layers - 1}"])], (deepest + 1) / layers


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
