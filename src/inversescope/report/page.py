"""One HTML file out of the records: everything inline, nothing fetched.

The charts are specifications in the page (`figures`), drawn in the browser from the numbers beside them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from inversescope import files
from inversescope.charts import elements, rows, vendored
from inversescope.charts.page import compressed, themes
from inversescope.files import RunFolder
from inversescope.progress import Progress
from inversescope.records.levels import level
from inversescope.report import figures, text
from inversescope.report.failures import failures, proposals
from inversescope.report.records import RESULTS, Records, Row, load
from inversescope.report.summary import key_figures, summary
from inversescope.report.targets import SITES, cards, choose, evenly
from inversescope.sites import Site
from inversescope.verdicts import (
    ACCEPTED,
    BELOW_NOISE,
    ENCODED,
    GAP,
    MEANINGS,
    NO_GENERATOR,
    NULL_PASSES,
    SIGNIFICANT,
    SMALLEST_Q,
    SOURCE_ALONE,
    TRUSTED,
    USED,
    decisive,
    proposal,
    wording,
)
from inversescope.verdicts.scores import UNDERTRAINED

_SCRIPTS = ("numbers.js", "address.js", "charts.js", "tables.js", "used.js", "disentangle.js", "page.js")
METHODS = {
    "reference": "reference (pool, no generator)",
    "generator": "generator (draws as they come)",
    "weighted": "weighted (the same draws, reweighted)",
    "nearest": "nearest neighbours in the pool",
    "shuffled": "shuffled target",
    "no condition": "no condition",
    "wrong site": "wrong site (the same target, another site's activation)",
    "same ending": "same ending (inputs with the source's last tokens)",
    "edits": "edits (of the source input, kernel weights)",
}
_PLACE = ("point", "layer", "head")  # kept once per site, not once per row
_LEVELS = ("resolution", "bandwidth", "level")  # numbers that name a row rather than measure it


def write_report(run: Path) -> Path:
    """Write run/report/report.html, beside copies of the full numbers, and give back its path.

    Raises:
        UserError: a record of the run is missing or unreadable, or the disk is full.
    """
    records = load(run)
    page = render(records)
    folder = run / "report"
    for name in RESULTS:
        source = files.verified(run / "score" / name)
        files.write(folder / name, lambda temporary, source=source: shutil.copyfile(source, temporary))
    files.write(folder / "report.html", lambda temporary: temporary.write_text(page, encoding="utf-8"))
    return folder / "report.html"


def render(records: Records) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = wording.number
    environment.filters["estimate"] = lambda row: wording.of_row(row, "corrected")
    environment.filters["decisive"] = lambda row: wording.of_row(row, decisive(row))
    environment.filters["level"] = wording.level
    environment.filters["visible"] = wording.visible
    data = page_data(records)
    return environment.from_string(_asset("report.html.j2")).render(
        records=records,
        headline=records.headline,
        summary=summary(records),
        figures=key_figures(records),
        level_heads=[records.level_words(number) for number in records.levels],
        failures=failures(records),
        proposals=proposals(records),
        natural_text=text.section(records.run, _asset("text.html.j2")),
        null_passes=NULL_PASSES,
        no_generator=NO_GENERATOR,
        thresholds={"accepted": ACCEPTED, "gap": GAP, "trusted": TRUSTED, "significant": SIGNIFICANT},
        undertrained=MEANINGS[UNDERTRAINED],
        accepted_shown=_smallest_counts(records),
        task=records.config.get("task", {}),
        neighbourhood=records.neighbourhood,
        proposal=proposal(**records.neighbourhood),
        provenance=_flat(records.provenance),
        config=json.dumps(records.config, indent=2, ensure_ascii=False),
        style=elements.style() + _asset("report.css"),
        libraries=vendored.script() if data["charts"] else "",
        script="\n".join(
            [
                elements.bundle(),
                *map(_asset, _SCRIPTS),
            ]
        ),
        shown=data["shownSites"],
        mapped=figures.mapped(records, data["shownSites"]),
        limits=data["limits"],
        data=compressed(data),
    )


def page_data(records: Records) -> dict[str, Any]:
    """Every number that the figures show. Tables are packed (see `pack`)."""
    first = records.headline
    sites, targets = _shown(records.generator_sites or records.scored_sites, first["site"]), choose(records)
    samples, draws = cards(records, targets, sites)
    places = {row["site"]: [row[name] for name in _PLACE] for row in (*records.scores, *records.diagnostics)}
    return {
        "features": records.features,
        "levels": records.levels,
        "byResolution": records.by_resolution,
        "methods": METHODS,
        "start": {"site": first["site"], "feature": first["feature"], "level": level(first)},
        "enough": TRUSTED,
        "small": GAP,
        "smallestQ": SMALLEST_Q,
        "accepted": ACCEPTED,
        "meanings": MEANINGS,
        "belowNoise": BELOW_NOISE,
        "nullPasses": NULL_PASSES,
        "sourceAlone": SOURCE_ALONE,
        "places": places,
        "generatorSites": records.generator_sites,
        "shownSites": sites,
        "charts": figures.specifications(records, sites),
        "themes": themes(),
        "scores": pack(_without_place(figures.scores(records))),
        "diagnostics": pack(_without_place(records.diagnostics)),
        "distances": pack(rows.of_distances(_at(sites, records.distances), _at(sites, records.diagnostics))),
        "gaps": pack(_at(figures.mapped(records, sites), rows.of_gaps(records.scores))),
        "quality": pack(_at(sites, records.quality)),
        "byDistance": pack(_at(sites, records.by_distance)),
        "used": pack(rows.of_used(records.used, places)),
        "disentangled": pack(rows.of_disentangled(records.disentangled)),
        "limits": {"encoded": ENCODED, "used": USED},
        "hypotheses": _at(sites, records.hypotheses),
        "targets": targets,
        "samples": _rounded(samples),
        "shownDraws": draws,
    }


def pack(rows: Sequence[Row]) -> dict[str, Any]:
    """Rows as columns: numbers to four significant digits; names as {levels, codes}; null where undefined."""
    if not rows:
        return {}
    return {name: _column(name, [row[name] for row in rows]) for name in rows[0]}


def _smallest_counts(records: Records) -> bool:
    """True where acceptance has a meaning at the finest level, that of `score/worst_targets.parquet`."""
    finest = next(iter(records.levels), None)
    return any(row["acceptance_counts"] for row in records.diagnostics if level(row) == finest)


def _shown(sites: list[str], first: str | None) -> list[str]:
    """The sites shown one by one: of whole layers where there are any, evenly over depth, and that of the headline."""
    whole = [site for site in sites if Site.parse(site).head is None] or sites
    chosen = {*evenly(whole, SITES), first}
    return [site for site in sites if site in chosen]


def _column(name: str, values: list[Any]) -> Any:
    if name not in _LEVELS and not any(isinstance(value, str) for value in values):
        return _rounded(values)
    levels = {level: code for code, level in enumerate(dict.fromkeys(value for value in values if value is not None))}
    return {"levels": list(levels), "codes": [None if value is None else levels[value] for value in values]}


def _without_place(rows: Iterable[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in _PLACE} for row in rows]


def _at(sites: Collection[str], rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["site"] in sites]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return value


def _flat(record: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested record as (dotted name, text) pairs; null is the empty text."""
    pairs = []
    for name, value in record.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, "" if value is None else str(value)))
    return pairs


def _asset(name: str) -> str:
    return (resources.files("inversescope.report") / "assets" / name).read_text(encoding="utf-8")


def step(run: RunFolder, folder: Path, progress: Progress) -> None:
    """The step `report`."""
    write_report(run.folder)
