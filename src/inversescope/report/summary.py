"""Summary of the headline: strength, certainty, controls, bandwidth, use, verification; and key figures of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inversescope.records.levels import finest_first
from inversescope.records.levels import level as number_of
from inversescope.report.records import Records, Row
from inversescope.report.targets import share
from inversescope.verdicts import ACCEPTED, beside_calibration
from inversescope.verdicts.wording import SPACE, count, equals, level, number, of_row

# Other estimates of the same score, which are no controls.
BESIDE = {"shuffled": "shuffled target", "nearest": "nearest neighbours", "edits": "edits of the source"}


@dataclass(frozen=True)
class Figure:
    """A key figure: its name, its value (None: undefined, `source` then gives the reason), and its source."""

    name: str
    value: str | None
    source: str


def summary(records: Records) -> list[Figure]:
    """The figures of the headline's finding; none where there is no finding."""
    headline = records.headline
    if headline["site"] is None:
        return []
    score = headline["finest"]
    bits = "" if score["bits"] is None else f"; {number(score['bits'])} bits"
    strength = (
        f"corrected score at {level(score)}: FCR {number(score['fcr'])} where chance gives {number(score['chance'])}"
    )
    wider = (
        f"; {number(headline['score']['corrected'])} at {level(headline)}"
        if score["bandwidth"] != headline["bandwidth"]
        else ""
    )
    limits = f"{number(score['corrected_low'])} to {number(score['corrected_high'])}"
    certainty = f"95% interval over {count(score['targets'], 'target')}; q{SPACE}{equals(score['q_value'])}"
    return [
        Figure("how strong", number(score["corrected"]), f"{strength}{bits}{wider}"),
        Figure("how sure", limits, f"{certainty} against shuffled targets"),
        _controls(records, headline),
        _resolution(headline),
        _used(headline),
        _verified(records, headline),
    ]


def _controls(records: Records, headline: Mapping[str, Any]) -> Figure:
    """The outcome of each control, and other estimates of the same score."""
    outcomes = [control["outcome"] for control in headline["controls"]]
    controls = [
        f"{control['control']} {number(control['corrected'])} ({control['outcome']})"
        for control in headline["controls"]
    ]
    rows = {row["method"]: row for row in records.scores if _same_place(row, headline)}
    others = [f"{words} {number(rows[name]['corrected'])}" for name, words in BESIDE.items() if name in rows]
    listed = "; ".join(controls) + (f". Beside it: {'; '.join(others)}" if others else "")
    passed = f"{outcomes.count('passed')} of {len(outcomes)}"
    return Figure("above which controls", passed, f"at {level(headline)}: {listed}")


def _same_place(row: Row, headline: Mapping[str, Any]) -> bool:
    same = (row["site"], row["feature"]) == (headline["site"], headline["feature"])
    return same and row["bandwidth"] in (None, headline["bandwidth"])


def _resolution(headline: Mapping[str, Any]) -> Figure:
    above, scored = (", ".join(map(level, headline["levels"][name])) for name in ("above_chance", "scored"))
    where = f"the resolution of the claim and its controls. Scores count at {scored}; above chance: {above}"
    return Figure("at which resolution", level(headline), where)


def _used(headline: Mapping[str, Any]) -> Figure:
    if headline["used"] is None:
        return Figure("encoded and used?", None, "the subject was not run with other activations at this site")
    return Figure("encoded and used?", headline["used"]["verdict"], headline["used"]["reason"])


