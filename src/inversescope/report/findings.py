"""What the records say, by stated rules: verdicts, reasons for undefined values, the headline, failures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from inversescope.report.records import Records, Row
from inversescope.report.targets import acceptance, share
from inversescope.verdicts import ACCEPTED, DETERMINED, GAP, TRUSTED, agreement
from inversescope.verdicts.text import equals, number, of_row

UNDERTRAINED = "undertrained: absence here is not evidence"
UNCHECKED = "nothing tells whether the generator is calibrated here: absence is not evidence"
_RULE = "Rule: the highest lower limit of the corrected score"

SOURCES = {
    "reference": "reference (pool, no generator)",
    "generator": "generator (draws as they come)",
    "weighted": "weighted (the same draws, reweighted)",
    "nearest": "nearest neighbours in the pool",
    "shuffled": "shuffled target",
    "no condition": "no condition",
    "wrong site": "wrong site (the same target, another site's activation)",
    "perturbation": "perturbation (edits of the source input, kernel weights)",
}


@dataclass(frozen=True)
class Headline:
    """The sentence at the top, the numbers behind it, the rule by which it was chosen, and the score row it tells."""

    sentence: str
    numbers: str
    rule: str
    row: Row | None


@dataclass(frozen=True)
class Figure:
    """One key figure: its name, its value (None: undefined, `source` then gives the reason), where it comes from."""

    name: str
    value: str | None
    source: str


@dataclass(frozen=True)
class Failure:
    """What failed at one site of the generator. `collapsed`: a count per bandwidth, None where there are no draws."""

    site: str
    draws: int
    unverified: int
    undecided: int
    collapsed: list[int | None]
    worst_target: int | None
    worst_acceptance: float | None
    undertrained: int
    checked: int


class Index:
    """The score rows by (source, site, feature, bandwidth), and what the calibration says of their places."""

    def __init__(self, records: Records):
        self.exact = records.exact
        self.enough = 0.0 if records.exact else TRUSTED
        self._rows = {(row["source"], row["site"], row["feature"], row["bandwidth"]): row for row in records.scores}
        clean = [row for row in records.calibration if row["query"] == "clean"]
        self._asked = {(row["site"], row["bandwidth"]): row["verdict"] for row in clean}

    def get(self, source: str, row: Row) -> Row | None:
        """The row of another source at the place of `row`; None if there is none."""
        return self._rows.get((source, row["site"], row["feature"], row["bandwidth"]))

    def of(self, source: str, row: Row) -> Row | None:
        """The same, at the bandwidth of `row` or of a source that has none."""
        return self.get(source, row) or self._rows.get((source, row["site"], row["feature"], None))

    def verdict(self, row: Row) -> str:
        """What is known of the generator at the place of a row: `agrees`, `unclear`, `undertrained` or `unchecked`.

        Two comparisons are heard: the calibration, on stand-ins for the targets, and the gap on the targets themselves.
        """
        generator = self.get("generator", row)
        gap = "unchecked" if generator is None else agreement(generator, self.get("reference", row), self.exact)
        asked = self._asked.get((row["site"], row["bandwidth"]))
        if "undertrained" in (gap, asked):
            return "undertrained"
        return "agrees" if asked == "calibrated" and gap == "unchecked" else gap


def headline(records: Records) -> Headline:
    """The strongest statement that the records support; the rule is part of the result."""
    index = Index(records)
    scored = [row for row in records.scores if row["corrected"] is not None and row["corrected_low"] is not None]
    weighted = [row for row in scored if row["source"] == "weighted"]
    agreeing = [row for row in weighted if index.verdict(row) == "agrees"]
    trusted = [row for row in scored if row["source"] == "reference" and (row["ess"] or 0) >= index.enough]
    reference = f"references with an effective sample size of {TRUSTED:.0f} or more"
    for rows, among in (
        (agreeing, f"weighted samples where the reference confirms the generator (gap at most {GAP})"),
        (trusted, "exact references" if records.exact else reference),
        (weighted, "weighted samples; no reference is good enough to check them"),
    ):
        best = max(rows, key=lambda row: (row["corrected_low"], row["bandwidth"]), default=None)
        if best is not None and best["corrected_low"] > 0:
            rule = f"{_RULE} among {len(rows):,} {among}; the larger h on a tie. It is the best of many."
            return Headline(_sentence(best), _numbers(best, index.get("shuffled", best)), rule, best)
    return Headline(_nothing(records, bool(weighted or trusted)), "", f"{_RULE}.", None)


def key_figures(records: Records) -> list[Figure]:
    """The few numbers under the headline, each with its source."""
    draws = sum(row["draws"] for row in records.diagnostics)
    drawn = Figure("draws", f"{draws:,}", "generator, all its sites and bandwidths")
    return [
        Figure("targets", f"{len(records.targets):,}", "inputs of the target split"),
        drawn if draws else Figure("draws", None, "the generator drew no samples"),
        _accepted(records),
        _calibrated(records),
        _accuracy(records.accuracy),
    ]


def failures(records: Records) -> list[Failure]:
    """What went wrong, per site of the generator, in order of depth."""
    index, worst = Index(records), _worst_targets(records)
    drawn, scored = _by_site(records.diagnostics), _by_site(records.scores)
    return [
        _failure(site, drawn[site], scored[site], index, records.bandwidths, *worst.get(site, (None, None)))
        for site in records.generator_sites
    ]


def _accepted(records: Records) -> Figure:
    smallest = min(records.bandwidths, default=None)
    rows = [row for row in records.diagnostics if row["bandwidth"] == smallest and row["acceptance"] is not None]
    accepted = share(sum(row["acceptance"] * row["draws"] for row in rows), sum(row["draws"] for row in rows))
    if accepted is None:
        return Figure("accepted", None, "no draw was verified at the smallest h")
    return Figure(
        "accepted", f"{accepted:.0%}", f"of the draws at h\u00a0=\u00a0{smallest:g}: δ\u00a0≤\u00a0{ACCEPTED}"
    )


def _calibrated(records: Records) -> Figure:
    judged = [queries["clean"]["judgement"] for queries in records.verdicts["sites"].values() if "clean" in queries]
    if not judged:
        return Figure("calibrated", None, "the generator was not asked about clean targets")
    known = (
        "the exact distribution" if records.exact else f"the pool's reference; {judged.count('cannot tell')} unclear"
    )
    return Figure("calibrated", f"{judged.count('calibrated')} of {len(judged)}", f"sites of the generator, by {known}")


def _accuracy(accuracy: Row) -> Figure:
    if not accuracy["defined"]:
        return Figure("task accuracy", None, "this task has no notion of accuracy")
    limits = f"[{number(accuracy['low'])}, {number(accuracy['high'])}]"
    source = f"subject, {limits}, n\u00a0=\u00a0{accuracy['n']}: {accuracy['what']}"
    return Figure("task accuracy", number(accuracy["value"]), source)


def _failure(
    site: str,
    drawn: list[Row],
    scored: list[Row],
    index: Index,
    bandwidths: list[float],
    target: int | None,
    accepted: float | None,
) -> Failure:
    generated = [row for row in scored if row["source"] == "generator"]
    verdicts = [index.verdict(row) for row in generated]
    collapsed = {row["bandwidth"]: row["collapsed"] for row in drawn}
    return Failure(
        site=site,
        draws=sum(row["draws"] for row in drawn),
        unverified=sum(row["unverified"] for row in drawn),
        undecided=sum(row["undecided"] for row in generated),
        collapsed=[collapsed.get(bandwidth) for bandwidth in bandwidths],
        worst_target=target,
        worst_acceptance=accepted,
        undertrained=verdicts.count("undertrained"),
        checked=len(verdicts) - verdicts.count("unchecked"),
    )


def _by_site(rows: Iterable[Row]) -> defaultdict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["site"]].append(row)
    return found


def _worst_targets(records: Records) -> dict[str, tuple[int, float]]:
    worst: dict[str, tuple[int, float]] = {}
    for (site, target), value in acceptance(records.samples, ["site", "target"]).items():
        if value is not None and (site not in worst or value < worst[site][1]):
            worst[site] = (target, value)
    return worst


def _sentence(row: Row) -> str:
    verb = "determines" if row["corrected_low"] >= DETERMINED else "partly determines"
    claim = f"the activation {verb} the {row['feature']}: corrected score {of_row(row, 'corrected')}."
    return f"At {row['site']}, h\u00a0=\u00a0{row['bandwidth']:g}, {claim}"


def _nothing(records: Records, compared: bool) -> str:
    if compared:
        return "No feature can be told from chance at any site."
    if not records.scores:
        return "No feature was scored: the task has no labels."
    if any(row["corrected"] is not None for row in records.scores):
        return "No weighted score and no trusted reference has an interval."
    return "No score of this run is defined."


def _numbers(row: Row, shuffled: Row | None) -> str:
    control = "" if shuffled is None else f", with a shuffled target {number(shuffled['fcr'])}"
    source = {"weighted": "weighted samples", "reference": "neighbours in the pool, no generator"}[row["source"]]
    targets = "1 target" if row["targets"] == 1 else f"{row['targets']} targets"
    return f"{targets}; {source}; FCR {number(row['fcr'])}, by chance {number(row['chance'])}{control}{_sure(row)}."


def _sure(row: Row) -> str:
    """The q-value of a row, as the end of a sentence."""
    return "" if row["q_value"] is None else f"; {tested(row)}"


def tested(row: Row) -> str:
    """The q-value of a row in words."""
    if row["q_value"] is None:
        return "not tested against shuffled targets"
    return f"against shuffled targets q {equals(row['q_value'])}"


def proposals(records: Records) -> list[Row]:
    """The proposed hypotheses, the surest first: by the lower end of the corrected score, the undefined last."""
    return sorted(records.proposals, key=lambda row: (row["corrected_low"] is None, -(row["corrected_low"] or 0)))
