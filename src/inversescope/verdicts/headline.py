"""The headline of a run: the finding that passes its own controls and that a reader of the field would want first.

Candidates are scores that count (a trusted reference, or weighted samples where the generator agrees with it), above
chance by interval and q-value, and above every control that excludes. First come those that pass all controls; then
features that are used, then those whose use is not excluded; then those with all controls at hand; then the change over
depth, in the order of `CHANGES`; then the highest lower limit of the corrected score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inversescope.sites import Site
from inversescope.verdicts.scores import AGREES, above_chance, beyond, trusted
from inversescope.verdicts.text import SPACE, count, equals, interval, of_row
from inversescope.verdicts.thresholds import DETERMINED, ENCODED
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
    Control("no condition", True, "the generator scores as high without a condition"),
    Control("wrong site", False, "It is shared with other sites: the activation of another site says as much."),
)
PASSED, FAILED, MISSING = "passed", "failed", "not available"

APPEARS, PASSES, DISAPPEARS, EVERYWHERE = "appears", "appears and disappears", "disappears", "everywhere"
CHANGES = (APPEARS, PASSES, DISAPPEARS, EVERYWHERE, None)
RULE = (
    "Rule: above chance (interval, and q at most 0.05) where the reference is trusted or the generator agrees with it, "
    "and above the control without a condition. Among these come first: above the control of the wrong site; used; "
    "appearing over depth rather than present at every layer; the highest lower limit of the score."
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
    found = {(row["source"], row["site"], row["feature"], row["bandwidth"]): row for row in scores}
    uses = {(row["site"], row["feature"], row["bandwidth"]): row for row in used}
    counting = {place: row for place in _places(scores) if (row := _counting(found, place, exact)) is not None}
    above = {place: row for place, row in counting.items() if above_chance(row["corrected_low"], row["q_value"])}
    profiles = _profiles(counting)
    candidates = [
        _Candidate(row, uses.get(place), _compared(found, row, controls), profiles.get(_series(row)))
        for place, row in above.items()
    ]
    passing = [each for each in candidates if not each.excluded]
    counts = {
        "places": len(_places(scores)), "calibrated": len(counting), "above_chance": len(above), "passed": len(passing)
    }  # fmt: skip
    if not passing:
        return _nothing(counts) | {"rule": RULE, "considered": counts}
    chosen = _choose(passing)
    return chosen.record() | {"generator": _generator(found, chosen.row)} | {"rule": RULE, "considered": counts}


@dataclass(frozen=True)
class _Change:
    """Change of a feature over the depth of a series of sites, and the first and last site that encodes it."""

    kind: str
    first: str
    last: str
    sites: int


@dataclass(frozen=True)
class _Candidate:
    row: Row
    use: Row | None
    outcomes: Sequence[dict[str, Any]]
    change: _Change | None

    @property
    def excluded(self) -> bool:
        return any(each["outcome"] == FAILED and each["excludes"] for each in self.outcomes)

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Smaller is better; equal for all sites of a feature at which the same holds."""
        outcomes = [each["outcome"] for each in self.outcomes]
        verdict = None if self.use is None else self.use["verdict"]
        use = 0 if verdict == BOTH else 1 if verdict in (None, CANNOT_TELL) else 2
        change = CHANGES.index(None if self.change is None else self.change.kind)
        return outcomes.count(FAILED), use, outcomes.count(MISSING), change

    def record(self) -> dict[str, Any]:
        row, use = self.row, self.use
        score = {name: row[name] for name in (*_ends("corrected"), *_ends("fcr"), *_ends("bits"), "chance", "q_value")}
        return {
            "sentence": _sentence(self),
            "numbers": _numbers(self),
            **{name: row[name] for name in ("site", "feature", "bandwidth", "source", "targets", "ess")},
            "score": score,
            "used": None if use is None else {name: use[name] for name in ("verdict", "reason", *_ends("necessity"))},
            "controls": [{name: value for name, value in each.items() if name != "words"} for each in self.outcomes],
            "depth": None if self.change is None else vars(self.change),
        }


def _choose(candidates: Sequence[_Candidate]) -> _Candidate:
    """The best feature by rank, then by its surest site; of its sites, where it appears, else the surest."""
    best = min(each.rank for each in candidates)
    among = [each for each in candidates if each.rank == best]
    surest = max(among, key=_sure)
    place = (*_series(surest.row), surest.row["head"])
    sites = [each for each in among if (*_series(each.row), each.row["head"]) == place]
    if surest.change is not None and surest.change.kind in (APPEARS, PASSES):
        return min(sites, key=lambda each: Site.parse(each.row["site"]).depth)
    return surest


def _sure(candidate: _Candidate) -> tuple[float, float]:
    return candidate.row["corrected_low"], candidate.row["bandwidth"]


def _places(scores: Sequence[Row]) -> list[Place]:
    rows = [row for row in scores if row["source"] in ("reference", "weighted")]
    return list(dict.fromkeys((row["site"], row["feature"], row["bandwidth"]) for row in rows))


def _counting(found: Mapping[tuple, Row], place: Place, exact: bool) -> Row | None:
    """The score that counts at a place, with its interval; None where neither reference nor generator is trusted."""
    reference, weighted = found.get(("reference", *place)), found.get(("weighted", *place))
    if reference is not None and trusted(reference, exact) and reference["corrected_low"] is not None:
        return reference
    agreeing = weighted is not None and weighted["verdict"] == AGREES and weighted["corrected_low"] is not None
    return weighted if agreeing else None


