"""What a reader asks of the headline first: how strong, how sure, against what, at what resolution, used, verified."""

from __future__ import annotations

from inversescope.report.findings import Figure, Headline, Index, tested
from inversescope.report.records import Records, Row
from inversescope.verdicts import ACCEPTED
from inversescope.verdicts.text import number

CONTROLS = {
    "no condition": "no condition",
    "nearest": "nearest neighbours",
    "wrong site": "another site's activation",
    "perturbation": "edits of the source",
}


def glance(records: Records, headline: Headline) -> list[Figure]:
    """The answers for the headline's score, in the order of the questions; none where there is no such score."""
    row = headline.row
    if row is None:
        return []
    return [
        _strength(row),
        _certainty(row),
        _controls(Index(records), row),
        _resolution(records, row),
        _use(records, row),
        _verified(records, row),
    ]


def _strength(row: Row) -> Figure:
    bits = "" if row["bits"] is None else f"; {number(row['bits'])} bits"
    told = f"corrected score: FCR {number(row['fcr'])} where chance gives {number(row['chance'])}{bits}"
    return Figure("how strong", number(row["corrected"]), told)


def _certainty(row: Row) -> Figure:
    limits = f"{number(row['corrected_low'])} to {number(row['corrected_high'])}"
    targets = "1 target" if row["targets"] == 1 else f"{row['targets']} targets"
    return Figure("how sure", limits, f"95% interval over {targets}; {tested(row)}")


def _controls(index: Index, row: Row) -> Figure:
    shuffled = index.get("shuffled", row)
    found = {words: index.of(source, row) for source, words in CONTROLS.items()}
    others = "; ".join(f"{words} {number(each['fcr'])}" for words, each in found.items() if each is not None)
    if shuffled is None or shuffled["fcr"] is None:
        return Figure("against which control", None, f"no site was drawn from with shuffled targets here; {others}")
    return Figure("against which control", number(shuffled["fcr"]), f"FCR with a shuffled target; {others}")


def _resolution(records: Records, row: Row) -> Figure:
    """The bandwidths at which the same score is above chance, by its interval."""
    alike = ("source", "site", "feature")
    same = [each for each in records.scores if all(each[name] == row[name] for name in alike)]
    told = [each["bandwidth"] for each in same if each["corrected_low"] is not None and each["corrected_low"] > 0]
    reach = f"{min(told):g}" if len(set(told)) == 1 else f"{min(told):g} to {max(told):g}"
    asked = ", ".join(f"{h:g}" for h in sorted({each["bandwidth"] for each in same}))
    return Figure("at what resolution", f"h\u00a0=\u00a0{row['bandwidth']:g}", f"above chance at h {reach}, of {asked}")


def _use(records: Records, row: Row) -> Figure:
    """What becomes of the feature at the site; the rule and the numbers are in their own section."""
    name = "used or merely present"
    found = [use for use in records.usage if (use["site"], use["feature"]) == (row["site"], row["feature"])]
    if not found:
        return Figure(name, None, "this site was not run with other activations")
    (use,) = found
    return Figure(name, use["verdict"], f"at h\u00a0=\u00a0{use['bandwidth']:g}: {use['reason']}")


def _verified(records: Records, row: Row) -> Figure:
    """How the samples behind the score were checked; a reference has none, its inputs were all read."""
    if row["source"] == "reference":
        return Figure("how verified", "every input", "inputs of the pool, all of them read by the subject")
    place = ("site", "bandwidth")
    (drawn,) = (each for each in records.diagnostics if all(each[name] == row[name] for name in place))
    share = 1 - drawn["unverified"] / drawn["draws"]
    near = "" if drawn["acceptance"] is None else f", {drawn['acceptance']:.0%} within δ\u00a0≤\u00a0{ACCEPTED}"
    judged = records.verdicts["sites"].get(row["site"], {}).get("clean", {}).get("judgement", "not asked")
    told = f"of {drawn['draws']:,} draws run back through the subject{near}; the site's generator: {judged}"
    return Figure("how verified", f"{share:.0%}", told)
