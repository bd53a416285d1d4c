"""The headline of a run: the finding that passes its own controls and that a reader of the field would want first.

Candidates are scores that count (a trusted reference, or weighted samples where the generator agrees with it), above
chance by interval and q-value where the null feature is not, above chance among inputs other than the source too, and
above every control that excludes. First come those that are not below the limit of "encoded"; then those that pass all
controls; then features that are used, then those whose use is not excluded; then those with all controls at hand; then
the change over depth, in the order of `depth.CHANGES`; then the highest lower limit of the bits, and of the score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inversescope.sites import Site
from inversescope.verdicts.claim import FAILED, MISSING, PASSED, numbers, sentence
from inversescope.verdicts.depth import APPEARS, CHANGES, PASSES, Change, changes, series
from inversescope.verdicts.scores import AGREES, NULL_FEATURE, SAME_ENDING, above_chance, decisive, encoded, trusted
from inversescope.verdicts.thresholds import SIGNIFICANT
from inversescope.verdicts.used import BOTH, CANNOT_TELL

Row = Mapping[str, Any]
Place = tuple[str, str, float]  # site, feature, bandwidth


@dataclass(frozen=True)
class Control:
    """Scores of other inputs that a finding must exceed: its whole interval above the control's.

    `excludes`: a finding that fails it is none; otherwise the headline adds `words`.
    """

    method: str
    excludes: bool
    words: str


CONTROLS = (
    Control("no condition", True, "the score without a condition cannot be told apart from it"),
    Control(
        "wrong site",
        False,
        "It may be shared with other sites: it cannot be told apart from the score at the wrong site.",
    ),
    Control(
        SAME_ENDING,
        False,
        "It may be no more than the text near the end: it cannot be told apart from the score of inputs with the same "
        "last tokens.",
    ),
)
RULE = (
    f"Rule: above chance (interval, and q at most {SIGNIFICANT}) where the reference is trusted or the generator "
    "agrees with it, where a hash of the input is not above chance too, above chance also among inputs other than the "
    "source, and above the control without a condition. "
    "Among these come first: not too weak to count as encoded; above the controls of the wrong site and of the same "
    "ending; used; appearing over depth rather than present at every layer; the highest lower limit of the bits."
)


def headline(
    scores: Sequence[Row], used: Sequence[Row], exact: bool, controls: Sequence[Control] = CONTROLS
) -> dict[str, Any]:
    """The record `causal/headline.json`.

    Args:
        scores: rows of `score/results.parquet`, with their verdicts.
        used: rows of `causal/used.parquet`.
        exact: the reference is the exact distribution.
        controls: what a finding must exceed.
    """
    by_cell = {(row["method"], row["site"], row["feature"], row["bandwidth"]): row for row in scores}
    uses = {(row["site"], row["feature"]): row for row in used}
    counting = {cell: row for cell in _places(scores) if (row := _counting(by_cell, cell, exact)) is not None}
    sure = {cell: row for cell, row in counting.items() if above_chance(row["corrected_low"], row["q_value"])}
    unmarked = {cell: row for cell, row in sure.items() if not row["null_passes"]}
    above = {cell: row for cell, row in unmarked.items() if not row["source_alone"]}
    profiles = changes(row for row in counting.values() if not (row["null_passes"] or row["source_alone"]))
    candidates = [
        _Candidate(row, uses.get(cell[:2]), _compared(by_cell, row, controls), profiles.get(series(row)))
        for cell, row in above.items()
    ]
    passing = [candidate for candidate in candidates if not candidate.excluded]
    counts = {
        "places": len(_places(scores)), "calibrated": len(counting), "null_passes": len(sure) - len(unmarked),
        "source_alone": len(unmarked) - len(above), "above_chance": len(above), "passed": len(passing),
    }  # fmt: skip
    if not passing:
        return _nothing(counts) | {"rule": RULE, "considered": counts}
    chosen = _choose(passing)
    beside = {"generator": _generator(by_cell, chosen.row), "levels": _levels(counting, above, chosen.row)}
    return chosen.record(_finest(passing, chosen).row) | beside | {"rule": RULE, "considered": counts}


_LEVEL = ("resolution", "bandwidth")
_TESTED_AT = tuple(f"{of}_{name}" for of in ("score", "donor") for name in _LEVEL)


@dataclass(frozen=True)
class _Candidate:
    row: Row
    use: Row | None
    outcomes: Sequence[dict[str, Any]]
    change: Change | None

    @property
    def excluded(self) -> bool:
        return any(outcome["outcome"] == FAILED and outcome["excludes"] for outcome in self.outcomes)

    @property
    def verdict(self) -> str | None:
        """Encoded and used; None where that was not tested."""
        return None if self.use is None else self.use["verdict"]

    @property
    def rank(self) -> tuple[bool, int, int, bool, int, int]:
        """Smaller is better; equal for all sites of a feature at which the same holds. The score of a used feature at
        the donors' bandwidth comes first: that of the smallest stands beside it in any case.
        """
        outcomes = [outcome["outcome"] for outcome in self.outcomes]
        use = 0 if self.verdict == BOTH else 1 if self.verdict in (None, CANNOT_TELL) else 2
        apart = self.use is None or self.use["donor_bandwidth"] != self.row["bandwidth"]
        change = CHANGES.index(None if self.change is None else self.change.kind)
        return encoded(self.row) is False, outcomes.count(FAILED), use, apart, outcomes.count(MISSING), change

    def record(self, finest: Row) -> dict[str, Any]:
        """The record, with the same finding at the smallest bandwidth beside it."""
        row, use = self.row, self.use
        return {
            "sentence": sentence(row, use, self.change, self.outcomes),
            "numbers": numbers(row, finest, use, self.outcomes),
            **{name: row[name] for name in ("site", "feature", *_LEVEL, "method", "targets", "ess")},
            "score": _score(row),
            "finest": _score(finest) | {name: finest[name] for name in (*_LEVEL, "method", "targets")},
            "used": None
            if use is None
            else {name: use[name] for name in ("verdict", "reason", *_TESTED_AT, *_ends("necessity"))},
            "controls": [
                {name: value for name, value in outcome.items() if name != "words"} for outcome in self.outcomes
            ],
            "depth": None if self.change is None else vars(self.change),
        }


def _choose(candidates: Sequence[_Candidate]) -> _Candidate:
    """The best feature by rank, then by its surest site; of its sites, where it appears, else the surest."""
    best = min(candidate.rank for candidate in candidates)
    among = [candidate for candidate in candidates if candidate.rank == best]
    surest = max(among, key=_sure)
    profile = (*series(surest.row), surest.row["head"])
    sites = [candidate for candidate in among if (*series(candidate.row), candidate.row["head"]) == profile]
    if surest.change is not None and surest.change.kind in (APPEARS, PASSES):
        sites = [candidate for candidate in sites if encoded(candidate.row)] or sites
        return min(sites, key=lambda candidate: Site.parse(candidate.row["site"]).depth)
    return surest


def _finest(candidates: Iterable[_Candidate], chosen: _Candidate) -> _Candidate:
    """The same site and feature at the smallest bandwidth at which they are a candidate."""
    address = (chosen.row["site"], chosen.row["feature"])
    same = [candidate for candidate in candidates if (candidate.row["site"], candidate.row["feature"]) == address]
    return min(same, key=lambda candidate: candidate.row["bandwidth"])


def _sure(candidate: _Candidate) -> tuple[float, float, float]:
    """Bits first: one of sixteen labels identified says more than one of two."""
    bits = candidate.row["bits_low"]
    low = candidate.row[f"{decisive(candidate.row)}_low"]
    return float("-inf") if bits is None else bits, low, candidate.row["bandwidth"]


def _places(scores: Sequence[Row]) -> list[Place]:
    methods = ("reference", "weighted")
    rows = [row for row in scores if row["method"] in methods and row["feature"] != NULL_FEATURE]
    return list(dict.fromkeys((row["site"], row["feature"], row["bandwidth"]) for row in rows))


def _counting(by_cell: Mapping[tuple, Row], cell: Place, exact: bool) -> Row | None:
    """The score that counts at a place, with its interval; None where neither reference nor generator is trusted."""
    reference, weighted = by_cell.get(("reference", *cell)), by_cell.get(("weighted", *cell))
    if reference is not None and trusted(reference, exact) and reference["corrected_low"] is not None:
        return reference
    agreeing = weighted is not None and weighted["verdict"] == AGREES and weighted["corrected_low"] is not None
    return weighted if agreeing else None


def _compared(by_cell: Mapping[tuple, Row], row: Row, controls: Iterable[Control]) -> list[dict[str, Any]]:
    """The outcome of each control for a score; a control has its bandwidth, or none."""
    outcomes = []
    for control in controls:
        address = (control.method, row["site"], row["feature"])
        other = by_cell.get((*address, row["bandwidth"])) or by_cell.get((*address, None))
        high = None if other is None else other["corrected_high"]
        outcome = MISSING if other is None or high is None else PASSED if row[decisive(row) + "_low"] > high else FAILED
        outcomes.append({
            "control": control.method, "outcome": outcome, "excludes": control.excludes, "words": control.words,
            **{name: None if other is None else other[name] for name in _ends("corrected")},
        })  # fmt: skip
    return outcomes


def _generator(by_cell: Mapping[tuple, Row], row: Row) -> dict[str, Any] | None:
    """The weighted samples at the same place, and the verdict on them."""
    weighted = by_cell.get(("weighted", row["site"], row["feature"], row["bandwidth"]))
    return None if weighted is None else {name: weighted[name] for name in ("verdict", *_ends("corrected"))}


def _levels(
    counting: Mapping[Place, Row], above: Mapping[Place, Row], row: Row
) -> dict[str, list[dict[str, float | None]]]:
    """The levels at which a score of the same site and feature counts, and of these, where it is above chance; the
    finest first.
    """

    def listed(places: Mapping[Place, Row]) -> list[dict[str, float | None]]:
        address = (row["site"], row["feature"])
        same = [other for other in places.values() if (other["site"], other["feature"]) == address]
        levels = [{name: other[name] for name in _LEVEL} for other in same]
        return sorted(levels, key=lambda level: level["bandwidth"] or 0.0)

    return {"scored": listed(counting), "above_chance": listed(above)}


def _nothing(counts: Mapping[str, int]) -> dict[str, Any]:
    """The record of a run in which no finding passes."""
    if not counts["places"]:
        sentence = "No feature was scored: the task has no labels."
    elif not counts["calibrated"]:
        sentence = "No score of this run counts: no reference is trusted, and no generator was found to agree with one."
    elif not counts["above_chance"] and counts["null_passes"]:
        sentence = "Features are above chance only where a hash of the input is too: there every feature passes."
    elif not counts["above_chance"] and counts["source_alone"]:
        sentence = "Features are above chance only by the source itself: among other inputs none is."
    elif not counts["above_chance"]:
        sentence = "No feature is above chance at any site."
    else:
        sentence = "No finding of this run passes its controls."
    empty = (
        *("site", "feature", *_LEVEL, "method", "targets", "ess", "score", "finest"),
        "used",
        "depth",
        "generator",
        "levels",
    )
    return {"sentence": sentence, "numbers": "", **dict.fromkeys(empty), "controls": []}


def _score(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in (*_ends("corrected"), *_ends("fcr"), *_ends("bits"), "chance", "q_value")}


def _ends(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"
