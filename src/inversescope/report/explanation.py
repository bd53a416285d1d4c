"""An explanation as one HTML file, from its record: needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from inversescope import files
from inversescope.errors import UserError
from inversescope.verdicts import ACCEPTED, NULL_PASSES, SIGNIFICANT, SOURCE_ALONE, USED, wording
from inversescope.verdicts.used import BOTH

Row = Mapping[str, Any]
SHOWN = 12  # hypotheses of a site


def write_explanation(record: Row, path: Path) -> None:
    """Write the page, and beside it the record itself as JSON.

    Raises:
        UserError: the disk is full, or the page cannot be written there.
    """
    require_page(path)
    page = render(record)
    files.write(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))
    files.write_json(path.with_suffix(".json"), dict(record))


def require_page(path: Path) -> None:
    """
    Raises:
        UserError: a page cannot be written there, or its record would be written over it.
    """
    if path.is_dir() or not path.name or path.suffix.lower() == ".json":
        problem = "the page cannot be written there; its record is written to a .json file beside it"
        raise UserError(problem, given=path, allowed="a file such as page.html")


def render(record: Row) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = "" if _is_vector(record) else record["text"]
    environment.filters |= {
        "number": wording.number,
        "interval": lambda estimate: wording.interval(*estimate),
        "equals": wording.equals,
        "visible": wording.visible,
        "marked": lambda sample: marked(source or sample, sample),
    }
    series, places = _places([of_site["site"] for of_site in record["sites"]])
    return environment.from_string(_asset("explanation.html.j2")).render(
        record=record,
        is_vector=_is_vector(record),
        series=series,
        places=places,
        table=_table(record["sites"]),
        collapsed=sum(site["inversion"]["left_out"] is not None for site in record["sites"]),
        shown=SHOWN,
        shade=shade,
        limits={
            "accepted": ACCEPTED,
            "significant": SIGNIFICANT,
            "null": NULL_PASSES,
            "alone": SOURCE_ALONE,
            "used": USED,
        },
        style=_asset("report.css"),
    )


def shade(finding: Row | None) -> str:
    """The colour of a corrected score from 0 to 1, as in the report."""
    value = None if finding is None else finding["corrected"][0]
    if value is None:
        return ""
    stops = min(1.0, max(0.0, value)) * 4
    stop = min(3, int(stops))
    return (
        f"background: color-mix(in oklab, var(--scale-{stop}), var(--scale-{stop + 1}) {100 * (stops - stop):.0f}%); "
        f"color: var(--{'paper' if value > 0.45 else 'ink'})"
    )


def marked(source: str, sample: str) -> Markup:
    """A sample with the words that differ from the source's marked."""
    return Markup(wording.marked(source, sample, Markup("<mark>{}</mark>").format, escape))


def _is_vector(record: Row) -> bool:
    """True where the samples are of a vector, which has no source input."""
    return any(of_site["inversion"]["tokens"] is None for of_site in record["sites"])


def _places(sites: Sequence[str]) -> tuple[str, list[str]]:
    """The common beginning of the addresses, and the rest of each."""
    series = {address.split(".", 1)[0] for address in sites}
    if len(series) > 1 or any("." not in address or "+" in address for address in sites):
        return "", list(sites)
    return series.pop(), [address.split(".", 1)[1] for address in sites]


def _table(sites: Sequence[Row]) -> dict[str, list[Row | None]]:
    """Each hypothesis that is above chance at any of the sites, those used at one first, with every site's finding."""
    rows = [{finding["hypothesis"]: finding for finding in of_site["findings"]} for of_site in sites]
    above = [(finding["use"] != BOTH, name) for row in rows for name, finding in row.items() if finding["above_chance"]]
    appeared = {name: None for _, name in sorted(above, key=lambda each: each[0])}
    return {name: [row.get(name) for row in rows] for name in appeared}


def _asset(name: str) -> str:
    return (resources.files("inversescope.report") / "assets" / name).read_text(encoding="utf-8")
