"""Record of checked claims: the verdict on each, and the numbers that it is made of. Undefined is NaN, null in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inversescope import files
from inversescope.check.claims import Claim
from inversescope.check.evidence import Evidence
from inversescope.check.measured import Measured
from inversescope.errors import UserError
from inversescope.stats import intervals
from inversescope.stats.intervals import UNDEFINED, Estimate
from inversescope.stats.misclassified import Accuracy

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class CheckedClaim:
    """One claim with its verdict.

    Attributes:
        claim: as it was given.
        kind: origin of the labels: `expression`, `feature` of the run, `classifier`, `judge`, or `none`.
        feature: the expression, the feature's name, or the question to a judge.
        value: the label that is claimed; None where nothing has labels.
        evidence: the inputs that it was measured on.
        measured: its numbers; None where nothing could be measured.
        q_value: p over all claims (Benjamini and Hochberg).
        verdict, reason: and the measurement that decides it.
        accuracy, repeated, negated: of the judge.
        sufficiency, necessity: effect on the next token of activations of inputs that have the property, and of such
            that do not, in place of the source's; only for a claim that is supported.
    """

    claim: Claim
    kind: str
    feature: str
    value: str | None
    evidence: Evidence
    measured: Measured | None
    q_value: float
    verdict: str
    reason: str
    accuracy: Accuracy | None = None
    repeated: float | None = None
    negated: float | None = None
    sufficiency: Estimate = UNDEFINED
    necessity: Estimate = UNDEFINED

    def record(self) -> dict[str, Any]:
        """The claim as one line of JSON, or one row of the table."""
        found, judge = self.measured, self.accuracy
        estimates = dict.fromkeys(_ESTIMATES, UNDEFINED)
        if found is not None:
            shares = found.shares
            estimates |= {
                "share": shares.draws,
                "others": shares.others,
                "prior": found.prior,
                "ending": found.ending,
                "targets": found.targets,
                "beyond_prior": shares.beyond_prior,
                "beyond_ending": shares.beyond_ending,
                "beyond_targets": shares.beyond_targets,
            }
        estimates |= {"sufficiency": self.sufficiency, "necessity": self.necessity}
        columns: dict[str, Any] = {}
        for name, estimate in estimates.items():
            columns |= intervals.fields(name, estimate)
        return {
            "line": self.claim.line,
            "claim": self.claim.claim,
            "verdict": self.verdict,
            "reason": self.reason,
            "source": self.evidence.source,
            "site": self.evidence.site,
            "position": str(self.claim.position),
            "level": self.evidence.level,
            "outside": self.evidence.outside,
            "kind": self.kind,
            "feature": self.feature,
            "value": self.value,
            **columns,
            "shared": self.evidence.shared,
            "inputs": None if found is None else found.inputs,
            "undecided": None if found is None else found.shares.undecided,
            "p_value": None if found is None else intervals.defined(found.p_value),
            "q_value": intervals.defined(self.q_value),
            "sensitivity": None if judge is None else judge.sensitivity,
            "specificity": None if judge is None else judge.specificity,
            "known": None if judge is None else judge.positives + judge.negatives,
            "repeated": self.repeated,
            "negated": self.negated,
            "nearest": list(self.evidence.nearest),
        }


_ESTIMATES = (
    "share", "others", "prior", "ending", "targets", "beyond_prior", "beyond_ending", "beyond_targets",
)  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """Claims with their verdicts, in the order given.

    Attributes:
        claims: each with its numbers.
        made_by: version, model, run and seed.
    """

    claims: tuple[CheckedClaim, ...]
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[CheckedClaim]:
        return iter(self.claims)

    def __len__(self) -> int:
        return len(self.claims)

    def __getitem__(self, place: int) -> CheckedClaim:
        return self.claims[place]

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        return f"Checked({len(self)} claims: {counts})"

    @property
    def counts(self) -> dict[str, int]:
        """Number of claims with each verdict."""
        verdicts = [claim.verdict for claim in self.claims]
        return {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}

    @property
    def outside(self) -> list[tuple[str, str]]:
        """Texts and sites whose activation is outside of the prior: nothing is said of them."""
        found = [(each.evidence.source, each.evidence.site) for each in self.claims if each.evidence.outside]
        return list(dict.fromkeys(found))

    def record(self) -> dict[str, Any]:
        """The whole as JSON has it; undefined is null."""
        return {"made_by": dict(self.made_by), "claims": files.plain([each.record() for each in self.claims])}

    def save(self, path: Path | str) -> None:
        """Write one line of JSON a claim.

        Raises:
            UserError: the file cannot be written, or has another ending.
        """
        where = Path(path)
        if where.suffix != ".jsonl":
            raise UserError("verdicts are saved as JSON lines", given=path, allowed="a name that ends in .jsonl")
        lines = [json.dumps(files.plain(each.record()), ensure_ascii=False, allow_nan=False) for each in self.claims]
        text = "".join(f"{line}\n" for line in lines)
        files.write(where, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def to_dataframe(self) -> pandas.DataFrame:
        """One row a claim (needs the extra `notebook`)."""
        import pandas

        return pandas.DataFrame([each.record() for each in self.claims])


def p_values(measured: list[Measured | None]) -> np.ndarray:
    """p of each claim; NaN where nothing was measured."""
    return np.array([np.nan if each is None else each.p_value for each in measured], dtype=float)
