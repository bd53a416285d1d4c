"""Evidence on an activation from a trained run: draws of its generator, and controls from its stored inputs."""

from __future__ import annotations

from collections import Counter
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from inversescope import files, records
from inversescope.check.claims import Claim
from inversescope.check.evidence import NONE, Evidence, Inputs
from inversescope.collect.reference import FEW
from inversescope.errors import UserError
from inversescope.explain.ending import Endings
from inversescope.explain.prior import Prior
from inversescope.inverter import Given, Inversion, Inverter, given
from inversescope.inverter.served import chosen
from inversescope.records.levels import Level
from inversescope.sites import Site
from inversescope.stats.weights import systematic
from inversescope.streams import Stream
from inversescope.subject.vectors import read_vector
from inversescope.tasks import Tokens
from inversescope.verdicts import TRUSTED

NEAREST = 3  # draws that are shown
LIGHT = 1e-3  # share of the weight that stored inputs may have together to be left out
DRAWN, ENDING = 32_768, 400  # new draws from the prior, and inputs of one ending that are used at most


class Gatherer:
    """Draws at one level of each site, beside the inputs of the run.

    Attributes:
        inverter: a trained run.
        n: draws for each activation.
        resolution, bandwidth, seed: as for `Inverter.invert`.
    """

    def __init__(self, inverter: Inverter, n: int, resolution: float | None, bandwidth: float | None, seed: int):
        self.inverter, self.n, self.seed = inverter, n, seed
        self._at = resolution, bandwidth
        self._decoded = lru_cache(maxsize=None)(inverter.run.subject.decode)
        self._targets: dict[tuple[Site, float], list[tuple[Tokens, Inputs]]] = {}

    def site(self, address: str) -> Site:
        """The one site of an address.

        Raises:
            UserError: the generator does not serve it, or it names several.
        """
        found = chosen(address, self.inverter.sites, self.inverter.run.subject.shape)
        if len(found) > 1:
            raise UserError("a claim is about one site", given=address, allowed=", ".join(map(str, found)))
        return next(iter(found))

    def of(self, claim: Claim) -> tuple[Evidence, Inversion]:
        """The evidence on a claim's activation, and the draws that it is made of.

        Raises:
            UserError: the text has no such position, or there is no such vector or site.
        """
        inverter, subject = self.inverter, self.inverter.run.subject
        site, source = self.site(claim.site), self._source(claim)
        level = inverter.level(site, *self._at)
        activation = source.activations(subject, [site])[site]
        inversion = inverter.invert_given(source, site, activation, self.n, level, self.seed)
        draws = [sample for sample in inversion.samples if sample.tokens and sample.weight]
        near, left_out = self._near(inversion, site, activation, level)
        ending, shared = self._ending(inversion.tokens, site, level)
        return Evidence(
            inversion.text,
            inversion.tokens,
            str(site),
            inversion.level,
            near,
            self._prior_inputs,
            self.prior.run.store.exact,
            ending,
            shared,
            self._of_targets(site, level.bandwidth, inversion.tokens),
            left_out,
            inversion.outside.outside,
            tuple(str(sample.text) for sample in draws[:NEAREST]),
        ), inversion

    def _near(
        self, inversion: Inversion, site: Site, activation: Float[Tensor, "1 d"], level: Level
    ) -> tuple[Inputs, str | None]:
        """Inputs that give the activation, or the reason why nothing can be decided: draws, where their weights can be
        relied on, and stored inputs, where these are worth enough.
        """
        left_out = _left_out(inversion)
        draws = [sample for sample in inversion.samples if sample.tokens and sample.weight]
        tokens: list[Any] = [sample.tokens for sample in draws]
        drawn = self._inputs(tokens, np.array([sample.weight for sample in draws], dtype=float))
        stored = self._stored(site, activation, level.bandwidth)
        if inversion.outside.outside or not (self.inverter.run.store.exact or stored.size >= TRUSTED):
            return drawn, left_out
        return Inputs.joined([stored] if left_out else [drawn, stored]), None

    def _stored(self, site: Site, activation: Float[Tensor, "1 d"], bandwidth: float) -> Inputs:
        """Inputs of the whole prior, or a sample of it that is stored, by the kernel's weight."""
        store, log_prior = self.inverter.run.store, self._log_prior
        near = store.distance(site)
        distances = torch.cat([near.between(store.activations(split, site), activation)[:, 0] for split in log_prior])
        shares = np.concatenate(list(log_prior.values()))
        weights = store.kernel.posterior(distances.double().numpy()[None], bandwidth, shares)[0]
        return self._heavy([tokens for split in log_prior for tokens in store.inputs(split).tokens], weights)

    @cached_property
    def _log_prior(self) -> dict[str, Float[ndarray, " inputs"]]:
        """ln of the prior's share that each input of a split stands for. Pool and training of a prior that is not
        stored as a whole are draws of what the targets leave; so these stand for themselves, if they are much of it.
        """
        store, task = self.inverter.run.store, self.inverter.run.task
        pool, train, targets = (store.inputs(split) for split in ("pool", "train", "target"))
        if store.exact:
            return {"pool": pool.log_prior}
        logs = [None] if hasattr(task, "held_out") else [task.log_prior(tokens) for tokens in targets.tokens]
        own = np.array([log for log in logs if log is not None])
        if len(own) < len(logs) or (share := float(np.exp(own).sum())) < FEW:
            return {"pool": pool.log_prior, "train": train.log_prior}
        each = np.log((1 - share) / (len(pool) + len(train)))
        return {"pool": np.full(len(pool), each), "train": np.full(len(train), each), "target": own}

    def _heavy(self, tokens: list[Tokens], weights: Float[ndarray, " n"]) -> Inputs:
        """Inputs without the lightest, most of a store, which together have little of the weight."""
        order = weights.argsort()
        light = order[weights[order].cumsum() < LIGHT * weights.sum()]
        kept = weights.copy()
        kept[light] = 0
        return self._inputs(tokens, kept)

    def labels(self, feature: str, tokens: Tokens) -> str | None:
        """The label of an input by a feature of the run."""
        return self.inverter.task.labels(tokens)[feature]

    def _source(self, claim: Claim) -> Given:
        subject, projections = self.inverter.run.subject, self.inverter.run.config.subject.projections
        if claim.vector is None:
            return given(subject, claim.text, claim.position, None)[0][0]
        named = isinstance(claim.vector, str)
        values = read_vector(claim.vector, projections) if named else claim.vector
        return Given(claim.vector if named else "a vector", None, vector=values)

    @cached_property
    def prior(self) -> Prior:
        """Inputs of the run's reference."""
        return Prior(self.inverter.run)

    @cached_property
    def _prior_inputs(self) -> Inputs:
        return self._inputs(self.prior.tokens, self.prior.probability)

    def _inputs(self, tokens: list[Tokens], weights: np.ndarray) -> Inputs:
        return Inputs.of(tokens, [self._decoded(row) for row in tokens], weights)

    def _ending(self, source: Tokens | None, site: Site, level: Level) -> tuple[Inputs, int | None]:
        """Inputs with the source's ending, of which as little of the prior is left as at the level."""
        found = self._endings.of(source, site, level.bandwidth)
        if found is None:
            return NONE, None
        rows, weights = list(self._new_inputs) or self.prior.tokens, found.weights
        if self._new_inputs and (weights > 0).sum() > ENDING:
            # By weight: of the inputs that were drawn first, too many are frequent ones.
            places = systematic(weights, ENDING, Stream.ENDINGS.rng(self.seed, ENDING))
            weights = np.bincount(places, minlength=len(weights)).astype(float)
        places = np.flatnonzero(weights)
        return self._inputs([rows[i] for i in places.tolist()], weights[places]), found.length

    @cached_property
    def _new_inputs(self) -> Counter[Tokens]:
        """Further draws from the prior, which need not be read; none where it is stored as a whole, or its rows are."""
        run = self.inverter.run
        if run.store.exact or run.task.rows is not None:
            return Counter()
        held_out = getattr(run.task, "held_out", lambda row: False)
        return Counter(row for row in run.task.draw(DRAWN, Stream.ENDINGS.rng(self.seed)) if not held_out(row))

    @cached_property
    def _endings(self) -> Endings:
        if not (new := self._new_inputs):
            return Endings(self.inverter.run, self.prior.tokens, self.prior.probability)
        return Endings(self.inverter.run, list(new), np.array(list(new.values())) / new.total())

    def _of_targets(self, site: Site, bandwidth: float, source: Tokens | None) -> tuple[Inputs, ...]:
        """Draws for the run's targets at this level, but for the source's own."""
        if (site, bandwidth) not in self._targets:
            self._targets[site, bandwidth] = self._read_targets(site, bandwidth)
        return tuple(inputs for own, inputs in self._targets[site, bandwidth] if own != source)

    def _read_targets(self, site: Site, bandwidth: float) -> list[tuple[Tokens, Inputs]]:
        run = self.inverter.run
        if not run.finished("verify"):
            return []
        wanted = (pc.field("method") == "generator") & (pc.field("site") == str(site)) & pc.field("verified")
        wanted &= (pc.field("bandwidth") == bandwidth) & pc.field("left_out").is_null()
        columns = ["target", "tokens", "weight"]
        table = files.read_table(run.folder / records.verify.SAMPLES.path, columns=columns, filters=wanted)
        rows: dict[int, list[tuple[Tokens, float]]] = {}
        for row in table.to_pylist():
            rows.setdefault(row["target"], []).append((tuple(row["tokens"]), row["weight"] or 0.0))
        sources = run.store.inputs("target").tokens
        return [
            (sources[target], self._inputs([tokens for tokens, _ in drawn], np.array([weight for _, weight in drawn])))
            for target, drawn in rows.items()
        ]


def _left_out(inversion: Inversion) -> str | None:
    """The reason why the draws decide nothing."""
    if inversion.outside.outside:
        return inversion.outside.words
    if inversion.left_out is not None:
        return f"no finding: {inversion.left_out}"
    return "the weights have a heavy tail for so few draws" if inversion.unreliable else None