def _compared(found: Mapping[tuple, Row], row: Row, controls: Iterable[Control]) -> list[dict[str, Any]]:
    """The outcome of each control for a score; a control has its bandwidth, or none."""
    outcomes = []
    for control in controls:
        place = (control.method, row["site"], row["feature"])
        other = found.get((*place, row["bandwidth"])) or found.get((*place, None))
        high = None if other is None else other["corrected_high"]
        outcome = MISSING if other is None or high is None else PASSED if row["corrected_low"] > high else FAILED
        outcomes.append({
            "control": control.method, "outcome": outcome, "excludes": control.excludes, "words": control.words,
            **{name: None if other is None else other[name] for name in _ends("corrected")},
        })  # fmt: skip
    return outcomes


def _series(row: Row) -> tuple[str, str, float]:
    return row["point"], row["feature"], row["bandwidth"]


def _profiles(counting: Mapping[Place, Row]) -> dict[tuple[str, str, float], _Change]:
    """The change over depth of each series of whole layers, feature and bandwidth; none where nothing is encoded."""
    series: dict[tuple[str, str, float], list[Row]] = {}
    for row in counting.values():
        if row["head"] is None and row["layer"] is not None:
            series.setdefault(_series(row), []).append(row)
    changes = {key: _change(sorted(rows, key=lambda row: row["layer"])) for key, rows in series.items()}
    return {key: change for key, change in changes.items() if change is not None}


def _change(rows: Sequence[Row]) -> _Change | None:
    """The change over the sites in order of depth. It appears where an earlier site is below the limit, and stays where
    the last one is above it; a site whose interval contains the limit decides neither.
    """
    encoded = [beyond(row, "corrected", ENCODED) for row in rows]
    if True not in encoded or len(rows) < 2:
        return None
    first, last = encoded.index(True), len(encoded) - 1 - encoded[::-1].index(True)
    appears, stays = False in encoded[:first], encoded[-1] is True
    kind = (APPEARS if stays else PASSES) if appears else (EVERYWHERE if stays else DISAPPEARS)
    return _Change(kind, rows[first]["site"], rows[last]["site"], len(rows))


def _generator(found: Mapping[tuple, Row], row: Row) -> dict[str, Any] | None:
    """The weighted samples at the same place, and the verdict on them."""
    weighted = found.get(("weighted", row["site"], row["feature"], row["bandwidth"]))
    return None if weighted is None else {name: weighted[name] for name in ("verdict", *_ends("corrected"))}


def _sentence(candidate: _Candidate) -> str:
    """The claim, in one or two sentences."""
    row, change = candidate.row, candidate.change
    site, verdict = row["site"], None if candidate.use is None else candidate.use["verdict"]
    if change is None or change.kind == EVERYWHERE:
        where = f"is encoded at {site}" + ("" if change is None else ", and at every layer")
    elif change.kind == DISAPPEARS:
        where = f"is encoded at {site}, and no longer after {change.last}"
    elif change.kind == PASSES:
        where = f"appears at {change.first} and is lost after {change.last}"
    else:
        where = f"appears at {change.first}"
    there = "there" if change is None or change.kind != APPEARS or site == change.first else f"at {site}"
    there = f"at {site}" if change is not None and change.kind == PASSES else there
    if verdict == BOTH:
        claim = f"The {row['feature']} {where}, and the model uses it {there}."
    elif verdict in (None, CANNOT_TELL):
        claim = f"The {row['feature']} {where}. The runs do not show whether the model uses it."
    else:
        claim = f"The {row['feature']} {where}, but the model does not use it {there}."
    return " ".join([claim, *(each["words"] for each in candidate.outcomes if each["outcome"] == FAILED)])


def _numbers(candidate: _Candidate) -> str:
    """The numbers behind the claim."""
    row, use = candidate.row, candidate.use
    strength = "determines it" if row["corrected_low"] >= DETERMINED else "partly determines it"
    parts = [
        f"The activation {strength}: corrected score {of_row(row, 'corrected')}, where 0 is chance and 1 certainty"
    ]
    if use is not None and use["necessity"] is not None:
        parts.append(f"necessity {interval(*(use[name] for name in _ends('necessity')))}")
    by = {"reference": "inputs of the pool, weighted", "weighted": "the generator's samples, weighted"}[row["source"]]
    parts.append(f"h{SPACE}={SPACE}{row['bandwidth']:g}, {count(row['targets'], 'target')}, {by}")
    outcomes = {each["control"]: each["outcome"] for each in candidate.outcomes}
    listed = {
        words: [name for name, outcome in outcomes.items() if outcome == kind]
        for kind, words in ((PASSED, "above"), (FAILED, "not above"), (MISSING, "not compared with"))
    }
    compared = "; ".join(f"{words} {', '.join(names)}" for words, names in listed.items() if names)
    return f"{'; '.join(parts)}. Above chance (q{SPACE}{equals(row['q_value'])}){'; ' if compared else ''}{compared}."


def _nothing(counts: Mapping[str, int]) -> dict[str, Any]:
    """The record of a run in which no finding passes."""
    if not counts["places"]:
        sentence = "No feature was scored: the task has no labels."
    elif not counts["calibrated"]:
        sentence = "No score of this run counts: no reference is trusted, and no generator was found to agree with one."
    elif not counts["above_chance"]:
        sentence = "No feature is above chance at any site."
    else:
        sentence = "No finding of this run passes its controls."
    empty = ("site", "feature", "bandwidth", "source", "targets", "ess", "score", "used", "depth", "generator")
    return {"sentence": sentence, "numbers": "", **dict.fromkeys(empty), "controls": []}


def _ends(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"
