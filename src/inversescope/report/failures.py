"""Failures of each site of the generator, counted in the records; and proposals in the order of their scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from inversescope.records.levels import level
from inversescope.report.records import Records, Row
from inversescope.report.targets import acceptance
from inversescope.verdicts.scores import FAILING


@dataclass(frozen=True)
class Failure:
    """Failures at one site of the generator. `collapsed`: a count per level, None where there are no draws."""

    site: str
    draws: int
    unverified: int
    undecided: int
    collapsed: list[int | None]
    worst_target: int | None
    worst_acceptance: float | None
    failing: int
    checked: int


def failures(records: Records) -> list[Failure]:
    """One for each site of the generator, in order of depth."""
    worst = _worst_targets(records)
    drawn, scored, levels = _by_site(records.diagnostics), _by_site(records.scores), records.levels
    return [
        _failure(site, drawn[site], scored[site], levels, *worst.get(site, (None, None)))
        for site in records.generator_sites
    ]


def _failure(
    site: str,
    drawn: list[Row],
    scored: list[Row],
    levels: list[float],
    target: int | None,
    accepted: float | None,
) -> Failure:
    generated = [row for row in scored if row["method"] == "generator"]
    verdicts = [row["verdict"] for row in generated]
    collapsed = {level(row): row["collapsed"] for row in drawn}
    return Failure(
        site=site,
        draws=sum(row["draws"] for row in drawn),
        unverified=sum(row["unverified"] for row in drawn),
        undecided=sum(row["undecided"] for row in generated),
        collapsed=[collapsed.get(number) for number in levels],
        worst_target=target,
        worst_acceptance=accepted,
        failing=sum(verdict in FAILING for verdict in verdicts),
        checked=len(verdicts) - verdicts.count("unchecked"),
    )


def _by_site(rows: Iterable[Row]) -> defaultdict[str, list[Row]]:
    by_site: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_site[row["site"]].append(row)
    return by_site


def _worst_targets(records: Records) -> dict[str, tuple[int, float]]:
    """The target with the smallest share of accepted draws, over the bandwidths at which acceptance counts."""
    worst: dict[str, tuple[int, float]] = {}
    for (site, target), value in acceptance(records.counting_samples, ["site", "target"]).items():
        if value is not None and (site not in worst or value < worst[site][1]):
            worst[site] = (target, value)
    return worst


def proposals(records: Records) -> list[Row]:
    """The proposed hypotheses by the lower end of the corrected score, the undefined last."""
    return sorted(records.proposals, key=lambda row: (row["corrected_low"] is None, -(row["corrected_low"] or 0)))
