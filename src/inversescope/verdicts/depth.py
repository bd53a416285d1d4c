"""Change of a feature over the depth of a series of sites: it appears, disappears, or is encoded everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inversescope.records.levels import level
from inversescope.verdicts.scores import encoded

Row = Mapping[str, Any]
Series = tuple[str, str, float | None]  # point, feature, level

APPEARS, PASSES, DISAPPEARS, EVERYWHERE = "appears", "appears and disappears", "disappears", "everywhere"
CHANGES = (  # the most telling first
    APPEARS,
    PASSES,
    DISAPPEARS,
    EVERYWHERE,
    None,
)


@dataclass(frozen=True)
class Change:
    """A kind of change, the first and the last site that encodes the feature, and the number of sites with a score."""

    kind: str
    first: str
    last: str
    sites: int


def series(row: Row) -> Series:
    """The sites of one point with scores of one feature at one level."""
    return row["point"], row["feature"], level(row)


def changes(scores: Iterable[Row]) -> dict[Series, Change]:
    """The change over depth of each series of whole layers, feature and level; none where nothing is encoded."""
    by_series: dict[Series, list[Row]] = {}
    for row in scores:
        if row["head"] is None and row["layer"] is not None:
            by_series.setdefault(series(row), []).append(row)
    changed = {key: _change(sorted(rows, key=lambda row: row["layer"])) for key, rows in by_series.items()}
    return {key: change for key, change in changed.items() if change is not None}


def _change(rows: Sequence[Row]) -> Change | None:
    """The change over the sites in order of depth. It appears where an earlier site is below the limit, and stays where
    the last one is above it; a site whose interval contains the limit decides neither.
    """
    found = [encoded(row) for row in rows]
    if True not in found or len(rows) < 2:
        return None
    first, last = found.index(True), len(found) - 1 - found[::-1].index(True)
    appears, stays = False in found[:first], found[-1] is True
    kind = (APPEARS if stays else PASSES) if appears else (EVERYWHERE if stays else DISAPPEARS)
    return Change(kind, rows[first]["site"], rows[last]["site"], len(rows))
