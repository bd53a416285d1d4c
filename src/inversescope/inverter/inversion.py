"""Result of inverting one activation: the samples, and how good they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from inversescope import files
from inversescope.charts.answer import distances_of_draws
from inversescope.charts.chart import Chart
from inversescope.charts.widget import Part, Shown
from inversescope.collect.posterior import Typical
from inversescope.errors import UserError
from inversescope.inverter.inverted_sample import InvertedSample, SourceShare
from inversescope.inverter.norms import Norms
from inversescope.inverter.notes import notes_on
from inversescope.records import LABEL
from inversescope.score.feature import own_share, shares_of_kept
from inversescope.stats.intervals import defined
from inversescope.stats.labels import encode
from inversescope.stats.weights import largest_reliable_shape, systematic
from inversescope.streams import Stream
from inversescope.tasks import Labels, Tokens
from inversescope.verdicts import OTHERS, Outside, wording

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Inversion(Shown):
    """Result of inverting one activation: the samples, nearest first, and how good they are.

    Attributes:
        text: the source input, up to the position that was read; of a vector its name.
        tokens: the same, prefix included; None for a vector, which has no source.
        dropped: tokens left out at its beginning, because the subject reads no longer input.
        site: where it was read.
        bandwidth: h.
        labels: the source's own features; all undecided (None) for a vector.
        samples: verified samples by distance, then those that could not be verified.
        acceptance: share of all samples with δ at most 0.1.
        effective_sample_size: of the importance weights, by distinct inputs.
        pareto_k: shape k̂ of the weights' tail before it was smoothed; None where there is no tail to fit.
        log_normaliser: ln Ẑ, the estimate of Σ P(x) k(δ/h), in nats; None where nothing has weight.
        log_floor: ln P(x̂)·k(0), the source's own term of that sum; None where nothing is known of P.
        floor: origin of P(x̂): `known`, or `typical` of the pool's inputs; None where nothing is known of P.
        left_out: the reason why the samples give no finding (`verdicts/left_out.py`); None where they do.
        typical: distances that are typical at the bandwidth, to compare those of the samples with.
        outside: the distance to the nearest stored input, and whether the activation is outside of the prior: then the
            samples answer for no input like it, and nothing may be concluded from them.
        noise_floor: δ between two readings of one input at this site; no smaller distance means anything.
        resolution: N, where h is that of a resolution of the run.
        proposal: note where the generator draws for another posterior, which the weights mend; else None.
        made_by: version, model, run and seeds.
        norms: of a vector, beside those of stored inputs; None for a text.
    """

    text: str
    tokens: Tokens | None
    dropped: int
    site: str
    bandwidth: float
    labels: Labels
    samples: tuple[InvertedSample, ...]
    acceptance: float
    effective_sample_size: float
    pareto_k: float | None
    log_normaliser: float | None
    log_floor: float | None
    floor: str | None
    left_out: str | None
    typical: Typical
    noise_floor: float
    outside: Outside
    resolution: float | None = None
    proposal: str | None = None
    made_by: Mapping[str, Any] = field(default_factory=dict)
    norms: Norms | None = None

    def __repr__(self) -> str:
        found = f"{len(self.samples)} samples, effective sample size {self.effective_sample_size:.0f}"
        return f"Inversion({wording.shortened(self.text)!r} at {self.site}, {self.level}: {found})"

    @property
    def level(self) -> str:
        """The resolution and the bandwidth, in words."""
        return wording.level(vars(self))

    @property
    def cut_off(self) -> str:
        """Note beside a text that was too long; empty otherwise."""
        return f" (its first {self.dropped} tokens left out: too long for the subject)" if self.dropped else ""

    @property
    def distances(self) -> str:
        """The median distance of the samples beside what is typical, and their acceptance where it has a meaning."""
        known = [sample.distance for sample in self.samples if sample.distance is not None]
        reference = self.typical.reference
        beside = "" if reference is None else f"reference {wording.number(reference)}, "
        median = wording.number(float(np.median(known)) if known else None)
        accepted = f", acceptance {self.acceptance:.2f}" if self.typical.acceptance_counts else ""
        return f"median δ {median} ({beside}prior {wording.number(self.typical.prior)}){accepted}"

    @property
    def below_noise(self) -> bool:
        """True if the bandwidth is below the subject's own rounding."""
        return self.bandwidth < self.noise_floor

    @property
    def unreliable(self) -> bool:
        """True if the weights have a tail too heavy for so few inputs: other draws might give another answer."""
        inputs = sum(sample.times > 0 for sample in self.samples)
        return self.pareto_k is not None and self.pareto_k > largest_reliable_shape(inputs)

    @property
    def source_text(self) -> str | None:
        """The source input; None for a vector, which has none."""
        return None if self.tokens is None else self.text

    def _is_source(self, sample: InvertedSample) -> bool:
        return self.tokens is not None and sample.tokens == self.tokens

    @property
    def source_share(self) -> SourceShare:
        """Share of the source input itself, of the draws and of the weight."""
        if self.tokens is None:
            return SourceShare(None, None)
        own = [sample for sample in self.samples if self._is_source(sample)]
        total = sum(sample.weight or 0.0 for sample in self.samples)
        weight = sum(sample.weight or 0.0 for sample in own) / total if total > 0 else None
        return SourceShare(len(own) / len(self.samples), weight)

    @property
    def weights(self) -> Float[ndarray, " n"]:
        """Weights of the samples; 0 for those that have none."""
        return np.array([sample.weight or 0.0 for sample in self.samples])

    @property
    def other_weights(self) -> Float[ndarray, " n"]:
        """The same, 0 for the source itself too; for all where the others have less than a hundredth of the weight."""
        others = self.weights * [not self._is_source(sample) for sample in self.samples]
        return others if others.sum() >= OTHERS * self.weights.sum() else np.zeros(len(others))

    @property
    def others_acceptance(self) -> float | None:
        """Share of the draws other than the source with δ at most 0.1; None where there are none."""
        others = [sample.accepted for sample in self.samples if not self._is_source(sample)]
        return sum(others) / len(others) if others else None

    @property
    def distinct(self) -> tuple[InvertedSample, ...]:
        """The samples by distance, each input once; those that never ended as one."""
        return tuple(sample for sample in self.samples if sample.times)

    @property
    def notes(self) -> list[str]:
        """Sentences for people: the source's share, and reasons why the samples give no finding or an uncertain one."""
        return notes_on(self)

    def resample(self, n: int, seed: int = 0) -> tuple[InvertedSample, ...]:
        """`n` samples to be counted alike: each comes up as often as its weight says, rounded up or down.

        Raises:
            UserError: no sample has any weight.
        """
        weights = self.weights
        if not weights.any():
            raise UserError("no sample has any weight", remedy="draw more, or ask at a larger bandwidth")
        return tuple(self.samples[i] for i in systematic(weights, n, Stream.RESAMPLE.rng(seed)))

    def to_dataframe(self) -> pandas.DataFrame:
        """One row a sample, with a column `label.NAME` for each feature, as in the tables of a run (needs the extra
        `notebook`).
        """
        import pandas

        rows = [vars(sample) | _prefixed(sample.labels) for sample in self.samples]
        return pandas.DataFrame(rows).drop(columns="labels")

    def chart(self) -> Chart:
        """Chart of the distances of the draws, the source itself marked."""
        rows = [
            {"distance": sample.distance, "draws": sample.times, "source": self._is_source(sample)}
            for sample in self.distinct
            if sample.distance is not None
        ]
        return Chart(distances_of_draws(f"{self.site}, {self.level}"), rows)

    def _shown(self) -> tuple[list[Part], str | None]:
        columns = {"distance": "δ", "weight": "weight", "times": "draws", "text": "sample"}
        rows = [{name: getattr(sample, name) for name in columns} for sample in self.distinct]
        notes = "; ".join([f"{self.site}, {self.level}; {self.distances}", *self.notes])
        texts: list[Part] = [{"text": wording.visible(self.text)}, {"text": notes}]
        return [*texts, self.chart().part(), {"columns": columns, "rows": rows}], self._repr_html_()

    def record(self) -> dict[str, Any]:
        """The inversion as JSON has it; undefined is null."""
        return files.plain(asdict(self)) | {
            "distinct": len(self.distinct),
            "source_share": self.source_share._asdict(),
            "others_acceptance": self.others_acceptance,
            "notes": self.notes,
            "level": self.level,
        }

    def to_json(self) -> str:
        """The record as text."""
        return json.dumps(self.record(), indent=2, ensure_ascii=False)

    def save(self, path: Path | str) -> None:
        """Write the record to a .json file.

        Raises:
            UserError: the file cannot be written, or has another ending.
        """
        if Path(path).suffix != ".json":
            raise UserError("an inversion is saved as JSON", given=path, allowed="a name that ends in .json")
        files.write_json(Path(path), self.record())

    def own_label(self, label: Callable[[Tokens], str | None]) -> str | None:
        """The source's label; of a vector, which has none, that with the most weight among the samples. None where it
        is undecided, or where no decided sample has weight.
        """
        if self.tokens is not None:
            return label(self.tokens)
        totals = self._totals([None if sample.tokens is None else label(sample.tokens) for sample in self.samples])
        return max(totals, key=totals.__getitem__, default=None)

    def heaviest(self, feature: str) -> tuple[str, float] | None:
        """The label with the most weight among decided samples, and its share of that; None where none is decided, or
        where the samples give no finding (`left_out`).

        Raises:
            UserError: there is no such feature.
        """
        self._require(feature)
        totals = self._totals([sample.labels.get(feature) for sample in self.samples])
        if self.left_out is not None or not totals:
            return None
        most = max(totals, key=totals.__getitem__)
        return most, totals[most] / sum(totals.values())

    def _totals(self, labels: Sequence[str | None]) -> dict[str, float]:
        """The weight of the samples that have each label."""
        totals: dict[str, float] = {}
        for weight, label in zip(self.weights.tolist(), labels, strict=True):
            if label is not None and weight > 0:
                totals[label] = totals.get(label, 0.0) + weight
        return totals

    def _require(self, feature: str) -> None:
        if feature not in self.labels:
            raise UserError("there is no such feature", given=feature, allowed=", ".join(self.labels) or "none")

    def shared(self, feature: str, others: bool = False) -> float | None:
        """The weight, among decided samples, of those with the source's label; None where that is undecided, where no
        sample is decided, or where the samples give no finding (`left_out`).

        Args:
            feature: its name.
            others: among samples other than the source itself; None where these have less than a hundredth of the
                weight.

        Raises:
            UserError: there is no such feature.
        """
        self._require(feature)
        weights = self.other_weights if others else self.weights
        kept = np.array([self.left_out is None and bool(weights.any())])
        own, labels = self.labels[feature], [sample.labels.get(feature) for sample in self.samples]
        values = sorted({label for label in (own, *labels) if label is not None})
        shares = shares_of_kept(encode(labels, values)[None], weights[None], len(values), kept)
        return defined(own_share(shares, encode([own], values))[0])

    def _repr_html_(self) -> str:
        from inversescope.inverter.html import inversion_html

        return inversion_html(self)


def _prefixed(labels: Labels) -> dict[str, str | None]:
    return {f"{LABEL}{name}": label for name, label in labels.items()}
