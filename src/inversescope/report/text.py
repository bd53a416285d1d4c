"""Section of the report on natural text: methods compared at each site, features above the ending, every target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa

from inversescope import files
from inversescope.records import text as records
from inversescope.records.record import Table
from inversescope.verdicts import wording

Row = Mapping[str, Any]
SHOWN = 6  # draws of a target that are shown
FIRST = ("nearest", "best", "draws", "stored", "same ending", "no condition", "shuffled target", "random direction")

# Methods of the chart: seven at most can be told apart.
CURVES = ("nearest", "draws 6 bits", "stored ×1", "stored ×4", "stored ×16", "no condition", "same ending 4")


@dataclass(frozen=True)
class Card:
    """One target at one site.

    Attributes:
        source: its input.
        site: the site.
        verdicts: of the draws, one for each number of bits.
        nearest, best: the first input that each search found; None where there was none.
        draws: the draws that are to be believed, the most frequent first.
    """

    source: str
    site: str
    verdicts: list[Row]
    nearest: Row | None
    best: Row | None
    draws: list[Row]


def section(run: Path, template: str) -> str:
    """The section as HTML; empty where the run has no natural text."""
    if not files.finished(run / "text"):
        return ""
    verdicts, answers = _rows(run, records.VERDICTS), _rows(run, records.ANSWERS)
    compared = _rows(run, records.COMPARISON)
    if not compared:
        return ""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": wording.number, "marked": marked, "ruler": ruler, "visible": wording.visible}
    return environment.from_string(template).render(
        compared=sorted(compared, key=_order),
        believed=list(believed(verdicts)),
        above=_rows(run, records.ABOVE),
        cards=cards(verdicts, answers),
        of_row=wording.of_row,
    )


def believed(verdicts: Sequence[Row]) -> list[tuple[str, float, int, int]]:
    """Targets whose draws are to be believed, and all, at each site and number of bits."""
    keys = dict.fromkeys((row["site"], row["bits_wanted"]) for row in verdicts)
    each = {key: [row["believed"] for row in verdicts if (row["site"], row["bits_wanted"]) == key] for key in keys}
    return [(*key, sum(found), len(found)) for key, found in each.items()]


def cards(verdicts: Sequence[Row], answers: Sequence[Row]) -> list[Card]:
    """Targets in order, each at its sites in the order of depth."""
    made = []
    keys = dict.fromkeys((row["target"], row["site"], row["source"]) for row in verdicts)
    for target, site, source in sorted(keys, key=lambda key: key[0]):
        own = [row for row in answers if (row["target"], row["site"]) == (target, site)]
        first = {row["method"]: row for row in reversed(own) if row["rank"] == 0}
        made.append(
            Card(
                source,
                site,
                [row for row in verdicts if (row["target"], row["site"]) == (target, site)],
                first.get(records.NEAREST),
                first.get(records.BEST),
                [row for row in own if row["method"].startswith(records.DRAWS) and row["rank"] < SHOWN],
            )
        )
    return made


def marked(text: str, source: str) -> str:
    """A text as HTML, with the words marked that differ from the source."""
    return wording.marked(source, text, lambda words: f"<mark>{escape(words)}</mark>", escape)


def ruler(row: Row) -> str:
    """Distance of an input in words."""
    shared = row["shared"]
    return "unrelated" if shared == 0 else f"last {wording.count(shared, 'token')}"


def _order(row: Row) -> tuple[int, int]:
    """Methods in one order; the rows are sorted by site already."""
    place = next(i for i, name in enumerate(FIRST) if row["method"].startswith(name))
    return int("".join(filter(str.isdigit, row["site"])) or 0), place


def _rows(run: Path, record: Table) -> list[dict[str, Any]]:
    table: pa.Table = files.read_table(run / record.path)
    return table.to_pylist()