def _verified(records: Records, headline: Mapping[str, Any]) -> Figure:
    """The check of the samples at the same site and bandwidth; the inputs of a reference were all read."""
    address = ("site", "bandwidth")
    drawn = next((row for row in records.diagnostics if all(row[name] == headline[name] for name in address)), None)
    if drawn is None:
        return Figure("how verified", "every input", "inputs of the pool, all of them read by the subject")
    parts = [f"of {drawn['draws']:,} draws run back through the subject", typical(drawn)]
    if headline["generator"] is not None:
        calibration = next((row["verdict"] for row in records.calibration if _clean(row, headline)), None)
        parts.append(f"corrected score by the weighted draws {of_row(headline['generator'], 'corrected')}")
        parts.append(beside_calibration(headline["generator"]["verdict"], calibration))
    return Figure("how verified", f"{1 - drawn['unverified'] / drawn['draws']:.0%}", "; ".join(parts))


def _clean(row: Row, headline: Mapping[str, Any]) -> bool:
    """True for the row of the calibration on activations without noise, at the place of the finding."""
    return (row["site"], row["bandwidth"], row["query"]) == (headline["site"], headline["bandwidth"], "clean")


def typical(drawn: Row) -> str:
    """The median distance of samples, beside what is typical at the bandwidth."""
    reference = drawn["reference_median_distance"]
    beside = "" if reference is None else f"reference {number(reference)}, "
    return f"median δ{SPACE}{number(drawn['median_distance'])} ({beside}prior {number(drawn['prior_median_distance'])})"


def key_figures(records: Records) -> list[Figure]:
    """The few numbers of the run under the headline, each with its source."""
    draws = sum(row["draws"] for row in records.diagnostics)
    drawn = Figure("draws", f"{draws:,}", "generator, all its sites and resolutions")
    return [
        Figure("targets", f"{len(records.targets):,}", "inputs of the target split"),
        drawn if draws else Figure("draws", None, "the generator drew no samples"),
        _accepted(records),
        _calibrated(records),
        _accuracy(records.accuracy),
    ]


def _accepted(records: Records) -> Figure:
    """The share of draws other than the source that are accepted, at the finest level at which acceptance counts."""
    rows = [row for row in records.diagnostics if row["acceptance_counts"] and row["others_acceptance"] is not None]
    finest = next(iter(finest_first(rows)), None)
    rows = [row for row in rows if number_of(row) == finest]
    others = [round((1 - row["source_draws"]) * row["draws"]) for row in rows]
    accepted = share(sum(row["others_acceptance"] * n for row, n in zip(rows, others, strict=True)), sum(others))
    if accepted is None:
        why = f"at no resolution of the run is δ{SPACE}≤{SPACE}{ACCEPTED} to be expected of other inputs"
        return Figure("accepted", None, why)
    words = f"of the draws other than the source at {_common(rows)}: δ{SPACE}≤{SPACE}{ACCEPTED}"
    return Figure("accepted", f"{accepted:.0%}", words)


def _common(rows: Sequence[Row]) -> str:
    """The level of rows of several sites, whose bandwidths differ at one resolution."""
    resolution = rows[0]["resolution"]
    return level(rows[0]) if resolution is None else f"1{SPACE}in{SPACE}{resolution:g}"


def _calibrated(records: Records) -> Figure:
    judged = [row["verdict"] for row in records.calibration if row["query"] == "clean"]
    if not judged:
        return Figure("calibrated", None, "the calibration had no clean targets")
    others = [f"{judged.count(word)} {word}" for word in ("copies", "undertrained", "cannot tell") if word in judged]
    listed = f"; {', '.join(others)}" if others else ""
    source = f"sites and bandwidths of the generator{listed}"
    return Figure("calibrated", f"{judged.count('calibrated')} of {len(judged)}", source)


def _accuracy(accuracy: Row) -> Figure:
    if not accuracy["defined"]:
        return Figure("task accuracy", None, "this task has no notion of accuracy")
    limits = of_row({f"value{end}": accuracy[end.strip("_") or "value"] for end in ("", "_low", "_high")}, "value")
    source = f"subject, {limits.partition(' ')[2]}, n{SPACE}={SPACE}{accuracy['n']}: {accuracy['what']}"
    return Figure("task accuracy", number(accuracy["value"]), source)
