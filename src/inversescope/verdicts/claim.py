"""Words of a headline: the claim, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inversescope.verdicts.depth import APPEARS, DISAPPEARS, EVERYWHERE, PASSES, Change
from inversescope.verdicts.scores import decisive, encoded
from inversescope.verdicts.thresholds import DETERMINED, MARGIN
from inversescope.verdicts.used import BOTH, CANNOT_TELL, NEITHER
from inversescope.verdicts.wording import SPACE, count, equals, joined, level, of_row

Row = Mapping[str, Any]
PASSED, FAILED, MISSING = "passed", "failed", "not available"


def sentence(row: Row, use: Row | None, change: Change | None, outcomes: Sequence[Row]) -> str:
    """The claim, in one or two sentences."""
    site, verdict = row["site"], None if use is None else use["verdict"]
    if change is None or change.kind == EVERYWHERE:
        where = f"is encoded at {site}" + ("" if change is None else ", and from the first layer to the last")
    elif change.kind == DISAPPEARS:
        where = f"is encoded at {site}, and no longer found after {change.last}"
    elif change.kind == PASSES:
        where = f"appears at {change.first} and is no longer found after {change.last}"
    else:
        where = f"appears at {change.first}"
    there = "there" if change is None or change.kind != APPEARS or site == change.first else f"at {site}"
    there = f"at {site}" if change is not None and change.kind == PASSES else there
    if verdict == BOTH:
        claim = f"The {row['feature']} {where}, and the model uses it {there}."
    elif verdict == NEITHER or encoded(row) is False:
        claim = f"The {row['feature']} is above chance at {site}, but too weak to count as encoded."
    elif verdict in (None, CANNOT_TELL):
        claim = f"The {row['feature']} {where}. The runs do not show whether the model uses it."
    else:
        claim = f"The {row['feature']} {where}, but the model does not use it {there}."
    return " ".join([claim, *(outcome["words"] for outcome in outcomes if outcome["outcome"] == FAILED)])


def numbers(row: Row, finest: Row, use: Row | None, outcomes: Sequence[Row]) -> str:
    """The numbers behind the claim: the score at the smallest bandwidth, then at the claim's own, and the use."""
    determined = finest[f"{decisive(finest)}_low"] >= DETERMINED
    strength = "determines it" if determined else "partly determines it"
    by = {"reference": "inputs of the pool, weighted", "weighted": "the generator's samples, weighted"}[row["method"]]
    parts = [f"The activation {strength}: {_scored(finest, 'corrected score')}, where 0 is chance and 1 certainty"]
    if finest["bandwidth"] != row["bandwidth"]:
        parts.append(_scored(row, "score"))
    if use is not None and use["necessity"] is not None:
        parts.append(f"necessity {of_row(use, 'necessity')} with donors at {_at(use, 'donor_')}")
    parts.append(f"{count(row['targets'], 'target')}, {by}")
    listed = {
        words: [f"“{outcome['control']}”" for outcome in outcomes if outcome["outcome"] == kind]
        for kind, words in (
            (PASSED, "above the controls"),
            (FAILED, "not above the controls"),
            (MISSING, "without the controls"),
        )
    }
    compared = "; ".join(f"{words} {joined(names)}" for words, names in listed.items() if names)
    compared = f"; {compared}" if compared else ""
    return f"{'; '.join(parts)}. At {_at(row)} it is above chance (q{SPACE}{equals(row['q_value'])}){compared}."


def _scored(row: Row, words: str) -> str:
    """A score at its level, and beside it the one among other inputs where that decides and is not level with it."""
    among = decisive(row) == "others" and abs(row["others"] - row["corrected"]) >= MARGIN
    beside = f" ({of_row(row, 'others')} among inputs other than the source)" if among else ""
    return f"{words} {of_row(row, 'corrected')}{beside} at {_at(row)}"


def _at(row: Row, of: str = "") -> str:
    return level({name: row[f"{of}{name}"] for name in ("resolution", "bandwidth")})
