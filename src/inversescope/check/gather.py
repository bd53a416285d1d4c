"""Evidence on an activation from a trained run: draws of its generator, and controls from its stored inputs."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow.compute as pc

from inversescope import files, records
from inversescope.check.claims import Claim
from inversescope.check.evidence import NONE, Evidence, Inputs
from inversescope.errors import UserError
from inversescope.explain.ending import Endings
from inversescope.explain.prior import Prior
from inversescope.inverter import Given, Inversion, Inverter, given
from inversescope.inverter.served import chosen
from inversescope.records.levels import Level
from inversescope.sites import Site
from inversescope.subject.vectors import read_vector
from inversescope.tasks import Tokens

NEAREST = 3  # draws that are shown


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
        tokens: list[Any] = [sample.tokens for sample in draws]
        weights = np.array([sample.weight for sample in draws], dtype=float)
        ending, shared = self._ending(inversion.tokens, site, level)
        return Evidence(
            inversion.text,
            inversion.tokens,
            str(site),
            inversion.level,
            self._inputs(tokens, weights),
            self._prior_inputs,
            self.prior.run.store.exact,
            ending,
            shared,
            self._of_targets(site, level.bandwidth, inversion.tokens),
            _left_out(inversion),
            inversion.outside.outside,
            tuple(str(sample.text) for sample in draws[:NEAREST]),
        ), inversion

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
        """Inputs of the reference with the source's ending, of which as little of the prior is left as at the level."""
        found = self._endings.of(source, site, level.bandwidth)
        return (NONE, None) if found is None else (self._inputs(self.prior.tokens, found.weights), found.length)

    @cached_property
    def _endings(self) -> Endings:
        return Endings(self.prior)

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
